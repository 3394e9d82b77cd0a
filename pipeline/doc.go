// Package pipeline says what a pipeline is: a source whose changes go, in order and
// numbered, through owned queues of a broker into the tables of one or more sinks.
// It is a contract: connectors and sinks implement it, the runner drives it, and it
// imports neither.
//
// # Promises
//
//  1. A position is durable only after everything before it is.
//  2. A durable position never skips an event that was not handed over.
//  3. Writing the same batch twice leaves the target as if it were written once.
//  4. The hand-over from snapshot to log is a position like any other.
//  5. Stopping drains or discards, and never half-acknowledges.
//  6. A position that is ahead of what it points into (the source, the broker or the
//     target lost data or was restored) is found when it is opened, named, and repaired
//     by rewinding or paused. It is never waited for in silence.
//
// The suites of pipelinetest crash between every two steps and assert them.
package pipeline
