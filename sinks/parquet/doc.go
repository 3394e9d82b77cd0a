// Package parquet is the sink that writes Parquet files into Delta tables: changes/ is
// the log of all row changes, current/ the table as it is, one row a key.
//
// The runner uses it through pipeline.Sink; one goroutine uses one table.
//
// Invariants (the sinks' rules of docs/delivery.md, K1 to K11):
//
//   - rows and the mark that says how far a queue is appear in one commit of changes/;
//   - a commit is made only on the marks its rows were built on, and only while no higher
//     generation is in the table;
//   - an opening commits its generation before it reads anything back;
//   - current/ is derived from changes/ alone, and says up to which version.
//
// The layout, the types and the ledger are documented in docs/format/lake.md.
package parquet
