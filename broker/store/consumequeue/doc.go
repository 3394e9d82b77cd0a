// Package consumequeue is one queue's index into the commit log: an entry of 20 bytes for
// each offset, saying where the message is, how large, and what its tag hashes to. Only
// package store uses it. Format: docs/format/consumequeue.md.
//
// Entries are appended in memory and written when many have gathered or a checkpoint asks
// for it; they are read from wherever they are. A queue is derived from the log: what is
// in its files above the maximum that the checkpoint names counts for nothing, and is
// written over. The invariant: offsets in [base, max) are dense and their places in the
// log rise.
//
// Not here: bitmaps of filters (consumequeue_ext) and batch queues.
package consumequeue
