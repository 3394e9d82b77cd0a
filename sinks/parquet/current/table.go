package current

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/sinks/delta"
	"github.com/millrace/millrace/sinks/ledger"
	"github.com/millrace/millrace/sinks/parquet/file"
	"github.com/millrace/millrace/sinks/parquet/lake"
)

// Table keeps current/ up to date. Merges run beside the table's goroutine, one at a
// time; while one runs, log is its own.
type Table struct {
	*lake.Owner
	cfg     Config
	changes Changes
	log     *delta.Log

	// files of changes/ that no merge has taken yet, in the order of their commits.
	files []*delta.Add
	// dirty: the schema, floor or attempts may differ from what was merged last.
	dirty bool
	// rebuild: current/ is made anew from all of changes/.
	rebuild bool
	version int64 // of changes/, merged
	// complete is the commit time up to which current/ has everything, in microseconds.
	complete int64
	pace     pace
	oldest   time.Time // when the first of files came, or could be merged
	late     bool      // the rows that came last were old already

	aged    bool // files of an older format are left
	running bool
	taken   job
	done    chan error
	cancel  context.CancelFunc
	altered atomic.Bool // another program has changed rows of current/
	vacuum  time.Time
	// trouble is why the last merge failed.
	trouble error
}

// Changes is the log of changes that current/ follows.
type Changes interface {
	Log() *delta.Log
	// Facts are those of its last commit; nothing writes to them any more.
	Facts() *lake.Facts
}

// domainMerge is the fact in current/ that says what it was made of.
const domainMerge = "millrace.merge"

// mergeFact says up to which version of which changes/ current/ is merged, and how.
type mergeFact struct {
	Changes string          `json:"changes"` // id of the Delta table changes/
	Version int64           `json:"version"`
	Floor   uint64          `json:"floor"`
	Layout  json.RawMessage `json:"layout"`
	Side    string          `json:"side,omitempty"` // tombstone file
	// Complete is the commit time up to which current/ has everything, in microseconds.
	Complete int64 `json:"complete,omitempty"`
	// At is the version of current/ that says so; -1 where an older version has not said it.
	At int64 `json:"at"`
}

// Open claims current/ where it exists, and finds out what it lacks.
func Open(ctx context.Context, o *lake.Owner, cfg Config, changes Changes) (*Table, error) {
	c := &Table{Owner: o, cfg: cfg, changes: changes, dirty: true, version: -1, pace: pace{interval: time.Duration(cfg.Interval)},
		vacuum: o.Now(), done: make(chan error, 1)}
	var err error
	if c.log, err = delta.Open(ctx, o.Store, path.Join(o.At, "current")); errors.Is(err, delta.ErrCorrupt) {
		err = fmt.Errorf("%w; remove the directory %s: it is then made anew from changes/", err, c.shownLog())
	}
	if err != nil {
		return nil, err
	}
	if err := c.claimGeneration(ctx); err != nil {
		return nil, err
	}
	snap := changes.Log().Snapshot()
	if f, err := readMergeFact(c.log.Snapshot()); err != nil {
		c.Logger.Warn("what current/ is made of cannot be read; it is made anew", "err", err)
		c.rebuild = true
	} else if f == nil || f.Changes != snap.Metadata.ID || f.Version > snap.Version {
		c.rebuild = true
	} else {
		c.version, c.complete = f.Version, f.Complete
		if c.rebuild, err = c.changedBehind(ctx, f); err != nil {
			return nil, err
		}
	}
	c.aged = file.HasAged(c.log.Snapshot())
	c.oldest = c.Now()
	return c, c.collect(ctx)
}

// claimGeneration commits the generation to current/. Where there is no table yet, the first merge
// makes it, put-if-absent like every commit.
func (c *Table) claimGeneration(ctx context.Context) error {
	_, err := c.log.CommitWhile(ctx, delta.Anywhere, c.look, func(snap *delta.Snapshot) ([]delta.Action, error) {
		if snap.Version < 0 {
			return nil, nil
		}
		return append(lake.Upgrade(snap, []delta.Action{c.CommitInfo("CLAIM")}), c.Claimed()), nil
	})
	if errors.Is(err, delta.ErrNotCommitted) {
		return lake.Unwritable("claim", c.shownLog(), err)
	}
	return err
}

// look takes note of what others have committed to current/. ErrSuperseded when a higher
// generation is there.
func (c *Table) look(fresh []delta.Entry) error {
	if c.changed(fresh) {
		c.altered.Store(true)
	}
	return c.fenced()
}

// shownLog is the directory as people know it.
func (c *Table) shownLog() string { return c.Show(path.Join(c.At, "current")) }

// Trouble says why current/ stands still or falls behind, "" while it does not.
func (c *Table) Trouble() string {
	if c.trouble != nil {
		return c.trouble.Error()
	}
	return c.lagging()
}

// CompleteTo is the commit time up to which current/ has everything, in microseconds.
func (c *Table) CompleteTo() int64 {
	if c.Level() {
		return c.changes.Facts().Ledger.CompleteTo()
	}
	return c.complete
}

// fenced is ErrSuperseded when a higher generation is in current/.
func (c *Table) fenced() error {
	known, err := lake.GenerationOf(c.log.Snapshot())
	if err != nil {
		return err
	}
	return ledger.Fence(known, &c.Claim)
}

func readMergeFact(s *delta.Snapshot) (*mergeFact, error) {
	text, ok := s.Domains[domainMerge]
	if !ok {
		return nil, nil
	}
	f := &mergeFact{At: -1}
	if err := json.Unmarshal([]byte(text), f); err != nil {
		return nil, fmt.Errorf("fact %s: %w", domainMerge, err)
	}
	return f, nil
}

// collect finds the files of changes/ that are not merged: those that the log's entries
// behind the merged version add, or, where these are gone, all.
func (c *Table) collect(ctx context.Context) error {
	c.files = nil
	if !c.rebuild {
		entries, err := c.changes.Log().Entries(ctx, c.version+1)
		switch {
		case errors.Is(err, delta.ErrGone):
			c.rebuild = true
		case err != nil:
			return err
		}
		for _, e := range entries {
			for i := range e.Actions {
				if a := e.Actions[i].Add; a != nil && a.DataChange {
					c.files = append(c.files, a)
				}
			}
		}
	}
	if c.rebuild {
		snap := c.changes.Log().Snapshot()
		c.files = nil
		for _, p := range snap.Paths() {
			c.files = append(c.files, snap.Files[p])
		}
	}
	return nil
}

// Note takes over what a flush committed; newest is the latest commit of its rows.
func (c *Table) Note(added []*delta.Add, dirty bool, newest time.Time) {
	if len(added) > 0 {
		now := c.Now()
		if len(c.files) == 0 {
			c.oldest = now
		}
		c.late = !newest.IsZero() && now.Sub(newest) > c.pace.interval
	}
	c.files = append(c.files, added...)
	c.dirty = c.dirty || dirty
}

// Merged is the version of changes/ from which on entries are still needed, less one.
func (c *Table) Merged() int64 { return c.version }

// Level says that current/ lacks nothing of changes/.
func (c *Table) Level() bool {
	return len(c.files) == 0 && !c.rebuild && !c.dirty && !c.running && c.trouble == nil
}

// Leave keeps how far current/ is complete, before changes/ moves on.
func (c *Table) Leave() {
	if c.Level() {
		c.complete = c.changes.Facts().Ledger.CompleteTo()
	}
}

// Log is the Delta log of current/; while a merge runs it is the merge's.
func (c *Table) Log() *delta.Log { return c.log }

// Waiting are the files of changes/ that no merge has taken yet.
func (c *Table) Waiting() []*delta.Add { return c.files }

// MakeAnew has the next merge make current/ of all of changes/.
func (c *Table) MakeAnew(ctx context.Context) error {
	c.rebuild = true
	return c.collect(ctx)
}

// Anew reports whether the next merge makes current/ of all of changes/.
func (c *Table) Anew() bool { return c.rebuild }

// Wants reports whether a file of changes/ has yet to be merged. While current/ is made
// anew every file is wanted.
func (c *Table) Wants(name string) bool {
	if c.rebuild || c.running && c.taken.rebuild {
		return true
	}
	is := func(a *delta.Add) bool { return a.Path == name }
	return slices.ContainsFunc(c.files, is) || slices.ContainsFunc(c.taken.files, is)
}
