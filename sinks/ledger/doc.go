// Package ledger is what every sink must know of a target table beside its rows: how far
// each queue is, which generation owns it, what has been deleted below a number, which
// attempts are under way, and under which definition it is shown. The rules are K1 to K9 and
// C6 to C8 of docs/delivery.md.
//
// It is pure: no target, no encoding, no clock. A sink stores a Table in its own form, in
// the commit that shows the rows, and reads it back when it claims the table. Between two
// commits it asks a Batch what to do with each slice:
//
//	b := table.Begin()
//	step, err := b.Take(queue, slice, schema, now) // what to write, if anything
//	…                                              // write step.Rows and step.Delete
//	err = b.StillOn(known, mark)                   // before the commit, and after each conflict
//	…                                              // commit rows, b.Next() and the marks
//	table = b.Next()
//
// Invariants: a mark never goes back but by Believe; the floor never goes back; a Table
// that was handed out as Next is never written to again, so that other goroutines may read
// it. A Batch is one goroutine's.
package ledger
