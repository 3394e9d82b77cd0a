// Package wire reads what a client of ClickHouse's native protocol says and writes what a
// server answers, at revision 54460, which is the newest that clickhouse-go speaks. Blocks
// of data are package native's.
//
// The format is that of ClickHouse's src/Server/TCPHandler.cpp and src/Core/Protocol.h.
// Lengths are checked against limits before anything is allocated for them.
package wire
