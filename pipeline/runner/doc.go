// Package runner supervises pipelines: it joins each one's source to the bus and the bus
// to its sinks, starts again with back-off what failed, keeps a failure with the table
// that has it, reloads pipeline files when they change, and says how all of it is.
//
// Runner is used by the daemon and the command line's standalone mode; its methods may be
// called concurrently. Invariant: it never decides what is true. Positions come from the
// pipeline's checkpoint queue, marks from the target, what a table does from its life
// (package life); what the runner remembers itself is only whether a person paused something.
//
// What it shows is put together when somebody asks: states follow from what the source, the
// records and the targets say then, and lag from the times up to which they are complete
// (freshness), so that nothing that stands can look as it did before it stood. The words are
// package pipeline's lists.
//
// It does not share pipelines between workers yet: one process runs all of its directory.
package runner
