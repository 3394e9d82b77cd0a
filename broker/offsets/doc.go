// Package offsets keeps how far each consumer group has read each queue.
//
// Package broker owns the one Table. A commit is in memory at once and on disk at the
// next Flush, every five seconds and at a clean stop: after a crash a group reads a few
// messages again. An offset never says that messages were consumed which were not; it
// may say less. The number of entries is bounded.
//
// The file is RocketMQ's consumerOffset.json, replaced as a whole, the version before
// kept as .bak and read when the file is damaged.
package offsets
