// Package metric registers what several parts of a process count together: the sinks of all
// pipelines, and the stores under them. Anybody may call it, concurrently.
//
// The invariant: whoever registers a collector of the same description counts in the one that
// was there first, so that a process has one of each.
package metric
