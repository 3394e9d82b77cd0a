package clickhouse

import (
	"errors"
	"log/slog"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/clickhouse/column"
	"github.com/millrace/millrace/sinks/clickhouse/ddl"
	"github.com/millrace/millrace/sinks/clickhouse/server"
	"github.com/millrace/millrace/sinks/ledger"
	"github.com/millrace/millrace/sinks/letters"
)

// Table is one claimed target table. One goroutine uses it.
type Table struct {
	sink   *Sink
	claim  pipeline.Claim
	target ddl.Name
	types  column.Options
	shape  Shape
	log    *slog.Logger

	// rec and led are what the ledger in the target says; rec has besides what led does not.
	rec *record
	led *ledger.Table
	// letters are the changes that are put aside.
	letters *letters.Book
	// landed are rows above the marks that are in the target, where none may be twice.
	landed landed
	// unmarked are the highest of them, and queuesKnown how many queues the ledger had.
	unmarked    unmarked
	queuesKnown int
	// lifeNow is the server's life that the table was claimed in.
	lifeNow uint64
	// slot is where the ledger was written last, since slotAt; writes counts this claim's.
	slot   uint16
	slotAt time.Time
	writes uint64
	// shown are the views' definitions, defined their queries as the server has them.
	shown, defined map[ddl.Name]string

	// fenced is when the fence was looked at; trouble is what failed beside the stream last.
	fenced   time.Time
	trouble  string
	sweeping sweeping

	// absent are the numbers of stores whose tables somebody has dropped.
	absent []int

	batch *batch
	// room is that of the block that was sent last.
	room room
	// broken is why nothing more can be done under this claim.
	broken error
}

// Marks are the queues' positions in the target.
func (t *Table) Marks() []pipeline.QueueMark {
	marks := t.led.Marks()
	known := marks[:0]
	for _, m := range marks {
		m.Known = m.Seq > 0 || t.rec.Again == nil
		known = append(known, m)
	}
	return known
}

// Buffered is what was written since the last Flush.
func (t *Table) Buffered() (rows int, bytes int64) { return t.batch.size() }

// AdoptBegin makes prev the queue's mark, because its next message is a BEGIN with that link.
func (t *Table) AdoptBegin(q pipeline.QueueID, prev event.Seq) error {
	if t.broken != nil {
		return t.broken
	}
	t.batch.last().led.Adopt(q, prev)
	return nil
}

// Close drops what was not flushed.
func (t *Table) Close() error {
	if t.broken == nil {
		t.broken = errClosed
	}
	return nil
}

var errClosed = errors.New("the table is closed")

// fail ends the claim: the table must be opened again.
func (t *Table) fail(err error) error {
	t.broken = err
	return err
}

// isMissing says that a statement failed because a table is not there.
func isMissing(err error) bool { return server.Code(err) == 60 || server.Code(err) == 81 }

// CompleteTo is the commit time up to which readers have everything.
func (t *Table) CompleteTo() (changes, current time.Time) {
	at := timeOf(t.led.CompleteTo())
	if s := shown(t.rec.Stores, t.whole()); s != nil && t.led.Schema != nil && !s.holds(t.led.Schema, t.types) {
		return at, time.Time{} // its changes go into another store, which is not filled yet
	}
	return at, at
}

// Total is how many rows of the source were written, of all the table's life. What was sent
// again counts again.
func (t *Table) Total() uint64 { return t.rec.Total }

func timeOf(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

var (
	_ pipeline.SinkTable = (*Table)(nil)
	_ pipeline.Dated     = (*Table)(nil)
	_ pipeline.Troubled  = (*Table)(nil)
	_ pipeline.Counted   = (*Table)(nil)
	_ pipeline.Lettered  = (*Table)(nil)
)
