// Package event is the vocabulary of the pipeline half: a change of one row, the
// schema it was made under, the place in the source's log it came from, and the
// bytes that carry all of this in a message.
//
// Everything here is a value: no goroutines, no I/O, no clock. Sources make Items,
// the bus packs them into Slices (one message each) and sinks read Slices back.
//
// Invariants: a value's encoding is canonical (equal values have equal bytes), so
// that key hashes, touched-key sets and comparisons work on bytes; a snapshot row
// and a stream row of the same state have identical images. The formats are
// documented in docs/format/event.md.
package event
