// Package javainterop holds Millrace against Apache RocketMQ's own programs: a data
// directory that goes back and forth between RocketMQ's broker and ours, and RocketMQ's
// tools and clients on a Millrace cluster. It has tests only. They need a JDK and the
// release that package testenv fetches; MILLRACE_SKIP knows it as rocketmq.
//
// The invariant: whoever owns the directory, every record reads the same, byte for byte
// of what a client sees, at the same place.
//
// Not here: stores whose consume queues are in RocketMQ's RocksDB, tiered storage, and
// replication between the two.
package javainterop
