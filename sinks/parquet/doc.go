// Package parquet is the sink that writes Parquet files into Delta tables: changes/ is
// the log of all row changes, current/ the table as it is, one row a key. It composes its
// children: package changes and package current keep one table each and know nothing of each
// other, lake is what they share, file how rows lie in a file; readback shares nothing with
// any of them.
//
// The runner uses it through pipeline.Sink; one goroutine uses one table. The invariants
// (the sinks' rules of docs/delivery.md, K1 to K11) are the children's; here they meet:
// current/ is asked what it still needs before entries or small files of changes/ go.
//
// The layout, the types and the ledger are documented in docs/format/lake.md.
package parquet
