// Package delta keeps the transaction log of a Delta table in a store of objects: which
// data files the table consists of, its schema, and small facts that change together with
// them. Data files are the caller's business.
//
// The invariant: a commit appears whole or not at all, and of several writers that try
// the same version exactly one succeeds: an entry is put under its name if that is not
// taken. After any error but ErrConflict and ErrNotCommitted the outcome is unknown until the
// log is read again.
//
// The format is Delta's own (github.com/delta-io/delta, PROTOCOL.md), reader version 3 and
// writer version 7 with timestampNtz, domainMetadata, appendOnly and invariants; what we put
// into it is in docs/format/delta.md. Column mapping, deletion vectors and any other feature
// are refused by name, not guessed at.
package delta
