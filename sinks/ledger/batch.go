package ledger

import (
	"fmt"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/link"
)

// Batch is a table's ledger as it will be when what was written since the last commit is
// committed.
type Batch struct {
	base    *Table
	next    *Table
	touched map[int]bool
	changed bool
}

// Begin begins a batch on what the ledger says.
func (t *Table) Begin() *Batch {
	return &Batch{base: t, next: t.Clone(), touched: map[int]bool{}}
}

// Step is what a slice means for the target.
type Step struct {
	Q    int         // the queue's number
	Rows []event.Row // to be written, all above the mark
	// Delete is a deletion below a number that is to be recorded with the rows, nil for none.
	Delete *Deletion
	// Opens says of a BEGIN that no queue has brought it before.
	Opens bool
}

// Deletion is a row of kind x: with Below 0 it deletes nothing and says that from its number
// on changes are not told one by one.
type Deletion struct {
	Mark  *event.Mark
	Below event.Seq
}

// Next is the ledger as it will be. Once it is committed nothing writes to it any more.
func (b *Batch) Next() *Table { return b.next }

// Base is the ledger that the batch was begun on.
func (b *Batch) Base() *Table { return b.base }

// Empty says that no mark has moved.
func (b *Batch) Empty() bool { return len(b.touched) == 0 }

// Touched says that a queue's mark is to be written.
func (b *Batch) Touched(q int) bool { return b.touched[q] }

// Changed says that something beside the marks is to be written.
func (b *Batch) Changed() bool { return b.changed }

// queue is a queue's entry; one that the target has never seen gets the next number.
func (b *Batch) queue(id pipeline.QueueID) int {
	if q := b.next.Find(id); q >= 0 {
		return q
	}
	b.next.Queues = append(b.next.Queues, Queue{ID: id})
	return len(b.next.Queues) - 1
}

// Adopt makes prev a queue's mark, because its next message is a BEGIN with that link (K3).
func (b *Batch) Adopt(id pipeline.QueueID, prev event.Seq) {
	q := b.queue(id)
	b.next.Queues[q].Seq, b.next.Queues[q].At = prev, event.Identity{}
	b.touched[q] = true
}

// Take takes a slice in and says what of it is to be written; ok is false for one that is in
// the target already. schema is the definition of the slice's rows, or the one that it
// brings; nil for slices without. A slice that leaves a hole is an error and changes
// nothing. Where what the step asks for cannot be written the whole batch is given up.
func (b *Batch) Take(id pipeline.QueueID, s *event.Slice, schema *event.Schema, now time.Time) (step Step, ok bool, err error) {
	var mark event.Seq
	if q := b.next.Find(id); q >= 0 {
		mark = b.next.Queues[q].Seq
	}
	switch link.Judge(mark, s) {
	case link.Drop:
		return Step{}, false, nil
	case link.SeekBack:
		return Step{}, false, fmt.Errorf("queue %d of %s: a message follows %d, the mark is %d: messages between are missing",
			id.Queue, s.Table, s.Prev, mark)
	}
	step = Step{Q: b.queue(id)}
	q := &b.next.Queues[step.Q]
	switch s.Kind {
	case event.KindRow:
		b.define(schema, 0)
		step.Rows = link.Above(mark, s)
		for i := range step.Rows {
			q.High = max(q.High, step.Rows[i].Seq)
		}
	case event.KindDDL:
		step.Delete = b.alter(s.Mark, schema)
	case event.KindBegin:
		step.Opens = b.attempt(s.Mark, schema)
	case event.KindTruncate:
		step.Delete = b.truncate(s.Mark, step.Q)
	case event.KindEnd:
		step.Delete = b.end(s.Mark, step.Q)
	}
	if step.Delete != nil {
		q.High = max(q.High, s.Mark.Seq)
	}
	b.route(s.Mark)
	q.Seq, q.At = s.Hi, s.To
	q.pass(s, now)
	b.touched[step.Q] = true
	return step, true, nil
}

// route takes over how many queues the table has.
func (b *Batch) route(m *event.Mark) {
	if m == nil || m.Queues <= 0 || m.Seq <= b.next.RouteAt {
		return
	}
	if b.next.Route != m.Queues {
		b.changed, b.next.Rerouted = true, m.Seq
	}
	b.next.Route, b.next.RouteAt = m.Queues, m.Seq
}
