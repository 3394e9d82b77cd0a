// Package bus joins events to a broker's owned queues: it is where the pipeline half
// meets the client. Publisher is the source's side, one for each opening of a pipeline;
// Subscription, Control and Schemas are the sinks' side; Endpoint makes all of them.
// pipeline/runner uses it.
//
// # How a row becomes visible
//
// Add packs items into a group: one slice for each touched queue, each naming the number
// before it in its queue. When a group is closed its slices leave as half messages, all
// queues at once, several groups in flight. When every half of a group is acknowledged,
// the group's record is appended to the checkpoint queue behind the one before it: that
// append is the decision. Then the halves are resolved, in order. What fails on the way
// is not mended: the publisher stops with an error, everything held in memory is void,
// and the next opening reads what is true.
//
// Invariants: an opening fences every older one before it reads anything. A position is
// in a record only when all before it is acknowledged. A row's number is never given to
// another row. Nothing is published while it is in doubt whether its queue holds it: the
// identities in the queue decide.
//
// # What Publisher expects of a source
//
// Numbers rise strictly in each queue. Chunk rows, BEGIN and END take the counter's value
// and raise it by 2, so that a chunk's reservation is {At: first number, Count: 2 × rows}.
// A KindCommit ends each transaction whose rows were handed over, with the same Tx. A
// chunk is handed over between two transactions and ended by KindChunkEnd. When a group
// ended inside a chunk, the attempt comes back with Chunk one higher and the old cursor:
// the chunk is read anew under another name.
//
// # What the pipeline file changes
//
// Declare compares the tables that are captured with what is recorded. A table that the
// file gives another number of queues, or another key, is paused by name until the file
// says again what its queues were filled by; one that is not captured any more is paused
// until it is captured again. Either comes back with an attempt that is due. A key that a
// statement changed is no such change: the statement is a mark in every queue, rows behind
// it go by the new key, and the attempt that it makes due replaces what is older.
//
// Not done yet: topics of one pipeline on several brokers; the direct mode and stock
// brokers; moving a table to another route; a local mirror of the checkpoint queue; one
// request that carries both record and resolution.
//
// The rules are in docs/delivery.md, the formats in docs/format/event.md and
// docs/format/checkpoint.md.
package bus
