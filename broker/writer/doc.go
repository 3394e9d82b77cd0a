// Package writer is the rule book of owned queues: which writer may append to a queue,
// under which term, and behind which message. To the broker a writer is a name and
// nothing more; any program that has a single writer can use it.
//
// Package txn and broker/processor call it. The rules are asked inside the store's append
// lock, through [Seat], [HalfSeat] and the gate of an opening, which are store.Gates: what
// they say at that moment is the order of the log.
//
// Invariants:
//   - In an owned queue the link chain is unbroken: a message enters only if its mr_prev
//     is the mr_hi of the message before it, and under the writer's current term.
//   - A term is closed for ever from the place in the log where the record of a higher
//     one stands; an opening is answered only when that record is durable.
//   - The state is a function of the log: records of openings, and the properties of the
//     messages around them.
//   - No record of an opening, and no last message of a queue, leaves the log before a
//     record that says the same stands further on.
//
// The registry's mutex is a leaf: it is taken inside the append lock and inside package
// txn's mutex, and nothing is called with it held.
//
// Format: docs/format/writer.md. The rules are B1 to B8 of docs/delivery.md.
//
// Not here yet: records split over several messages (a writer with more queues than one
// message can describe is refused when it opens).
package writer
