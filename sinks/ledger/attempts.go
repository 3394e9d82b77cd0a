package ledger

import (
	"slices"

	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline/event"
)

// alter takes in a DDL. A dropped table brings no definition: what was there is kept.
func (b *Batch) alter(m *event.Mark, schema *event.Schema) (told *Deletion) {
	t := b.next
	b.changed = true
	switch {
	case creates(m):
		t.Born = max(t.Born, m.Seq)
	case m.Due != "":
		if m.Seq > max(t.Due, t.Floor) { // the first queue that brings it, and no TRUNCATE has answered it
			b.hold()
			t.Due, told = m.Seq, &Deletion{Mark: m}
		}
	}
	b.define(schema, m.Seq)
	return told
}

// creates says that a mark is the CREATE of a table of which nothing came before.
func creates(m *event.Mark) bool {
	return m.Due == "" && m.Old == (event.SchemaID{}) && m.Schema != (event.SchemaID{})
}

// attempt takes in a BEGIN, and says whether it opens the attempt: no queue has brought it yet.
func (b *Batch) attempt(m *event.Mark, schema *event.Schema) (opens bool) {
	t := b.next
	b.changed = true
	if m.Seq > t.Floor && !slices.Contains(t.Open, m.Seq) {
		b.hold()
		t.Open, opens = append(t.Open, m.Seq), true
		slices.Sort(t.Open)
	}
	b.define(schema, m.Seq)
	return opens
}

// truncate raises the floor of the whole table when the first queue brings it (K7).
func (b *Batch) truncate(m *event.Mark, q int) *Deletion {
	if m.Seq <= b.next.Floor {
		return nil
	}
	b.changed = true
	b.next.raise(m.Seq, q)
	return &Deletion{Mark: m, Below: m.Seq}
}

// end notes that a queue has passed an END; with the last one of the route everything below
// its BEGIN goes (C6).
func (b *Batch) end(m *event.Mark, q int) *Deletion {
	if m.Attempt <= b.next.Floor {
		return nil
	}
	b.changed = true
	if !b.next.passes(m.Attempt, m.Queues, q) {
		return nil
	}
	b.next.raise(m.Attempt, q)
	return &Deletion{Mark: m, Below: m.Attempt}
}

// passes reports whether every queue of the route has passed the END of an attempt, now that
// queue q has.
func (t *Table) passes(begin event.Seq, queues, q int) (all bool) {
	i := slices.IndexFunc(t.Ends, func(e End) bool { return e.Begin == begin })
	if i < 0 {
		i = len(t.Ends)
		t.Ends = append(t.Ends, End{Begin: begin})
	}
	e := &t.Ends[i]
	e.Queues = queues
	if !slices.Contains(e.Passed, q) {
		e.Passed = append(e.Passed, q)
	}
	return len(e.Passed) >= e.Queues || seeded.On(seeded.EndInOneQueue)
}

// raise says that everything below s is gone.
func (t *Table) raise(s event.Seq, q int) {
	t.Floor, t.FloorQ = s, q
	t.Open = slices.DeleteFunc(t.Open, func(b event.Seq) bool { return b <= s })
	t.Ends = slices.DeleteFunc(t.Ends, func(e End) bool { return e.Begin <= s })
	if t.Due <= s {
		t.Due = 0
	}
	if t.Whole() {
		t.Held = 0
	}
}
