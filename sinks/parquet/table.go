package parquet

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/parquet/changes"
	"github.com/millrace/millrace/sinks/parquet/current"
	"github.com/millrace/millrace/sinks/parquet/lake"
)

// Table is one claimed target table: changes/, and current/, which follows it. One goroutine
// uses it.
type Table struct {
	*lake.Owner
	changes *changes.Table
	current *current.Table // nil when current/ is off
}

func (s *Sink) openTable(ctx context.Context, claim pipeline.Claim) (*Table, error) {
	o := lake.NewOwner(s.Lake, claim, s.tableDir(&claim))
	changes, err := changes.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	changes.Alone = s.cfg.Current.Interval <= 0
	t := &Table{Owner: o, changes: changes}
	if s.cfg.Current.Interval > 0 {
		if t.current, err = current.Open(ctx, o, s.cfg.Current, changes); err != nil {
			return nil, err
		}
		changes.Wanted = t.current.Wants
	}
	if err := t.writeViews(ctx); err != nil {
		return nil, err
	}
	return t, nil
}

// Marks are the queues' positions in the target.
func (t *Table) Marks() []pipeline.QueueMark { return t.changes.Marks() }

// Write encodes one slice. After ErrUnwritable everything since the last Flush is dropped
// and Marks say where to go on.
func (t *Table) Write(ctx context.Context, q pipeline.QueueID, s *event.Slice) error {
	return t.changes.Write(ctx, q, s)
}

// Buffered is what was written since the last Flush.
func (t *Table) Buffered() (rows int, bytes int64) { return t.changes.Buffered() }

// AdoptBegin makes prev the queue's mark, because its next message is a BEGIN with that link.
func (t *Table) AdoptBegin(q pipeline.QueueID, prev event.Seq) error {
	return t.changes.AdoptBegin(q, prev)
}

// Flush commits everything written with the new marks.
func (t *Table) Flush(ctx context.Context) (pipeline.Flushed, error) {
	if t.current != nil {
		t.current.Leave()
	}
	out, err := t.changes.Flush(ctx)
	if err == nil && t.current != nil {
		t.current.Note(out.Added, out.Changed, out.Newest)
	}
	return out.Flushed, err
}

// Maintain does one step that is due: a merge into current/ (which runs beside the
// caller), a log checkpoint, a vacuum, or the packing of small files (which also runs beside
// the caller).
func (t *Table) Maintain(ctx context.Context) error {
	if t.changes.Err() != nil {
		return t.changes.Err()
	}
	keep := int64(math.MaxInt64)
	if t.current != nil {
		if err := t.current.Step(); errors.Is(err, pipeline.ErrSuperseded) {
			return t.changes.Fail(err)
		} else if err != nil {
			return err
		}
		keep = t.current.Merged() + 1
	}
	return t.changes.Maintain(ctx, keep)
}

// Trouble says why current/ stands still or falls behind while changes/ goes on, "" while it
// does not.
func (t *Table) Trouble() string {
	if t.current == nil {
		return ""
	}
	return t.current.Trouble()
}

// CompleteTo is the commit time up to which readers of changes/ and of current/ have
// everything. It survives restarts, for it stands in the logs beside the files.
func (t *Table) CompleteTo() (changes, current time.Time) {
	changes = timeOf(t.changes.Facts().Ledger.CompleteTo())
	if t.current == nil {
		return changes, time.Time{}
	}
	return changes, timeOf(t.current.CompleteTo())
}

func timeOf(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

// Founded reports whether the table was ever here as a whole.
func (t *Table) Founded() bool { return t.changes.Facts().Ledger.Founded() }

// Merged is the version of changes/ up to which current/ has everything.
func (t *Table) Merged() int64 {
	if t.current == nil || t.current.Level() {
		return math.MaxInt64
	}
	return t.current.Merged()
}

// Total is how many rows of the source changes/ has.
func (t *Table) Total() uint64 { return t.changes.Total() }

// PutAside is what is put aside.
func (t *Table) PutAside() pipeline.PutAside { return t.changes.PutAside() }

// ReplayLetters gives changes/ again what was put aside.
func (t *Table) ReplayLetters(ctx context.Context, seqs []event.Seq) (pipeline.LettersDone, error) {
	return t.changes.WorkLetters(ctx, seqs, t.changes.Replay, t.flush)
}

// DropLetters gives up what was put aside.
func (t *Table) DropLetters(ctx context.Context, seqs []event.Seq) (pipeline.LettersDone, error) {
	return t.changes.WorkLetters(ctx, seqs, t.changes.GiveUp, t.flush)
}

func (t *Table) flush(ctx context.Context) error {
	_, err := t.Flush(ctx)
	return err
}

// Close joins what runs and drops what was not flushed.
func (t *Table) Close() error {
	if t.current != nil {
		t.current.Close()
	}
	t.changes.Close()
	return nil
}

var (
	_ pipeline.SinkTable = (*Table)(nil)
	_ pipeline.Troubled  = (*Table)(nil)
	_ pipeline.Dated     = (*Table)(nil)
	_ pipeline.Founded   = (*Table)(nil)
	_ pipeline.Merged    = (*Table)(nil)
	_ pipeline.Counted   = (*Table)(nil)
	_ pipeline.Lettered  = (*Table)(nil)
)
