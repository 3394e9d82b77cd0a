package parquet

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
)

// changesTable is the log of all row changes of one claimed table: a Delta table of files
// that are only ever added, but for packing. One goroutine uses it.
type changesTable struct {
	*owner
	// log is what was read or committed last; facts are what it said beside the files.
	log   *delta.Log
	facts *facts
	batch *batch
	// broken is why nothing more can be done under this claim.
	broken error
	pack   *compactor
	// wanted says of a file that somebody has yet to read it, so that it is not packed.
	wanted func(name string) bool

	// counted is how many rows changes/ had at a version.
	counted struct {
		version int64
		rows    uint64
	}
	vacuumed time.Time
}

// openChanges claims the table and reads back what is true of it.
func openChanges(ctx context.Context, o *owner) (*changesTable, error) {
	t := &changesTable{owner: o, vacuumed: o.now(), wanted: func(string) bool { return false }}
	var err error
	if t.log, err = delta.Open(ctx, o.store, path.Join(o.at, "changes")); errors.Is(err, delta.ErrCorrupt) {
		err = fmt.Errorf("%w; bring it back from a copy, or remove the directory %s: what the source has is then read anew", err, t.dir)
	}
	if err != nil {
		return nil, err
	}
	if err := t.claimGeneration(ctx); err != nil {
		return nil, err
	}
	if t.facts, err = readFacts(t.log.Snapshot(), &t.claim); err != nil {
		return nil, fmt.Errorf("read the ledger of %s: %w", t.dir, err)
	}
	if err := t.checkFiles(ctx); err != nil {
		return nil, err
	}
	t.reset()
	t.pack = newCompactor(t)
	return t, nil
}

// shownLog is the directory as people know it.
func (t *changesTable) shownLog() string { return t.show(t.log.Table()) }

// claimGeneration commits the claim's generation to changes/, making the table if need
// be. Nothing is read back before: from here on a lower generation's commit is refused.
func (t *changesTable) claimGeneration(ctx context.Context) error {
	_, err := t.log.CommitWhile(ctx, delta.Anywhere, func([]delta.Entry) error {
		known, err := readFacts(t.log.Snapshot(), &t.claim)
		if err != nil {
			return fmt.Errorf("read the ledger of %s: %w", t.dir, err)
		}
		return ledger.Fence(known.ledger.Generation, &t.claim)
	}, func(snap *delta.Snapshot) ([]delta.Action, error) {
		actions := []delta.Action{t.commitInfo("CLAIM")}
		if snap.Version < 0 {
			actions = append(actions, delta.Action{Protocol: protocol()}, delta.Action{Metadata: t.metadata(newID(), "changes", columns(nil).schema(), []string{colDate})})
			actions = append(actions, fact(domainTable, tableFactOf(&t.claim, &facts{ledger: &ledger.Table{}})))
		}
		return append(upgrade(snap, actions), t.claimed()), nil
	})
	if errors.Is(err, delta.ErrNotCommitted) {
		return unwritable("claim", t.dir, err)
	}
	return err
}

// Marks are the queues' positions in the target.
func (t *changesTable) Marks() []pipeline.QueueMark { return t.facts.ledger.Marks() }

// Buffered is what was written since the last Flush.
func (t *changesTable) Buffered() (rows int, bytes int64) { return t.batch.rows, t.batch.bytes }

// AdoptBegin makes prev the queue's mark, because its next message is a BEGIN with that link.
func (t *changesTable) AdoptBegin(q pipeline.QueueID, prev event.Seq) error {
	if t.broken != nil {
		return t.broken
	}
	t.batch.ledger.Adopt(q, prev)
	return nil
}

// flushed is the outcome of a flush of changes/.
type flushed struct {
	pipeline.Flushed
	added []*delta.Add // files
	facts bool         // more than marks has changed
}

// Flush commits everything written with the new marks.
func (t *changesTable) Flush(ctx context.Context) (flushed, error) {
	if t.broken != nil {
		return flushed{}, t.broken
	}
	b := t.batch
	if b.ledger.Empty() {
		return flushed{Flushed: pipeline.Flushed{Version: t.log.Snapshot().Version}}, nil
	}
	start := t.now()
	if err := t.finishAll(ctx); err != nil {
		return flushed{}, t.undone(err)
	}
	out := flushed{Flushed: pipeline.Flushed{Rows: b.rows, Files: len(b.added)}, added: b.added, facts: b.changed()}
	for _, a := range b.added {
		out.Bytes += a.Size
	}
	version, err := t.commit(ctx)
	if err != nil {
		return flushed{}, err
	}
	out.Version = version
	t.facts = b.facts()
	t.observe(start, out.Flushed)
	t.reset()
	return out, nil
}

func (t *changesTable) observe(start time.Time, out pipeline.Flushed) {
	m, l := t.metrics, t.labels()
	m.rows.WithLabelValues(l...).Add(float64(out.Rows))
	m.bytes.WithLabelValues(l...).Add(float64(out.Bytes))
	m.files.WithLabelValues(l...).Add(float64(out.Files))
	now := t.now()
	m.flush.WithLabelValues(l...).Observe(now.Sub(start).Seconds())
	if !t.batch.newest.IsZero() && !t.batch.newest.After(now.Add(ledger.Ahead)) {
		m.lag.WithLabelValues(l...).Set(now.Sub(t.batch.newest).Seconds())
	}
}

// commit makes the batch visible on the marks it was built on, or not at all.
func (t *changesTable) commit(ctx context.Context) (int64, error) {
	if seeded.On(seeded.MarkBeforeFlush) && len(t.batch.added) > 0 {
		files := t.batch.added
		t.batch.added = nil
		if _, err := t.log.Commit(ctx, t.actions()); err != nil {
			return 0, t.fail(err)
		}
		t.facts, t.batch.added = t.batch.facts(), files
		t.batch.ledger = t.facts.ledger.Begin()
	}
	version, err := t.commitWhile(ctx, func(*delta.Snapshot) ([]delta.Action, error) { return t.actions(), nil })
	switch {
	case err == nil:
		return version, nil
	case errors.Is(err, delta.ErrNotCommitted):
		return 0, t.drop(unwritable("commit to", t.shownLog(), err))
	case errors.Is(err, errRefused):
		return 0, t.fail(err)
	}
	return 0, t.fail(fmt.Errorf("commit to %s: the outcome is unknown: %w", t.shownLog(), err))
}

// errRefused says that the table is not this claim's any more, or is not what the batch was
// built on: nothing was committed.
var errRefused = errors.New("the commit is not allowed")

// commitWhile commits to changes/ what build makes, while the table is still ours.
func (t *changesTable) commitWhile(ctx context.Context, build func(*delta.Snapshot) ([]delta.Action, error)) (int64, error) {
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
func (t *changesTable) stillOurs() error {
	snap := t.log.Snapshot()
	known, err := generationOf(snap)
	if err != nil {
		return err
	}
	mark := func(q int) (event.Seq, bool) { return markOf(snap, &t.claim, q) }
	if err := t.batch.ledger.StillOn(known, &t.claim, mark); err != nil {
		return err
	}
	if snap.Metadata.SchemaString != t.facts.columns.schema() && !seeded.On(seeded.RewriteAboveMark) {
		return fmt.Errorf("the schema of %s was changed by another program: the table must be opened again", t.shownLog())
	}
	return nil
}

// actions is the batch as one commit.
func (t *changesTable) actions() []delta.Action {
	b, snap := t.batch, t.log.Snapshot()
	list := []delta.Action{t.commitInfo("WRITE")}
	names := b.columns.names()
	if text := b.columns.schema(); text != snap.Metadata.SchemaString {
		m := *snap.Metadata
		m.SchemaString = text
		list = append(list, delta.Action{Metadata: &m})
		// The files before lack the new columns, which their statistics must say.
		for _, p := range snap.Paths() {
			a := *snap.Files[p]
			if a.Stats = completeStats(a.Stats, names); a.Stats != snap.Files[p].Stats {
				a.DataChange = false
				list = append(list, delta.Action{Add: &a})
			}
		}
	}
	for _, a := range b.added {
		a.Stats = completeStats(a.Stats, names)
		list = append(list, delta.Action{Add: a})
	}
	now := t.now().UnixMilli()
	queues := b.ledger.Next().Queues
	for q := range queues {
		if b.ledger.Touched(q) {
			list = append(list,
				delta.Action{Txn: &delta.Txn{AppID: appID(t.claim.Pipeline, t.claim.Table, q), Version: int64(queues[q].Seq), LastUpdated: now}},
				fact(fmt.Sprintf("%s%d", domainQueue, q), queueFactOf(q, &queues[q])))
		}
	}
	if b.changed() {
		list = append(list, fact(domainTable, tableFactOf(&t.claim, b.facts())))
	}
	return list
}

// drop forgets what was written since the last Flush; the marks are as they were.
func (t *changesTable) drop(err error) error {
	t.batch.discard(t)
	t.reset()
	return err
}

// undone drops the batch after an error before its commit. A name that is taken is one of
// ours whose fate was unknown: only a new generation has names of its own.
func (t *changesTable) undone(err error) error {
	t.drop(nil)
	if errors.Is(err, fs.ErrExist) {
		return t.fail(err)
	}
	if errors.Is(err, pipeline.ErrUnwritable) {
		return err
	}
	return unwritable("write", t.shownLog(), err)
}

// fail ends the claim: the table must be opened again.
func (t *changesTable) fail(err error) error {
	t.broken = err
	return err
}

// reset begins a new batch on what the ledger says.
func (t *changesTable) reset() { t.batch = newBatch(t.facts) }

// Log is the Delta log of changes/.
func (t *changesTable) Log() *delta.Log { return t.log }

// Facts are those of the last commit. Nothing writes to them any more.
func (t *changesTable) Facts() *facts { return t.facts }

// Total is how many rows of the source changes/ has.
func (t *changesTable) Total() uint64 {
	snap := t.log.Snapshot()
	if t.counted.version == snap.Version {
		return t.counted.rows
	}
	var rows uint64
	for _, p := range snap.Paths() {
		n, err := strconv.ParseUint(snap.Files[p].Tags[rowsTag], 10, 64)
		if err != nil {
			continue // another program's file, which says nothing of itself
		}
		rows += n
	}
	t.counted.version, t.counted.rows = snap.Version, rows-min(rows, t.facts.controls)
	return t.counted.rows
}

// Close joins what runs and drops what was not flushed.
func (t *changesTable) Close() {
	t.pack.close()
	if t.broken == nil {
		t.batch.discard(t)
		t.broken = errClosed
	}
}

var errClosed = errors.New("the table is closed")
