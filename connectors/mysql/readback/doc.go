// Package readback reads the present rows of MySQL or MariaDB tables for verification.
// It shares nothing with the capture path but the way to the server (account): plain SELECTs through database/sql, in one
// consistent snapshot a table, with the server's own rendering of values.
package readback
