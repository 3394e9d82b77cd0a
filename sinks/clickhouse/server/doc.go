// Package server is a ClickHouse server as the sink talks to it: statements, one block an
// insert, and errors that say what to do.
//
// The sink alone uses it, from any goroutine. Every statement carries a comment (its
// query_id begins with it) by which a later owner finds it in system.processes.
//
// Invariants: an insert is one block, which the server takes whole or not at all for one
// partition; async_insert and every deduplication by the server are off for it, whatever the
// server's profile says; an error says whether something may have been written.
package server
