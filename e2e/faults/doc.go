// Package faults runs the real binary as a process and hurts it: it is killed at random
// moments while a database is changed in every way that a pipeline carries, its servers
// are sent garbage, its disk is full, its database is killed or put back to an older
// state. What has to hold is always the same: what was acknowledged is there, source and
// target are equal in the end, no identity stands twice in changes/, and what can't be
// right is named instead of guessed.
//
// Every random choice comes from a seed that is printed and that MILLRACE_SEED sets.
// MILLRACE_FAULT_TIME makes the random runs longer than the 25 seconds that `make test`
// gives them.
package faults
