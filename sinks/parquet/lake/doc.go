// Package lake is what the Delta tables of one target table share: where they lie, the claim
// under which they are written, its generation, how long what no longer counts stays, and the
// facts that changes/ has beside its files.
//
// parquet makes a Lake for a sink and an Owner for each claim of a table; changes and current
// are written through it. The invariant (K10 of docs/delivery.md): an Owner's generation is in
// a Delta table before anything of that table is read back or removed.
//
// A Lake and what Facts hold may be used by any goroutine.
package lake
