// Package pause waits for a time or for the end of a context, whichever comes first. It is
// the one place for that; whoever waits for something else as well has a select of his own.
// Any package may call it, concurrently.
//
// The invariant: where the context has ended before the time was up, its error is returned.
package pause
