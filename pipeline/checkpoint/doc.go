// Package checkpoint is what a pipeline's checkpoint queue says: its records, which of
// them are valid, and the state that they add up to. It is used by pipeline/bus, which
// reads and appends the messages; here is no I/O, no clock and no goroutine.
//
// Three kinds of records stand in the queue. Open closes every lower term. Group decides
// one publish group: its append is the decision, and what it lists may be made visible.
// Base holds the whole state, so that reading can begin there; a large one lies in
// several consecutive messages and counts when all of them are there.
//
// Invariants: a record is valid iff no Open of a higher term stands before it and its
// Pred is the number of the last valid Group or Base before it. The state after a record
// depends on the valid records up to it and on nothing else. A number listed by a valid
// record is never given to another row.
//
// The format is documented in docs/format/checkpoint.md, what records mean in
// docs/delivery.md (S1 to S7). Places are kept for what the bus does not do yet: a table
// that is read on from the place at which it was paused, one that moves to another route,
// and the direct mode.
package checkpoint
