// Package s3 keeps objects in a bucket of Amazon S3 or of anything that speaks its protocol
// with conditional puts ("If-None-Match: *"), on single puts and on the completion of
// uploads in parts. A store that does not refuse a second conditional put of a name is found
// out before the first object is written, and refused by name.
//
// The invariant is that of package objects. Each put carries an id of its own in the
// object's metadata (x-amz-meta-millrace-put). An answer that was lost, or that says nothing
// of what was done (any 5xx, a conflict), is looked up by that id before the put is sent
// again, and so is an answer that the name is taken. A put is called failed only when no
// attempt of it can still arrive; nothing is removed because of an unknown one.
//
// The sinks use it. The SDK signs, corrects the clock and finds credentials; it does not
// retry: what may be sent again is decided here. Names are keys behind the prefix, as they
// are; objects below .millrace-probe/ are this package's own.
package s3
