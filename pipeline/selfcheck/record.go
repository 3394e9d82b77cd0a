package selfcheck

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/verify"
)

// record is what survives a restart.
type record struct {
	// Round is when the present round began.
	Round time.Time `json:"round"`
	// Tables are the last looks, by sink and table.
	Tables map[string]*entry `json:"tables"`
	// Present is the table that is being read, and where that was.
	Present string         `json:"present,omitempty"`
	Cursor  *verify.Cursor `json:"cursor,omitempty"`
}

// entry is one target table.
type entry struct {
	pipeline.Verified
	// Done is the round in which it was last found equal or different.
	Done time.Time `json:"done"`
	// Mending: it was asked to be read anew, and was not found equal since.
	Mending bool `json:"mending,omitempty"`
	// next is when a look that told nothing is to be tried again, wait how long that was.
	next time.Time
	wait time.Duration
}

const recordName = "record.json"

// load reads the record; one that can't be read is said, and a new one begins.
func load(dir string, log *slog.Logger) *record {
	r := &record{Tables: map[string]*entry{}}
	data, err := os.ReadFile(filepath.Join(dir, recordName))
	if errors.Is(err, fs.ErrNotExist) {
		return r
	}
	if err == nil {
		err = json.Unmarshal(data, r)
	}
	if err != nil {
		log.Warn("what the self-check found before can't be read; it begins anew", slog.Any("error", err))
		return &record{Tables: map[string]*entry{}}
	}
	if r.Tables == nil {
		r.Tables = map[string]*entry{}
	}
	for name, e := range r.Tables {
		if e == nil {
			delete(r.Tables, name)
		}
	}
	return r
}

func (r *record) save(dir string) error {
	data, err := json.Marshal(r)
	if err != nil {
		panic("BUG: a record that JSON cannot hold: " + err.Error())
	}
	if err := vfs.WriteFileAtomic(vfs.OS(), filepath.ToSlash(filepath.Join(dir, recordName)), data); err != nil {
		return fmt.Errorf("record of the self-check: %w", err)
	}
	return nil
}

func (r *record) entry(name string) *entry {
	e := r.Tables[name]
	if e == nil {
		e = &entry{}
		r.Tables[name] = e
	}
	return e
}
