// Package life is the one owner of what a pipeline's tables do: each table's Table, and the
// events that change it. Nobody else derives a state. The pipeline's runner makes a Tables
// for as long as the pipeline runs, and shows it; its publishers (pipeline/bus) report to it
// what the records say at an opening, what the file says of the tables, and what they hand
// over; the runner reports what people ask for.
//
//	who              reports
//	records          Opened: what a restart would find
//	pipeline file    Taken, Misrouted, LeftOut
//	people           Asked (to pause), Withdrawn (by resume)
//	source, and the
//	publisher itself Paused, Resumed, Dropped, Created, Due, Begun, Advanced, Ended
//
// A table has four facts that change apart from each other: whether the source has it, what
// the file says of it, whether it stands, and which snapshot of it is owed or under way.
// Rules lists what each event does to each. What people see follows from all four, the first
// that holds:
//
//	the source dropped it          dropped
//	the file leaves it out         excluded
//	it stands, or is asked to      paused (code)
//	its snapshot is under way      snapshot
//	its snapshot is owed           due
//	else                           running
//
// Invariant: once everything that was reported is in the records, a Table is what Opened
// would make of them; only wishes that no record has are beside it (pipeline/bus tests it).
// What a pipeline as a whole does (it is paused, or its source is away) is the runner's.
package life
