// Package column maps columns of MySQL to columns of ClickHouse: which type a column has in
// the target, and how a value of the source becomes bytes of the target's Native format.
//
// It is pure: no connection, no clock. The sink and package ddl use it.
//
// Invariants: a value is checked before any byte of it is kept; the same event.Value gives
// the same bytes, whether it came from a snapshot or from the log; what a type can't hold
// follows the [Policy], and the caller is told, so that it can be counted. A key's value is
// never changed: two keys must not become one.
//
// The types are those of docs/clickhouse.md. The bytes are ClickHouse's Native format, as
// the driver's columns decode it: little-endian fixed widths, texts behind a uvarint length,
// a Nullable's flags before its values.
package column
