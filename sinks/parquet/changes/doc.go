// Package changes is changes/, the log of all row changes of a target table: a Delta table to
// which files are added, with the ledger of every queue's mark in the same commit.
//
// parquet opens one for each claim; one goroutine uses it, and packing of small files runs
// beside that goroutine. Invariants (K4, K9 and K10 of docs/delivery.md): rows and marks appear
// in one commit; it is made only on the marks that its rows were built on, and only while no
// higher generation is in the table; packing changes no row. Columns and facts are documented
// in docs/format/lake.md.
package changes
