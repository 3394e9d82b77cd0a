// Package store keeps a broker's messages: one commit log for all queues, a consume queue
// per queue that points into it, and an index by key. It is an assembly: it composes
// segment, commitlog, consumequeue and index, which never import it. Only the broker half
// may use it. [Open] recovers and starts nothing; [Store.Run] flushes, dispatches and
// deletes until its context ends.
//
// The invariants:
//
//   - A put is answered only when the configured guarantee holds: under [FlushSync] after
//     fdatasync, under [FlushAsync] when the operating system has the bytes (a kill of the
//     process loses nothing, a power cut may).
//   - Under FlushSync nobody reads, and no consume queue or index points at, a byte that is
//     not flushed.
//   - A queue's next offset is given out under the append lock and only there, so offsets
//     are dense and one offset has one body, for ever.
//   - Consume queues, index and checkpoints are derived from the log. They may be behind,
//     torn or gone; [Open] makes them again.
//   - After a failed write or sync the store acknowledges nothing more; [Store.Run]
//     returns the error. A full disk is not a failure: writes are refused with
//     [ErrDiskFull] until there is space again.
//
// Formats: docs/format/commitlog.md, consumequeue.md, index.md; all but the dispatch
// checkpoint are RocketMQ's, byte for byte.
//
// Not here yet: batch consume queues, consume queue extensions, several commit log
// directories, appending a master's bytes on a slave.
package store
