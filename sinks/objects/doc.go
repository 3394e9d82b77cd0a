// Package objects is where a lake's files live: objects that appear whole under a name, or
// not at all. [Local] keeps them in a directory; package s3 in a bucket. Commit logs and
// data files go through a [Store]; files in the making, and what a merge puts aside, lie in
// a [Scratch] on a local disk.
//
// The invariant: of all that put an object under one name with PutIfAbsent, in any process,
// exactly one is told that it did, and the name stands for that one's bytes from then on. An
// outcome that is not known is said to be so ([ErrUnknown]); it is never reported as a
// failure, and nothing is removed on the strength of it.
//
// What callers owe: a name that was deleted is never used again, for a write whose answer
// was lost may still arrive; what Put replaces is a hint, or the same from whoever writes it.
//
// The sinks call it. It has no format of its own: a name is a path below the directory, or
// behind the bucket's prefix. Package storetest holds the suite that every Store passes.
package objects
