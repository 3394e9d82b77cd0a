// Package clickhouse is the sink that keeps tables of ClickHouse equal to their sources:
// <table>__cdc holds versions of rows, and the table's own name is a view that shows exactly
// the source's rows and columns.
//
// The runner uses it through pipeline.Sink; one goroutine uses one table.
//
// Invariants (the sinks' rules of docs/delivery.md, K1 to K8):
//
//   - the server itself refuses what a closed generation writes, and what one writes that
//     was opened before the server last started: constraints over Join tables say so;
//   - an opening writes its generation, which nobody else has taken, closes all lower ones,
//     waits for what they run, and only then reads the marks back;
//   - a row is the same row however often it is sent: its version is its number;
//   - rows are in the target before the mark that covers them; a mark that covers rows which
//     are gone goes back;
//   - a row that must be there once (a changelog's, a half of a change) is looked for by number
//     before it is sent again;
//   - what the halves of a table add up to is what its view shows, whenever the table is whole and
//     nothing is under way;
//   - statements that change tables only add, so that one that comes late does no harm.
//
// column has the types, ddl the statements, server the connection; what the target says of
// itself is in docs/clickhouse.md.
package clickhouse
