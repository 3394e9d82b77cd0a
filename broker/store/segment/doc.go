// Package segment shows a directory of fixed-size files as one space of offsets: a file is
// named, in 20 digits, for the offset at which it starts. Commit log and consume queues are
// such spaces (RocketMQ's MappedFileQueue). Only package store and its children use it.
//
// The invariant: the files are contiguous and, but for the last after a crash, all of the
// full size; what was never written reads as zeroes. A new file and its name are durable
// before a byte of it is written. It knows nothing of what the bytes mean.
package segment
