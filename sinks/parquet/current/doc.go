// Package current is current/, the table as it is, one row a key: a Delta table that is
// merged from the files of changes/ and from nothing else, and says up to which version
// (K11 of docs/delivery.md).
//
// parquet opens one for each claim; one goroutine uses it, and merges run beside that
// goroutine, one at a time. Invariants: a merge becomes visible in one commit that follows the
// version it was made on; rows of a key compete by number; a deletion is remembered beside the
// table until every queue has passed it. What goes wrong leaves current/ older, and nothing
// else. The form of the table is documented in docs/format/lake.md.
package current
