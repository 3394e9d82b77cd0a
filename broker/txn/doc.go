// Package txn keeps half messages: invisible until an END or a RESOLVE decides about them,
// once and for ever. It serves RocketMQ's transactional producers and, together with
// package writer, the writers of owned queues.
//
// Only package broker and broker/processor may use it. [Open] rebuilds what is pending
// from the log and starts nothing; [Service.Run] asks back, writes operation records and
// snapshots until its context ends.
//
// Invariants:
//   - A half is pending, then committed or rolled back, once. Which, is decided inside the
//     store's append: the gate of a final message (or of a rollback's record) admits it
//     only while the half is pending, so of two ENDs in flight one wins and the other is
//     told the winner's outcome.
//   - The final message is its half's resolution: one append, which names the half by the
//     place of its first copy (preparedTransactionOffset). Pending is therefore a function
//     of the log: halves − resolutions. The snapshot file only makes a restart fast.
//   - No outcome is answered before it is as durable as the broker promises, to a writer
//     always after a sync.
//   - A pending half does not leave the log: before retention removes its file it is put
//     again under the same name. A writer's half is never given up; an ordinary one after
//     15 check-backs, into TRANS_CHECK_MAX_TIME_TOPIC.
//   - Deleting a topic decides nothing. A half that is bound for it stays pending, and a
//     commit is refused with [ErrNoQueue] as long as its queue does not exist: the message
//     would be where nobody can read it. It can be rolled back, and committed when the topic
//     was created again; an ordinary half that nobody decides ends as any other, after 15
//     check-backs in TRANS_CHECK_MAX_TIME_TOPIC. A commit that was let in before the
//     deletion belongs to what is deleted.
//
// Lock order: the store's append lock, then Service.mu, then the writer registry's.
// Nothing of the store is called with Service.mu held.
//
// Topics and records are RocketMQ's (half messages, operation records with tag d); what is
// added is documented in docs/format/writer.md; the rules are B3 to B6 of docs/delivery.md.
//
// Not here yet: several half queues, acting as a slave's transaction service.
package txn
