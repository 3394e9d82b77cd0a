// Package serve answers ClickHouse's native protocol out of an engine in the same process.
// What it cannot do, and where it differs from a server, is in package chserver's doc.go.
//
// A connection is a session of the engine's. A goroutine serves it; while a statement runs
// that takes no data, a second one watches the socket for a cancel or the client's end and
// kills the statement.
package serve
