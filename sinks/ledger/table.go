package ledger

import (
	"slices"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// Table is what a target says of one table. The zero value is a table that was never
// written.
type Table struct {
	// Generation is the claim that holds; lower ones are closed.
	Generation uint64
	// Queues are the queues that the target has seen, by the number that each was given for
	// ever.
	Queues []Queue

	// Floor: what is below it is gone, and is not applied whichever queue brings it (K7).
	// FloorQ is the queue that brought it.
	Floor  event.Seq
	FloorQ int
	// Route is the number of queues in the current route, as the mark numbered RouteAt said.
	Route   int
	RouteAt event.Seq
	// Rerouted is the first mark that said so: before it rows went by another number of queues.
	Rerouted event.Seq

	// Schema is the newest definition, brought by the change numbered SchemaAt; nil while
	// none was seen.
	Schema   *event.Schema
	SchemaAt event.Seq

	// Open are the numbers of BEGINs whose END is not complete, rising.
	Open []event.Seq
	// Ends are the ENDs that some queues have passed and others not.
	Ends []End
	// Due: an attempt that begins above it is needed, because values changed unlogged.
	Due event.Seq
	// Born is the number of the CREATE that made the table, where no attempt is needed.
	Born event.Seq
	// Held is how far the table was complete before Due or the first of Open, in
	// microseconds.
	Held int64
}

// Queue is one queue's place in the ledger.
type Queue struct {
	ID pipeline.QueueID
	// Seq is the mark: everything up to it that the queue brought is in the target. At is
	// the identity of what stands there; zero for a mark that was adopted.
	Seq event.Seq
	At  event.Identity
	// High is the highest row number present when the mark was written (K4). A Batch counts a
	// deletion's number as a row; a sink that writes none for it must not.
	High event.Seq
	// Done is the commit time, in microseconds by the source's clock, up to which the queue
	// is complete; 0 while it is not known.
	Done int64
}

// End is an END on its way through the queues.
type End struct {
	Begin  event.Seq // of its attempt
	Queues int       // of the route
	Passed []int     // by number
}

// Clone is a copy that shares nothing that is ever written to.
func (t *Table) Clone() *Table {
	c := *t
	c.Queues = slices.Clone(t.Queues)
	c.Open = slices.Clone(t.Open)
	c.Ends = slices.Clone(t.Ends)
	for i := range c.Ends {
		c.Ends[i].Passed = slices.Clone(c.Ends[i].Passed)
	}
	return &c
}

// Find is a queue's number, -1 for one that the target has never seen.
func (t *Table) Find(id pipeline.QueueID) int {
	return slices.IndexFunc(t.Queues, func(q Queue) bool { return q.ID == id })
}

// Marks are the queues' marks in the form of a claim.
func (t *Table) Marks() []pipeline.QueueMark {
	marks := make([]pipeline.QueueMark, len(t.Queues))
	for i := range t.Queues {
		q := &t.Queues[i]
		marks[i] = pipeline.QueueMark{Queue: q.ID, Q: i, Seq: q.Seq, ID: q.At, Known: true}
	}
	return marks
}

// Gone says that a row is below the floor.
func (t *Table) Gone(seq event.Seq) bool { return seq < t.Floor }

// Passed says that no queue of the route can bring a row below a number any more, so that a
// deletion of that number need not be remembered (K11).
func (t *Table) Passed(seq event.Seq) bool {
	passed := 0
	for i := range t.Queues {
		if t.Queues[i].Seq >= seq {
			passed++
		}
	}
	route := t.Route
	if route == 0 {
		route = len(t.Queues)
	}
	return passed >= route
}

// Believe compares a queue's mark with the highest number of its rows that the target has
// now. Where the target has lost what it had when the mark was written, the queue goes back
// to the newest of its earlier entries whose rows are there (K4), or to its beginning. The
// highest number itself is no mark: the identity that stands there is not known, and whoever
// seeks it would take it for a number that the broker has lost.
func (q *Queue) Believe(highest event.Seq, earlier []Queue) (rewound bool) {
	if highest >= q.High {
		return false
	}
	back := Queue{}
	for _, e := range earlier { // newest first
		if e.High <= highest && e.Seq <= q.Seq && e.At != (event.Identity{}) {
			back = e
			break
		}
	}
	back.ID = q.ID
	*q = back
	return true
}
