// Package native finds the ends of the columns in blocks of ClickHouse's Native format, so
// that a block can go from one dialect of it to another without its values being understood.
//
// There are two dialects here. What the engine reads and writes as FORMAT Native is the
// format of protocol revision 0: numbers of columns and rows, then for each column its name,
// its type and its values. On a connection of revision 54454 and later the block begins with
// its block info, and a byte that says "no custom serialization" stands behind each type. The
// bytes of the values are the same.
//
// The format of each type is that of ClickHouse's src/DataTypes/Serializations. States of
// AggregateFunction and types that no protocol of that revision carries are refused by name.
// Memory follows what has come, never what a length claims.
package native
