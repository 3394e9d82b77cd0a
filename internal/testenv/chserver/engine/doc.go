// Package engine runs ClickHouse inside this process: it loads libchdb, which is
// ClickHouse as a shared library, without cgo, and hands statements to it.
//
// Only the server of package chserver may use it, in a process of its own: an engine that
// fails takes the process with it.
//
// The library serves one directory at a time. Connections to it are cheap, are sessions of
// their own (current database, temporary tables, settings), run side by side, and each runs
// one statement at a time. Any goroutine may call; a Conn is one goroutine's at a time.
//
// The functions are those of chdb.h of chdb-io/chdb-core. Values go over as pointers and
// lengths, never as structs.
package engine
