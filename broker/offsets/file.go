package offsets

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"strconv"
	"time"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/remoting/protocol"
)

type fileForm struct {
	DataVersion protocol.DataVersion        `json:"dataVersion"`
	OffsetTable map[string]map[string]int64 `json:"offsetTable"`
}

// Load reads the table's file, or the version before it when the file is damaged; a
// missing file is an empty table.
func (t *Table) Load(fsys vfs.FS, name string, log *slog.Logger) error {
	data, err := vfs.ReadFile(fsys, name)
	if err == nil {
		err = t.decode(data)
	}
	if err == nil {
		return nil
	}
	missing := errors.Is(err, fs.ErrNotExist)
	backup, berr := vfs.ReadFile(fsys, name+vfs.BackupSuffix)
	if missing && errors.Is(berr, fs.ErrNotExist) {
		return nil
	}
	if berr == nil {
		berr = t.decode(backup)
	}
	if berr != nil {
		return fmt.Errorf("read consumer offsets %s: %w (its backup: %w); move both files away to start without offsets", name, err, berr)
	}
	log.Warn("consumer offsets read from the backup", slog.String("file", name), slog.Any("cause", err))
	return nil
}

func (t *Table) decode(data []byte) error {
	var form fileForm
	if err := protocol.DecodeBody(data, &form); err != nil {
		return err
	}
	queues, entries := map[Key]map[int32]int64{}, 0
	for name, offsets := range form.OffsetTable {
		k, ok := parseKey(name)
		if !ok {
			return fmt.Errorf("%q is not topic@group", name)
		}
		q := make(map[int32]int64, len(offsets))
		for id, offset := range offsets {
			n, err := strconv.ParseInt(id, 10, 32)
			if err != nil || n < 0 {
				return fmt.Errorf("%s has a queue %q", name, id)
			}
			q[int32(n)] = offset
			entries++
		}
		queues[k] = q
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queues, t.entries, t.version, t.dirty = queues, entries, form.DataVersion, false
	return nil
}

// Encode is the table as its file holds it; tools ask for it with code 43.
func (t *Table) Encode() ([]byte, error) {
	t.mu.RLock()
	form := t.formLocked()
	t.mu.RUnlock()
	return json.MarshalIndent(form, "", "\t")
}

func (t *Table) formLocked() fileForm {
	form := fileForm{DataVersion: t.version, OffsetTable: make(map[string]map[string]int64, len(t.queues))}
	for k, q := range t.queues {
		m := make(map[string]int64, len(q))
		for id, offset := range q {
			m[strconv.Itoa(int(id))] = offset
		}
		form.OffsetTable[k.text()] = m
	}
	return form
}

// Flush replaces the file when something changed since the last time. On an error the
// change stays due.
func (t *Table) Flush(fsys vfs.FS, name string, now time.Time) error {
	t.mu.Lock()
	if !t.dirty {
		t.mu.Unlock()
		return nil
	}
	t.version.Counter++
	t.version.Timestamp = now.UnixMilli()
	form := t.formLocked()
	t.dirty = false
	t.mu.Unlock()

	data, err := json.MarshalIndent(form, "", "\t")
	if err == nil {
		err = vfs.ReplaceFile(fsys, name, data)
	}
	if err != nil {
		t.mu.Lock()
		t.dirty = true
		t.mu.Unlock()
		return fmt.Errorf("write consumer offsets %s: %w", name, err)
	}
	return nil
}

// Snapshot is a copy of everything, for tests and metrics.
func (t *Table) Snapshot() map[Key]map[int32]int64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	out := make(map[Key]map[int32]int64, len(t.queues))
	for k, q := range t.queues {
		out[k] = maps.Clone(q)
	}
	return out
}
