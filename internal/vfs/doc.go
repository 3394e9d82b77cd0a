// Package vfs is the file system that everything durable goes through: the store, the
// broker's tables, the Parquet sink. It exists so that faults can be injected and power
// cuts replayed; it has exactly the operations that its callers use.
//
// [OS] is the machine's file system. [Mem] is one in memory that knows which bytes and
// which directory entries would survive a power cut: [Mem.CrashClone] returns what a
// restart would find. Package errorfs wraps either and fails, tears or counts operations.
//
// What callers owe, and what Mem holds them to: bytes are durable after [File.Sync], and
// a new, renamed, linked or removed name is durable after [FS.SyncDir] of its directory.
// Until then a power cut keeps, of each 512-byte sector, the old bytes or the new, and of
// each directory the first so many of its changes.
//
// Names are slash paths, relative to the process's directory or absolute. Whoever makes a
// name from outside input checks it first; nothing here does. Files are read and written
// by offset; there is no mapping, because a fault in one is a signal and not an error.
package vfs
