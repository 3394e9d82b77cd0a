package parquet

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/delta"
	"github.com/millrace/millrace/sinks/ledger"
)

// Table is one claimed target table. One goroutine uses it.
type Table struct {
	sink  *Sink
	claim pipeline.Claim
	at    string // in the store
	dir   string // as people and other programs know it
	log   *slog.Logger
	// changes is the log of changes/; facts are what it said when it was read or committed last.
	changes *delta.Log
	facts   *facts
	batch   *batch
	names   atomic.Int64 // of files that were given one
	// broken is why nothing more can be done under this claim.
	broken error

	current *current // nil when current/ is off
	pack    *compactor

	// counted is how many rows changes/ had at a version.
	counted struct {
		version int64
		rows    uint64
	}
	vacuumed time.Time
}

// checkpointEvery is how many commits a log checkpoint covers.
const checkpointEvery = 50

func (s *Sink) openTable(ctx context.Context, claim pipeline.Claim) (*Table, error) {
	t := &Table{
		sink: s, claim: claim, at: s.tableDir(&claim), dir: s.show(s.tableDir(&claim)), vacuumed: s.now(),
		log: s.log.With("pipeline", claim.Pipeline, "sink", claim.Sink, "table", claim.Table.String(), "generation", claim.Generation),
	}
	var err error
	if t.changes, err = delta.Open(ctx, s.store, path.Join(t.at, "changes")); errors.Is(err, delta.ErrCorrupt) {
		err = fmt.Errorf("%w; bring it back from a copy, or remove the directory %s: what the source has is then read anew", err, t.dir)
	}
	if err != nil {
		return nil, err
	}
	if err := t.claimGeneration(ctx); err != nil {
		return nil, err
	}
	if t.facts, err = readFacts(t.changes.Snapshot(), &claim); err != nil {
		return nil, fmt.Errorf("read the ledger of %s: %w", t.dir, err)
	}
	if err := t.checkFiles(ctx); err != nil {
		return nil, err
	}
	t.reset()
	t.pack = newCompactor(t)
	if s.cfg.Current.Interval > 0 {
		if t.current, err = openCurrent(ctx, t); err != nil {
			return nil, err
		}
	}
	if err := t.writeViews(ctx); err != nil {
		return nil, err
	}
	return t, nil
}

// claimGeneration commits the claim's generation to changes/, making the table if need
// be. Nothing is read back before: from here on a lower generation's commit is refused.
func (t *Table) claimGeneration(ctx context.Context) error {
	_, err := t.changes.CommitWhile(ctx, delta.Anywhere, func([]delta.Entry) error {
		known, err := readFacts(t.changes.Snapshot(), &t.claim)
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
		return append(upgrade(snap, actions), fact(domainGeneration, generationFact{t.claim.Generation})), nil
	})
	if errors.Is(err, delta.ErrNotCommitted) {
		return unwritable("claim", t.dir, err)
	}
	return err
}

func (t *Table) metadata(id, part, schema string, partition []string) *delta.Metadata {
	return &delta.Metadata{
		ID: id, Name: t.claim.Table.String() + "/" + part, Format: delta.Format{Provider: "parquet", Options: map[string]string{}},
		SchemaString: schema, PartitionColumns: partition, CreatedTime: t.sink.now().UnixMilli(),
		Configuration: map[string]string{
			"delta.deletedFileRetentionDuration": intervalText(t.sink.cfg.Keep.Removed.D()),
			"delta.logRetentionDuration":         intervalText(t.sink.cfg.Keep.Log.D()),
		},
	}
}

func intervalText(d time.Duration) string {
	return fmt.Sprintf("interval %d seconds", max(1, int64(d/time.Second)))
}

// newID is a random UUID.
func newID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// engine is what the sink's commits call it.
const engine = "millrace"

func (t *Table) commitInfo(operation string) delta.Action {
	return delta.Action{CommitInfo: map[string]any{
		"timestamp": t.sink.now().UnixMilli(), "operation": operation, "operationParameters": map[string]string{},
		"engineInfo": engine, "millraceGeneration": t.claim.Generation,
	}}
}

// nextName makes names of files different. Any goroutine may call it.
func (t *Table) nextName() int64 { return t.names.Add(1) }

// Marks are the queues' positions in the target.
func (t *Table) Marks() []pipeline.QueueMark { return t.facts.ledger.Marks() }

// Buffered is what was written since the last Flush.
func (t *Table) Buffered() (rows int, bytes int64) { return t.batch.rows, t.batch.bytes }

// AdoptBegin makes prev the queue's mark, because its next message is a BEGIN with that link.
func (t *Table) AdoptBegin(q pipeline.QueueID, prev event.Seq) error {
	if t.broken != nil {
		return t.broken
	}
	t.batch.ledger.Adopt(q, prev)
	return nil
}

// Flush commits everything written with the new marks.
func (t *Table) Flush(ctx context.Context) (pipeline.Flushed, error) {
	if t.broken != nil {
		return pipeline.Flushed{}, t.broken
	}
	b := t.batch
	if b.ledger.Empty() {
		return pipeline.Flushed{Version: t.changes.Snapshot().Version}, nil
	}
	start := t.sink.now()
	if err := t.finishAll(ctx); err != nil {
		return pipeline.Flushed{}, t.undone(err)
	}
	out := pipeline.Flushed{Rows: b.rows, Files: len(b.added)}
	for _, a := range b.added {
		out.Bytes += a.Size
	}
	version, err := t.commit(ctx)
	if err != nil {
		return pipeline.Flushed{}, err
	}
	out.Version = version
	if t.current != nil {
		t.current.leave()
	}
	t.facts = b.facts()
	if t.current != nil {
		t.current.note(b.added, b.changed())
	}
	t.observe(start, out)
	t.reset()
	return out, nil
}

func (t *Table) observe(start time.Time, out pipeline.Flushed) {
	m, l := t.sink.metrics, []string{t.claim.Pipeline, t.claim.Sink, t.claim.Table.String()}
	m.rows.WithLabelValues(l...).Add(float64(out.Rows))
	m.bytes.WithLabelValues(l...).Add(float64(out.Bytes))
	m.files.WithLabelValues(l...).Add(float64(out.Files))
	now := t.sink.now()
	m.flush.WithLabelValues(l...).Observe(now.Sub(start).Seconds())
	if !t.batch.newest.IsZero() && !t.batch.newest.After(now.Add(ledger.Ahead)) {
		m.lag.WithLabelValues(l...).Set(now.Sub(t.batch.newest).Seconds())
	}
}

// commit makes the batch visible on the marks it was built on, or not at all.
func (t *Table) commit(ctx context.Context) (int64, error) {
	if seeded.On(seeded.MarkBeforeFlush) && len(t.batch.added) > 0 {
		files := t.batch.added
		t.batch.added = nil
		if _, err := t.changes.Commit(ctx, t.actions()); err != nil {
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
		return 0, t.drop(unwritable("commit to", t.sink.show(t.changes.Table()), err))
	case errors.Is(err, errRefused):
		return 0, t.fail(err)
	}
	return 0, t.fail(fmt.Errorf("commit to %s: the outcome is unknown: %w", t.sink.show(t.changes.Table()), err))
}

// errRefused says that the table is not this claim's any more, or is not what the batch was
// built on: nothing was committed.
var errRefused = errors.New("the commit is not allowed")

// commitWhile commits to changes/ what build makes, while the table is still ours.
func (t *Table) commitWhile(ctx context.Context, build func(*delta.Snapshot) ([]delta.Action, error)) (int64, error) {
	return t.changes.CommitWhile(ctx, delta.Anywhere, func([]delta.Entry) error {
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
	snap := t.changes.Snapshot()
	known, err := generationOf(snap)
	if err != nil {
		return err
	}
	mark := func(q int) (event.Seq, bool) { return markOf(snap, &t.claim, q) }
	if err := t.batch.ledger.StillOn(known, &t.claim, mark); err != nil {
		return err
	}
	if snap.Metadata.SchemaString != t.facts.columns.schema() && !seeded.On(seeded.RewriteAboveMark) {
		return fmt.Errorf("the schema of %s was changed by another program: the table must be opened again", t.sink.show(t.changes.Table()))
	}
	return nil
}

// actions is the batch as one commit.
func (t *Table) actions() []delta.Action {
	b, snap := t.batch, t.changes.Snapshot()
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
	now := t.sink.now().UnixMilli()
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
		return t.fail(err)
	}
	if errors.Is(err, pipeline.ErrUnwritable) {
		return err
	}
	return unwritable("write", t.sink.show(t.changes.Table()), err)
}

// fail ends the claim: the table must be opened again.
func (t *Table) fail(err error) error {
	t.broken = err
	return err
}

// reset begins a new batch on what the ledger says.
func (t *Table) reset() { t.batch = newBatch(t.facts) }

// Close joins what runs and drops what was not flushed.
func (t *Table) Close() error {
	if t.current != nil {
		t.current.close()
	}
	t.pack.close()
	if t.broken == nil {
		t.batch.discard(t)
		t.broken = errClosed
	}
	return nil
}

var errClosed = errors.New("the table is closed")

var (
	_ pipeline.SinkTable = (*Table)(nil)
	_ pipeline.Troubled  = (*Table)(nil)
	_ pipeline.Dated     = (*Table)(nil)
	_ pipeline.Founded   = (*Table)(nil)
	_ pipeline.Merged    = (*Table)(nil)
	_ pipeline.Counted   = (*Table)(nil)
)
