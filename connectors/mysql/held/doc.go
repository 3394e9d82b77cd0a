// Package held keeps the events of a transaction back until the transaction's end is
// known: what was rolled back in it, as a whole or to a savepoint, is in the log all the
// same. Of XA transactions it keeps the rows from PREPARE to COMMIT.
//
// Only connectors/mysql may import it: its reader gives an Assembler each event of the
// log, and takes Steps from it, which say what became of the event.
//
// Invariants. Steps come in the order of the log, and what they say depends on the log's
// bytes alone, so that each reading says the same. Rows that were withdrawn are Steps as
// well: they count when rows are numbered. What is held is bounded in memory and goes
// beyond that to files that have no name any more, so that a crash leaves none behind;
// it is read back piece by piece and never as a whole.
//
// The events' format is that of package stream; the files hold nothing that outlives the
// process, and their format is not documented.
package held
