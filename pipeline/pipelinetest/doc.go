// Package pipelinetest is what tests of pipelines stand on: a scripted source, a target
// in memory that checks what it is given, a counter of steps at which a client can be
// stopped, an audit of what the broker holds, and conformance suites for sources and
// sinks. Only tests import it. What needs a broker of its own is in e2e.
//
// Script is a server: transactions over a few tables, definitions and truncations, the
// same for whoever reads it. NewSource is a pipeline.Source over it. Target is a
// pipeline.Sink whose tables outlive the sinks that are opened on them.
//
// # What the stand-ins cannot prove
//
// The source reads a list. It has no connection that tears, no binary log whose bytes
// give the numbers, no decoder, no definition that is read from a server: the suites of
// connectors/mysql prove those. Its snapshot reads what the tables held exactly where its
// reader stands, so the windows of delivery C1 and C2 are trivially empty.
//
// The target commits rows, marks and generation in one step because a mutex says so. That
// a real target does is for its own crash suite to prove, and for Sink to look at.
package pipelinetest
