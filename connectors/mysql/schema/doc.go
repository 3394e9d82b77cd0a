// Package schema knows the captured tables as they are at the reader's place in the
// log: read once from information_schema, carried on by the DDL statements in the log,
// and checked against the TABLE_MAP event in front of every batch of rows.
//
// Invariant: a row is decoded only under a schema whose column count and types the
// log's own TABLE_MAP confirms. Where a statement cannot be understood, or the check
// fails, the table is read anew, compared with the server or paused by name; nothing is
// guessed, and nothing is passed over. The identity of a column is kept through RENAME
// and MODIFY and is never given out again in the life of a table.
//
// A statement goes through four rooms. It is read (lexer.go, read.go) as the server read
// it: comments, executable comments, quotes under the session's SQL mode, MariaDB's SET
// STATEMENT … FOR. Statements that can change neither columns nor rows of base tables
// are told by their first words (harmless.go). Those that move, empty or drop whole
// tables are read by a grammar of their own (moved.go). Definitions go to the parser
// (ddl.go); what that refuses is judged by its subject and its parts (refuse.go). What is
// left makes an Audit of every known table that it names, and of all of its default
// database when it names none. Statements in the place of row events say so (written.go,
// routines.go).
//
// An ALTER TABLE is gathered first and applied as a whole (alter.go, altercolumn.go,
// alterkey.go, arrange.go), as the servers do it: names in it are those of the table
// before it. Which index is the key is judged anew with every change (index.go). A
// default is converted here only when nothing has to be rounded, cut or looked up in a
// collation or time zone (defaults.go); else an attempt is due.
//
// Temporary tables are told by the event's flag and by what their sessions did
// (temporary.go). After a start those of sessions that go on are not known; a statement
// that may be about one has its table read anew.
//
// Apply does no I/O. All text is UTF-8: of a statement in another charset only the words
// are believed, and a name that is not UTF-8 is in no change.
package schema
