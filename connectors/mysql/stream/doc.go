// Package stream takes a server's binary log off the wire: it asks for it as a replica
// does, checks every event's checksum, keeps the exact place of each event in the log
// and unpacks compressed transactions. It knows GTIDs and transaction frames, and
// nothing of tables and values.
//
// One Reader is one connection. It never reconnects: only its owner knows from where
// reading on is right. What it holds in memory is bounded in bytes: it stops reading
// from the socket while its owner is behind.
//
// Formats: the replication protocol and event layouts of MySQL and MariaDB, as in
// their own documentation; see also docs/format/event.md for the place of an event.
package stream
