// Package file is how rows lie in one Parquet file of a lake: which type a column of the
// source has, how its values are encoded and read back, also from files that other programs
// have written, what a file's statistics and page index say, and how a file is written and
// read.
//
// changes and current use it. It knows no table: what becomes of a file is its caller's
// business. Invariants: a name in the store stands for a whole file or for nothing; bounds
// hold for every value, or there are none; a value that a type cannot hold exactly is an
// error that says so. Types, names and encodings are documented in docs/format/lake.md.
//
// A Writer or Reader is one goroutine's. Columns are values: what grew is a copy.
package file
