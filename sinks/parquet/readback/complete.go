package readback

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/millrace/millrace/pipeline"
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

// both are a table's logs, and how far current/ follows changes/; nil where nothing has been
// merged yet. changes/ is read first: what comes meanwhile is then not claimed.
func (r *Reader) both(ctx context.Context, name event.TableName) (changes *table, m *merged, err error) {
	dir, err := r.find(ctx, name)
	if err == nil {
		changes, err = r.lake.openTable(ctx, path.Join(path.Dir(dir), "changes"))
	}
	var current *table
	if err == nil {
		current, err = r.lake.openTable(ctx, dir)
	}
	if errors.Is(err, pipeline.ErrNoTable) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	m, err = mergeOf(current)
	return changes, m, err
}

// level says that current/ lacks nothing: neither rows nor facts have come behind the merge.
// A checkpoint does not say which version brought what it holds: where it is newer than the
// merge, the entries between them do, which are kept until they are merged. Without them it
// is not known, and not claimed.
func (m *merged) level(ctx context.Context, changes *table) (bool, error) {
	if changes.id != m.Changes {
		return false, nil
	}
	since, quiet := changes, func(t *table) bool { return t.lastData <= m.Version && t.factsAt[factTable] <= m.Version }
	if changes.checkpoint > m.Version {
		var err error
		since, err = changes.lake.entriesBehind(ctx, changes.dir, m.Version)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if since.version < changes.version { // the log ends before what was read already
			return false, nil
		}
	}
	return quiet(since), nil
}

// Level implements pipeline.LevelReader.
func (r *Reader) Level(ctx context.Context, name event.TableName) (bool, error) {
	changes, m, err := r.both(ctx, name)
	if err != nil || m == nil {
		return false, err
	}
	return m.level(ctx, changes)
}

// CompleteTo implements pipeline.DatedReader: what the last merge says, or, where nothing has
// come to changes/ since that current/ lacks, what changes/ says.
func (r *Reader) CompleteTo(ctx context.Context, name event.TableName) (time.Time, error) {
	changes, m, err := r.both(ctx, name)
	if err != nil || m == nil {
		return time.Time{}, err
	}
	level, err := m.level(ctx, changes)
	if err != nil {
		return time.Time{}, err
	}
	micros := m.Complete
	if level {
		if micros, err = completeTo(changes); err != nil {
			return time.Time{}, err
		}
	}
	if micros == 0 {
		return time.Time{}, nil
	}
	return time.UnixMicro(micros).UTC(), nil
}

// completeTo is the least of the queues' times, or, under an attempt, what held before it;
// before the first one has ended that is nothing, unless the log has all of the table's life.
func completeTo(changes *table) (int64, error) {
	var t struct {
		Route int      `json:"route"`
		Open  []uint64 `json:"open"`
		Due   uint64   `json:"due"`
		Held  int64    `json:"held"`
		Floor uint64   `json:"floor"`
		// Born is missing in facts of older versions, which took a table with a definition of
		// the log's for whole.
		Born     *uint64 `json:"born"`
		SchemaAt uint64  `json:"schemaAt"`
	}
	if err := json.Unmarshal([]byte(changes.facts[factTable]), &t); err != nil {
		return 0, fmt.Errorf("fact %s: %w", factTable, err)
	}
	if t.Born == nil {
		t.Born = &t.SchemaAt
	}
	if t.Due != 0 || len(t.Open) > 0 || t.Floor == 0 && *t.Born == 0 {
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
