// Package selfcheck compares the tables of a running pipeline with their source, round after
// round, gently: one table at a time, so many rows a second, memory bounded. The runner runs
// one for each pipeline whose file does not say verify.every: off.
//
// A table that the pipeline does not know can't be found by comparing those that it knows: so
// the source's tables are counted, too, beside the comparisons, which may take long.
//
// It remembers in a directory of the daemon's, beside the pauses: a record of when the round
// began, what each table's last look found, and where the reading of the present table was,
// whose rows stand beside it. The record is written aside, made durable and renamed; rows are
// durable before the record names them. Whoever loses the directory loses no data: verified
// through is never again, until the next pass.
//
// Invariant: Through moves only by a pass over the whole table that found it equal, and to
// the time at which that pass began.
package selfcheck
