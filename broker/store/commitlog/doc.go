// Package commitlog is the log that holds every message: append, read, recover, cut. Only
// package store uses it. Format: docs/format/commitlog.md.
//
// An append copies its bytes into a buffer, under one lock that also decides the order. A
// writer goroutine takes what has gathered and writes it with one pwrite per batch; under
// sync flush it then syncs once for all of them (group commit), and only then are the
// bytes readable and their appends answered. Under async flush the write is enough, and a
// second goroutine syncs at intervals or when an append asks for it.
//
// The invariants:
//
//   - written ≥ flushed; under sync flush nothing above flushed is read by anybody.
//   - Everything above the tail is zero, in the files as well, or was never synced. That
//     is how recovery knows the end; what it cuts off is durably zero before it returns.
//   - A failed write or sync ends the log: no append is answered with success after it.
//     Only a full disk is waited for.
//
// Who reads many messages that lie near each other, with others in between, reads with a
// [Cursor]: it copies them out of blocks that all cursors share, so that readers of queues
// which lie mixed read the files once between them.
//
// The log does not know what a queue is. It checks records' framing, place and checksum
// when it recovers, and nothing when it appends.
package commitlog
