// Package schema knows the captured tables as they are at the reader's place in the
// log: read once from information_schema, carried on by the DDL statements in the log,
// and checked against the TABLE_MAP event in front of every batch of rows.
//
// Invariant: a row is decoded only under a schema whose column count and types the
// log's own TABLE_MAP confirms. Where a statement cannot be understood, or the check
// fails, the table is paused by name; nothing is guessed. The identity of a column is
// kept through RENAME and MODIFY and is never given out again in the life of a table.
package schema
