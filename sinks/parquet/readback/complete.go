package readback

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/millrace/millrace/pipeline/event"
)

// The facts in the logs that say how far a table is: docs/format/lake.md.
const (
	factMerge = "millrace.merge"
	factTable = "millrace.table"
	factQueue = "millrace.queue."
)

// merged is how far current/ is.
type merged struct {
	Changes  string `json:"changes"`
	Version  int64  `json:"version"`
	Complete int64  `json:"complete"`
}

// mergeOf reads it; nil where no merge has said it.
func mergeOf(current *table) (*merged, error) {
	text, ok := current.facts[factMerge]
	if !ok {
		return nil, nil
	}
	m := &merged{}
	if err := json.Unmarshal([]byte(text), m); err != nil {
		return nil, fmt.Errorf("fact %s: %w", factMerge, err)
	}
	return m, nil
}

// CompleteTo implements pipeline.DatedReader: what the last merge says, or, where nothing has
// come to changes/ since that current/ lacks, what changes/ says.
func (r *Reader) CompleteTo(_ context.Context, name event.TableName) (time.Time, error) {
	dir, err := r.find(name)
	if errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	current, err := openTable(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	m, err := mergeOf(current)
	if err != nil || m == nil {
		return time.Time{}, err
	}
	changes, err := openTable(filepath.Join(filepath.Dir(dir), "changes"))
	if err != nil {
		return time.Time{}, err
	}
	micros := m.Complete
	if changes.id == m.Changes && changes.lastData <= m.Version && changes.factsAt[factTable] <= m.Version {
		if micros, err = completeTo(changes); err != nil {
			return time.Time{}, err
		}
	}
	if micros == 0 {
		return time.Time{}, nil
	}
	return time.UnixMicro(micros).UTC(), nil
}

// completeTo is the least of the queues' times, or, under an attempt, what held before it.
func completeTo(changes *table) (int64, error) {
	var t struct {
		Route int      `json:"route"`
		Open  []uint64 `json:"open"`
		Due   uint64   `json:"due"`
		Held  int64    `json:"held"`
	}
	if err := json.Unmarshal([]byte(changes.facts[factTable]), &t); err != nil {
		return 0, fmt.Errorf("fact %s: %w", factTable, err)
	}
	if t.Due != 0 || len(t.Open) > 0 {
		return t.Held, nil
	}
	queues, least := 0, int64(0)
	for name, text := range changes.facts {
		if !strings.HasPrefix(name, factQueue) {
			continue
		}
		var q struct {
			Done int64 `json:"done"`
		}
		if err := json.Unmarshal([]byte(text), &q); err != nil {
			return 0, fmt.Errorf("fact %s: %w", name, err)
		}
		if queues++; queues == 1 || q.Done < least {
			least = q.Done
		}
	}
	if queues < t.Route {
		return 0, nil
	}
	return least, nil
}
