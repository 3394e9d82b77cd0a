// Package retention keeps messages that a pipeline has not taken yet when the log's own
// rules would let them go, up to a bound (delivery B8). The broker hands a Keeper to its
// store, which asks before it removes a log file.
//
// It speaks for owned topics and for the groups of their writer, named <writer>--<sink>,
// and goes by the offsets that they commit. Other consumers hold nothing, as in RocketMQ,
// nor does a group that never committed, or whose messages are gone already.
//
// Its invariant: a file goes before a group has read it only at the bound, or when the
// disk needs the room; then that is logged and counted by topic and group, and the topic's
// reader finds out by its next pull, which is below the queue's minimum. Other topics are
// held on.
package retention
