// Package snapshot reads whole tables in pieces: it plans ranges over a table's key,
// writes their SELECTs and turns the rows into images. When a piece is read, and what
// of it may be handed over, is its caller's business.
//
// Invariant: going from key to key, each piece begins where the one before ended, in
// the server's own order of the key, so that a cursor is the last key that was read.
// Rows are read in the text protocol with their bytes untouched; images equal those of
// the same rows in the log.
package snapshot
