package current

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/pipeline"
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
	Open    []uint64        `json:"open,omitempty"`
	// Complete is the commit time up to which current/ has everything, in microseconds.
	Complete int64 `json:"complete,omitempty"`
	// At is the version of current/ that says so; -1 where an older version has not said it.
	At int64 `json:"at"`
}

// job is what one merge works on. Nothing in it changes any more.
type job struct {
	version int64
	facts   *lake.Facts
	files   []*delta.Add
	rebuild bool
	id      string // of changes/
	began   time.Time
	oldest  time.Time // when the first of files came
	// committed is set by the merge when current/ says now that it is at version.
	committed bool
}

// Open claims current/ where it exists, and finds out what it lacks.
func Open(ctx context.Context, o *lake.Owner, cfg Config, changes Changes) (*Table, error) {
	c := &Table{Owner: o, cfg: cfg, changes: changes, dirty: true, version: -1, pace: pace{interval: time.Duration(cfg.Interval)}, vacuum: o.Now(), done: make(chan error, 1)}
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

// Note takes over what a flush committed.
func (c *Table) Note(added []*delta.Add, dirty bool) {
	if len(added) > 0 && len(c.files) == 0 {
		c.oldest = c.Now()
	}
	c.files = append(c.files, added...)
	c.dirty = c.dirty || dirty
}

// Merged is the version of changes/ from which on entries are still needed, less one.
func (c *Table) Merged() int64 { return c.version }

// advanceAfter is how far the merged version may lag behind commits that bring no rows.
const advanceAfter = 500

func (c *Table) behind() bool {
	return c.changes.Log().Snapshot().Version-c.version >= advanceAfter
}

func (c *Table) due() bool {
	return len(c.files) > 0 || c.rebuild || c.dirty || c.behind() || c.aged
}

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

// Step collects a merge that has ended and begins one that is due.
func (c *Table) Step() error {
	if c.running {
		select {
		case err := <-c.done:
			return c.ended(err)
		default:
			return nil
		}
	}
	if err := c.remake(); err != nil {
		return err
	}
	if c.waits() {
		c.oldest = c.Now() // it is not late
		return nil
	}
	if c.Now().Before(c.pace.next) || !c.due() {
		return nil
	}
	c.start()
	return nil
}

// unshown is how many times the rows of current/ wait in changes/ before they are merged,
// while a table's first snapshot is under way.
const unshown = 4

// waits reports whether what there is to merge is left for later, because nobody can use
// current/ yet: before its first snapshot has ended a table is nothing that the source ever
// was. A merge copies the rows of current/, so that one after each flush would copy the first
// rows of a large table over and over.
func (c *Table) waits() bool {
	l := c.changes.Facts().Ledger
	if len(l.Open) == 0 || l.Floor > 0 || l.Held > 0 || l.Born > 0 || c.rebuild || c.aged || c.behind() {
		return false
	}
	rows := func(a *delta.Add) int64 {
		n, _ := strconv.ParseInt(a.Tags[file.TagRows], 10, 64) // one that does not say it is merged at once, or counts for none
		return n
	}
	merged, waiting := int64(0), int64(0)
	for _, a := range c.log.Snapshot().Files {
		merged += rows(a)
	}
	for _, a := range c.files {
		waiting += rows(a)
	}
	return waiting < unshown*merged
}

// remake makes current/ anew where another program has changed its rows.
func (c *Table) remake() error {
	if !c.altered.Swap(false) {
		return nil
	}
	return c.MakeAnew(context.Background())
}

func (c *Table) start() {
	ctx, cancel := context.WithCancel(context.Background())
	c.taken = job{
		version: c.changes.Log().Snapshot().Version, id: c.changes.Log().Snapshot().Metadata.ID,
		facts: c.changes.Facts(), files: c.files, rebuild: c.rebuild, began: c.Now(), oldest: c.oldest,
	}
	asked := c.taken.began
	c.cancel, c.running = cancel, true
	c.files, c.rebuild, c.dirty = nil, false, false
	go func() {
		err := lake.Contained(c.Logger, c.shownLog(), func() error { return c.run(ctx, &c.taken) })
		c.pace.ended(asked, c.taken.began, c.Now())
		c.done <- err
	}()
}

// run waits for its turn among the sink's tables, merges, and looks after current/'s log.
func (c *Table) run(ctx context.Context, j *job) error {
	done, ok := c.Turn(ctx)
	if !ok {
		return ctx.Err()
	}
	defer done()
	j.began = c.Now() // other tables' merges are not its own
	committed, err := c.merge(ctx, j)
	if err != nil {
		return err
	}
	j.committed = committed
	return c.lookAfter(ctx)
}

// ended takes note of how a merge ended. What failed is done again later: current/ is
// then older, and nothing else.
func (c *Table) ended(err error) error {
	c.cancel()
	c.running = false
	j := c.taken
	c.taken = job{}
	c.gauge()
	if j.committed {
		c.version, c.aged = j.version, file.HasAged(c.log.Snapshot())
	}
	if j.committed || err == nil { // where nothing was committed there was nothing to merge
		c.complete = j.facts.Ledger.CompleteTo()
	}
	c.trouble = nil
	if err == nil {
		return nil
	}
	if errors.Is(err, pipeline.ErrSuperseded) {
		return err
	}
	if j.committed {
		c.Logger.Warn("looking after current/ failed", "err", err)
		return nil
	}
	if c.rebuild = c.rebuild || j.rebuild || errors.Is(err, fs.ErrNotExist) || c.ruined(err); c.rebuild {
		if cerr := c.collect(context.Background()); cerr != nil {
			return cerr
		}
	} else {
		c.files, c.oldest = append(j.files, c.files...), j.oldest
	}
	c.dirty = true
	switch {
	case errors.Is(err, context.Canceled):
		return nil
	case !errors.Is(err, delta.ErrConflict) && !errors.Is(err, delta.ErrNotCommitted):
		// The outcome may be unknown: see what the log says.
		if lerr := c.reopen(context.Background()); lerr != nil {
			return lerr
		}
	}
	var d *file.Damage
	if errors.As(err, &d) && !c.rebuild {
		err = fmt.Errorf("%w; bring the file back from a copy, or remove the table's directory: what the source has is then read anew", err)
	}
	c.trouble = err
	c.Logger.Warn("the merge into current/ failed and will be tried again", "err", err)
	return nil
}

// ruined reports whether a merge ended at a file of current/ itself that cannot be read.
// changes/ has what was in it.
func (c *Table) ruined(err error) bool {
	var d *file.Damage
	return errors.Is(err, errSide) || errors.As(err, &d) && strings.HasPrefix(d.Name, c.log.Table()+"/")
}

func (c *Table) gauge() {
	c.Metrics.Unmerged.WithLabelValues(c.Labels()...).Set(float64(len(c.files)))
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

// Await waits for a merge that runs, and reports whether one did.
func (c *Table) Await() (ran bool, err error) {
	if !c.running {
		return false, nil
	}
	return true, c.ended(<-c.done)
}

// MergeNow merges what there is and waits for it.
func (c *Table) MergeNow() error {
	if _, err := c.Await(); err != nil {
		return err
	}
	if err := c.remake(); err != nil {
		return err
	}
	if !c.due() {
		return nil
	}
	c.start()
	err := <-c.done
	if eerr := c.ended(err); eerr != nil {
		return eerr
	}
	return err
}

// lookAfter keeps current/'s own log short and its directory clean.
func (c *Table) lookAfter(ctx context.Context) error {
	now := c.Now()
	// As in changes/, a successor's files must not be taken for orphans.
	if err := c.refresh(ctx); err != nil {
		return err
	}
	if err := c.fenced(); err != nil {
		return err
	}
	snap := c.log.Snapshot()
	if snap.Version < 0 {
		return nil
	}
	removed, crowded := c.RemovedBefore(snap)
	if now.Sub(c.vacuum) >= lake.VacuumEvery || c.Keep.Removed < 1 || crowded && now.Sub(c.vacuum) >= lake.LeastKept {
		c.vacuum = now
		f, err := readMergeFact(snap)
		if err != nil || f == nil {
			return err
		}
		// Only this goroutine writes into current/ under this generation, and lower ones
		// are closed, so what is the sink's and no commit names is of no use to anybody. Another
		// program may be about to commit what it has written.
		if _, err := c.log.Vacuum(ctx, delta.VacuumOptions{RemovedBefore: removed, OrphansBefore: now.Add(-c.Keep.Orphans.D()),
			Live: func(name string) bool { return name == f.Side }, Own: c.owns, OwnBefore: removed}); err != nil {
			return err
		}
	}
	if snap.Aged || snap.Version-max(snap.Checkpoint, 0) >= lake.CheckpointEvery {
		if err := c.log.Checkpoint(ctx, removed); err != nil {
			return err
		}
		f, err := readMergeFact(snap)
		if err != nil || f == nil {
			return err
		}
		keep := snap.Version
		if f.At >= 0 {
			keep = f.At + 1 // an opening looks at what came since
		}
		_, err = c.log.CleanLog(ctx, now.Add(-c.Keep.Log.D()), keep)
		return err
	}
	return nil
}

// Close joins a merge that runs; what it has not committed goes.
func (c *Table) Close() {
	if c.running {
		c.cancel()
		<-c.done
		c.running = false
	}
}

// Wants reports whether a file of changes/ has yet to be merged. While current/ is made
// anew every file is wanted.
func (c *Table) Wants(name string) bool {
	if c.rebuild || c.running && c.taken.rebuild {
		return true
	}
	is := func(a *delta.Add) bool { return a.Path == name }
	return slices.ContainsFunc(c.files, is) || slices.ContainsFunc(c.taken.files, is)
}
