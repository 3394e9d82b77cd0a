package changes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"time"

	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/delta"
	"github.com/millrace/millrace/sinks/ledger"
	"github.com/millrace/millrace/sinks/letters"
	"github.com/millrace/millrace/sinks/parquet/file"
	"github.com/millrace/millrace/sinks/parquet/lake"
)

// Table is the log of all row changes of one claimed table: a Delta table of files
// that are only ever added, but for packing. One goroutine uses it.
type Table struct {
	*lake.Owner
	// log is what was read or committed last; facts are what it said beside the files.
	log   *delta.Log
	facts *lake.Facts
	batch *batch
	// broken is why nothing more can be done under this claim.
	Broken error
	pack   *packing
	// Wanted says of a file that somebody has yet to read it, so that it is not packed.
	Wanted func(name string) bool
	// Alone says that nobody makes rows of the changes: each counts by itself.
	Alone bool
	// letters are the changes that are put aside, aside where they lie.
	letters *letters.Book
	aside   *lettersFact

	// counted is how many rows changes/ had at a version.
	counted struct {
		version int64
		rows    uint64
	}
	vacuumed time.Time
}

// Open claims the table and reads back what is true of it.
func Open(ctx context.Context, o *lake.Owner) (*Table, error) {
	t := &Table{Owner: o, vacuumed: o.Now(), Wanted: func(string) bool { return false }}
	var err error
	if t.log, err = delta.Open(ctx, o.Store, path.Join(o.At, "changes")); errors.Is(err, delta.ErrCorrupt) {
		err = fmt.Errorf("%w; bring it back from a copy, or remove the directory %s: what the source has is then read anew", err, t.Dir)
	}
	if err != nil {
		return nil, err
	}
	if err := t.claimGeneration(ctx); err != nil {
		return nil, err
	}
	if t.facts, err = readFacts(t.log.Snapshot(), &t.Claim); err != nil {
		return nil, fmt.Errorf("read the ledger of %s: %w", t.Dir, err)
	}
	if err := t.checkFiles(ctx); err != nil {
		return nil, err
	}
	if err := t.readLetters(ctx); err != nil {
		return nil, err
	}
	t.reset()
	t.pack = newPacking(t)
	return t, nil
}

// shownLog is the directory as people know it.
func (t *Table) shownLog() string { return t.Show(t.log.Table()) }

// claimGeneration commits the claim's generation to changes/, making the table if need
// be. Nothing is read back before: from here on a lower generation's commit is refused.
func (t *Table) claimGeneration(ctx context.Context) error {
	_, err := t.log.CommitWhile(ctx, delta.Anywhere, func([]delta.Entry) error {
		known, err := readFacts(t.log.Snapshot(), &t.Claim)
		if err != nil {
			return fmt.Errorf("read the ledger of %s: %w", t.Dir, err)
		}
		return ledger.Fence(known.Ledger.Generation, &t.Claim)
	}, func(snap *delta.Snapshot) ([]delta.Action, error) {
		actions := []delta.Action{t.CommitInfo("CLAIM")}
		if snap.Version < 0 {
			actions = append(actions, delta.Action{Protocol: lake.Protocol()},
				delta.Action{Metadata: t.Metadata(lake.NewID(), "changes", file.Columns(nil).Schema(), []string{file.ColDate})})
			actions = append(actions, lake.Fact(domainTable, tableFactOf(&t.Claim, &lake.Facts{Ledger: &ledger.Table{}})))
		}
		return append(lake.Upgrade(snap, actions), t.Claimed()), nil
	})
	if errors.Is(err, delta.ErrNotCommitted) {
		return lake.Unwritable("claim", t.Dir, err)
	}
	return err
}

// Marks are the queues' positions in the target.
func (t *Table) Marks() []pipeline.QueueMark { return t.facts.Ledger.Marks() }

// Buffered is what was written since the last Flush.
func (t *Table) Buffered() (rows int, bytes int64) { return t.batch.rows, t.batch.bytes }

// AdoptBegin makes prev the queue's mark, because its next message is a BEGIN with that link.
func (t *Table) AdoptBegin(q pipeline.QueueID, prev event.Seq) error {
	if t.Broken != nil {
		return t.Broken
	}
	t.batch.ledger.Adopt(q, prev)
	return nil
}

// Outcome is that of a flush of changes/.
type Outcome struct {
	pipeline.Flushed
	Added   []*delta.Add // files
	Changed bool         // more than marks
	Newest  time.Time    // commit of its rows
}

// Flush commits everything written with the new marks.
func (t *Table) Flush(ctx context.Context) (Outcome, error) {
	if t.Broken != nil {
		return Outcome{}, t.Broken
	}
	b := t.batch
	if b.ledger.Empty() && !b.letters.Changed() {
		return Outcome{Flushed: pipeline.Flushed{Version: t.log.Snapshot().Version}}, nil
	}
	start := t.Now()
	if err := errors.Join(t.FinishAll(ctx), t.storeLetters(ctx)); err != nil {
		return Outcome{}, t.undone(err)
	}
	out := Outcome{Flushed: pipeline.Flushed{Rows: b.rows, Files: len(b.added)}, Added: b.added, Changed: b.changed(), Newest: b.newest}
	for _, a := range b.added {
		out.Bytes += a.Size
	}
	version, err := t.Commit(ctx)
	if err != nil {
		return Outcome{}, err
	}
	out.Version = version
	t.facts, t.letters = b.facts(), b.letters.Book()
	if b.aside != nil {
		t.aside = b.aside
	}
	t.observe(start, out.Flushed)
	t.reset()
	return out, nil
}

func (t *Table) observe(start time.Time, out pipeline.Flushed) {
	m, l := t.Metrics, t.Labels()
	m.Rows.WithLabelValues(l...).Add(float64(out.Rows))
	m.Bytes.WithLabelValues(l...).Add(float64(out.Bytes))
	m.Files.WithLabelValues(l...).Add(float64(out.Files))
	now := t.Now()
	m.Flush.WithLabelValues(l...).Observe(now.Sub(start).Seconds())
	if !t.batch.newest.IsZero() && !t.batch.newest.After(now.Add(ledger.Ahead)) {
		m.Lag.WithLabelValues(l...).Set(now.Sub(t.batch.newest).Seconds())
	}
}

// Commit makes the batch visible on the marks it was built on, or not at all.
func (t *Table) Commit(ctx context.Context) (int64, error) {
	if seeded.On(seeded.MarkBeforeFlush) && len(t.batch.added) > 0 {
		files := t.batch.added
		t.batch.added = nil
		if _, err := t.log.Commit(ctx, t.actions()); err != nil {
			return 0, t.Fail(err)
		}
		t.facts, t.batch.added = t.batch.facts(), files
		t.batch.ledger = t.facts.Ledger.Begin()
	}
	version, err := t.commitWhile(ctx, func(*delta.Snapshot) ([]delta.Action, error) { return t.actions(), nil })
	switch {
	case err == nil:
		return version, nil
	case errors.Is(err, delta.ErrNotCommitted):
		return 0, t.drop(lake.Unwritable("commit to", t.shownLog(), err))
	case errors.Is(err, errRefused):
		return 0, t.Fail(err)
	}
	return 0, t.Fail(fmt.Errorf("commit to %s: the outcome is unknown: %w", t.shownLog(), err))
}

// errRefused says that the table is not this claim's any more, or is not what the batch was
// built on: nothing was committed.
var errRefused = errors.New("the commit is not allowed")

// commitWhile commits to changes/ what build makes, while the table is still ours.
func (t *Table) commitWhile(ctx context.Context, build func(*delta.Snapshot) ([]delta.Action, error)) (int64, error) {
	return t.log.CommitWhile(ctx, delta.Anywhere, func([]delta.Entry) error {
		if err := t.stillOurs(); err != nil {
			return &refused{err}
		}
		return nil
	}, build)
}

// refused is errRefused with its cause, which says it all.
type refused struct{ error }

func (r *refused) Unwrap() error        { return r.error }
func (r *refused) Is(target error) bool { return target == errRefused }

// stillOurs looks, after others may have committed, whether this batch may still be
// committed: first that no higher generation has taken the table, then that every mark is
// the one that the batch was built on.
func (t *Table) stillOurs() error {
	snap := t.log.Snapshot()
	known, err := lake.GenerationOf(snap)
	if err != nil {
		return err
	}
	mark := func(q int) (event.Seq, bool) { return markOf(snap, &t.Claim, q) }
	if err := t.batch.ledger.StillOn(known, &t.Claim, mark); err != nil {
		return err
	}
	if snap.Metadata.SchemaString != t.facts.Columns.Schema() && !seeded.On(seeded.RewriteAboveMark) {
		return fmt.Errorf("the schema of %s was changed by another program: the table must be opened again", t.shownLog())
	}
	return nil
}

// actions is the batch as one commit.
func (t *Table) actions() []delta.Action {
	b, snap := t.batch, t.log.Snapshot()
	list := []delta.Action{t.CommitInfo("WRITE")}
	names := b.columns.Names()
	if text := b.columns.Schema(); text != snap.Metadata.SchemaString {
		m := *snap.Metadata
		m.SchemaString = text
		list = append(list, delta.Action{Metadata: &m})
		// The files before lack the new columns, which their statistics must say.
		for _, p := range snap.Paths() {
			a := *snap.Files[p]
			if a.Stats = file.CompleteStats(a.Stats, names); a.Stats != snap.Files[p].Stats {
				a.DataChange = false
				list = append(list, delta.Action{Add: &a})
			}
		}
	}
	for _, a := range b.added {
		a.Stats = file.CompleteStats(a.Stats, names)
		list = append(list, delta.Action{Add: a})
	}
	now := t.Now().UnixMilli()
	queues := b.ledger.Next().Queues
	for q := range queues {
		if b.ledger.Touched(q) {
			list = append(list,
				delta.Action{Txn: &delta.Txn{AppID: appID(t.Claim.Pipeline, t.Claim.Table, q), Version: int64(queues[q].Seq), LastUpdated: now}},
				lake.Fact(fmt.Sprintf("%s%d", domainQueue, q), queueFactOf(q, &queues[q])))
		}
	}
	if b.aside != nil {
		list = append(list, lake.Fact(domainLetters, b.aside))
	}
	if b.changed() {
		list = append(list, lake.Fact(domainTable, tableFactOf(&t.Claim, b.facts())))
	}
	return list
}

// drop forgets what was written since the last Flush; the marks are as they were.
func (t *Table) drop(err error) error {
	t.batch.discard(t)
	t.reset()
	return err
}

// undone drops the batch after an error before its commit. A name that is taken is one of
// ours whose fate was unknown: only a new generation has names of its own.
func (t *Table) undone(err error) error {
	t.drop(nil)
	if errors.Is(err, fs.ErrExist) {
		return t.Fail(err)
	}
	if errors.Is(err, pipeline.ErrUnwritable) {
		return err
	}
	return lake.Unwritable("write", t.shownLog(), err)
}

// Fail ends the claim: the table must be opened again.
func (t *Table) Fail(err error) error {
	t.Broken = err
	return err
}

// reset begins a new batch on what the ledger says.
func (t *Table) reset() { t.batch = newBatch(t.facts, t.letters.Begin(t.Claim.Letters)) }

// Log is the Delta log of changes/.
func (t *Table) Log() *delta.Log { return t.log }

// Facts are those of the last commit. Nothing writes to them any more.
func (t *Table) Facts() *lake.Facts { return t.facts }

// Total is how many rows of the source changes/ has.
func (t *Table) Total() uint64 {
	snap := t.log.Snapshot()
	if t.counted.version == snap.Version {
		return t.counted.rows
	}
	var rows uint64
	for _, p := range snap.Paths() {
		n, err := strconv.ParseUint(snap.Files[p].Tags[file.TagRows], 10, 64)
		if err != nil {
			continue // another program's file, which says nothing of itself
		}
		rows += n
	}
	t.counted.version, t.counted.rows = snap.Version, rows-min(rows, t.facts.Controls)
	return t.counted.rows
}

// Close joins what runs and drops what was not flushed.
func (t *Table) Close() {
	t.pack.close()
	if t.Broken == nil {
		t.batch.discard(t)
		t.Broken = errClosed
	}
}

var errClosed = errors.New("the table is closed")

// Err is why nothing more can be done under this claim, nil while something can.
func (t *Table) Err() error { return t.Broken }

// Pack packs all that there is, with so many files of one size making one.
func (t *Table) Pack(ctx context.Context, run int) error {
	t.pack.run, t.pack.failed = run, map[string]bool{}
	for {
		did, err := t.pack.step(ctx)
		if err != nil || !did && !t.pack.running {
			return err
		}
		t.AwaitPack()
	}
}

// AwaitPack waits for a packing that runs; its outcome is committed by the next step.
func (t *Table) AwaitPack() {
	if t.pack.running {
		p := <-t.pack.done
		t.pack.done <- p
	}
}
