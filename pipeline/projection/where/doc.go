// Package where is the condition that the rows of a table must meet to leave their source:
// what tables.<t>.where of a pipeline file says. Parse reads it, Bind* checks it against a
// table's columns, and a Filter tells of a row whether it meets it.
//
// One evaluator serves the log, snapshots and verification, so that they can't disagree.
// It gives what MySQL and MariaDB give for the same text in a WHERE clause (in a session
// with the time zone UTC, utf8mb4 and no HIGH_NOT_PRECEDENCE), with SQL's three values:
// a row leaves where the condition is true, not where it is NULL. What it can't give exactly
// as the server does, above all comparisons by a collation, is refused by name.
package where
