package current

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/sinks/delta"
	"github.com/millrace/millrace/sinks/parquet/file"
	"github.com/millrace/millrace/sinks/parquet/lake"
)

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

// advanceAfter is how far the merged version may lag behind commits that bring no rows.
const advanceAfter = 500

func (c *Table) behind() bool {
	return c.changes.Log().Snapshot().Version-c.version >= advanceAfter
}

func (c *Table) due() bool {
	return len(c.files) > 0 || c.rebuild || c.dirty || c.behind() || c.aged
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
	if c.Now().Before(c.pace.next) || c.gathers() || !c.due() {
		return nil
	}
	c.start()
	return nil
}

// unshown is how many times the rows of current/, or those of one of its files where it has
// fewer, wait in changes/ before they are merged, while a table's first snapshot is under way.
const unshown = 4

// waits reports whether what there is to merge is left for later, because nobody can use
// current/ yet: before its first snapshot has ended a table is nothing that the source ever
// was. A merge copies the rows of current/, so that one after each flush would copy the first
// rows of a large table over and over.
//
// So it is while a table without a key is read anew: nothing tells a row of the snapshot from
// the one that is there, and only the snapshot's end takes that one away. Merged before, both
// would be shown; current/ stays as it was before the snapshot began.
func (c *Table) waits() bool {
	l := c.changes.Facts().Ledger
	if l.Founded() && len(l.Open) > 0 && l.Schema != nil && len(l.Schema.PrimaryKey) == 0 && !c.rebuild && c.log.Snapshot().Version >= 0 {
		return true
	}
	if len(l.Open) == 0 || l.Floor > 0 || l.Held > 0 || l.Born > 0 || c.mends() || c.aged || c.behind() {
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
	return waiting < unshown*max(merged, int64(c.cfg.FileRows))
}

// gathers reports whether what there is to merge waits for more, because changes/ catches up
// with its source: what came last was older than the interval. A merge copies the rows of
// current/, however few changes it takes; the first ones of many are not worth one. They wait
// for an interval, so that they are shown within two like any others.
func (c *Table) gathers() bool {
	return c.late && len(c.files) > 0 && !c.mends() && c.Now().Sub(c.oldest) < c.pace.interval
}

// mends reports whether a current/ that is there is not as it should be.
func (c *Table) mends() bool { return c.rebuild && c.log.Snapshot().Version >= 0 }

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

// Close joins a merge that runs; what it has not committed goes.
func (c *Table) Close() {
	if c.running {
		c.cancel()
		<-c.done
		c.running = false
	}
}
