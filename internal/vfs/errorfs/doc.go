// Package errorfs wraps a file system so that each of its operations has a name, a path
// and a number, and can be made to fail, to tear, or to call the test back. Only tests
// use it.
//
// The invariant: an operation that the [Injector] leaves alone behaves as that of the
// file system below, and one that it fails does nothing there but what a torn write says.
// The wrapper keeps no state but the count of operations; what fails when is the
// Injector's, which must be safe for concurrent use because the operations are.
//
// It has no format. Not here yet: delays other than what an Injector waits for itself.
package errorfs
