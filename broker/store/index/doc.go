// Package index finds messages by key: files of hash slots and chained entries. Only
// package store uses it. Format: docs/format/index.md.
//
// Entries and slots of the newest file change in memory; Flush writes them. It writes and
// syncs the entries first and the slots after, so that a slot on disk never leads to an
// entry that is not there, whatever a crash leaves. The index is derived from the log:
// after a crash some entries are added a second time, and a query returns each place once.
// It answers with candidates; hashes collide, so the caller compares keys.
package index
