// Package mysql reads the changes of a MySQL or MariaDB server: it implements
// pipeline.Source on the server's row-based binary log.
//
// It composes its children and is imported only by the table of connectors: stream
// takes events off the wire, held keeps them back until their transaction's end is known,
// decode turns rows into images, schema knows the tables at the reader's place in the log,
// snapshot reads tables in chunks. Its own rooms are reader (the place in the log and the
// numbers), tables (definitions, whether rows flow, and why not), attempts (snapshots) and
// audits (definitions are compared with the server's, docs/adr/0012-audits-in-windows.md);
// opening puts them together.
//
// Invariants. Every row of the log has a number that depends on nothing but the log's
// bytes, the epoch and the reservations handed in at Open, so that any re-read mints
// the same numbers whatever tables are captured. Nothing is guessed: what cannot be
// decoded exactly pauses its table with the reason, and a log that does not hold what
// the position says is pipeline.ErrHistory. A row read by SELECT and the same row read
// from the log have identical bytes.
//
// Nothing of a transaction is handed over before its end was read, and nothing of it that
// was rolled back; rows of an XA transaction come with its COMMIT
// (docs/adr/0010-transactions-wait-for-their-end.md).
//
// Not done yet: the log that MariaDB 12 can keep inside InnoDB; system-versioned tables,
// which are paused by name.
//
// How late the reader's place is known to hold is proven by a pulse: every few seconds the
// server is asked for its time and then for its log's end, and a reader that has passed that
// end has all that the log held then. Positions carry that time, heartbeats tell of it.
//
// What is not certain of a table at the reader's place is a part of the position (unsure):
// a restart knows what the process knew.
//
// All connections of an opening lead to the server whose log is read (account.Server). One
// that leads to another, because an address was moved, is closed before it is asked anything,
// and the log's own connection is made anew: only what that finds decides where to go on.
package mysql
