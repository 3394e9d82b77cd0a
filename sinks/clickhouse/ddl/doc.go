// Package ddl writes the statements that the ClickHouse sink sends: definitions of tables,
// views and of the sink's own bookkeeping. It is pure text; the sink alone uses it.
//
// Invariants: every name and every text goes through [Ident] and [String]; each statement
// can be sent again, and sent late by an owner that was superseded, without harm: tables
// and columns are only ever added, under names that are used once.
package ddl
