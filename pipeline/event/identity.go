package event

import "time"

// TableName names a source table. Its text form is "db.table".
type TableName struct{ DB, Table string }

// String returns "db.table".
func (n TableName) String() string { return n.DB + "." + n.Table }

// Seq is the number that orders everything: epoch (15 bits) << 48 | counter (48 bits).
type Seq uint64

// MakeSeq joins an epoch and a counter.
func MakeSeq(epoch uint16, counter uint64) Seq { return Seq(uint64(epoch)<<48 | counter) }

// Epoch is the high part of s.
func (s Seq) Epoch() uint16 { return uint16(s >> 48) }

// Counter is the low part of s.
func (s Seq) Counter() uint64 { return uint64(s) & (1<<48 - 1) }

// Tx is a source transaction. Rows of one transaction share one *Tx; it is immutable
// once handed over.
type Tx struct {
	// ID is the transaction's name: its GTID text, or "<epoch>/<file>:<pos>" where
	// the server has none. For chunk rows it is "snap/<attempt>/<chunk>".
	ID string
	// CommitTime is the source's commit time, UTC, microseconds.
	CommitTime time.Time
	// Start is the position at which reading this transaction again begins.
	Start Position
}

// Identity names a row (or a DDL, END, heartbeat, barrier) for ever: transaction,
// index among the rows of its own table in it, and part (0, or 0 and 1 for the two
// halves of a changed key or keyless update).
type Identity struct {
	Tx    string
	Index uint64
	Part  uint8
}

// Position is a place in a source's log between two transactions, and, where a
// group ended inside a transaction, how much of that transaction was handed over.
type Position struct {
	Server  string // identity: server_uuid, server_uid, or "domain/server_id"
	GTIDSet string // executed set before the transaction at File:Pos; "" without GTIDs
	File    string
	Pos     uint64
	Epoch   uint16
	Counter uint64 // counter at File:Pos
	// Done is the number of the last item handed over inside the transaction that
	// starts here; 0 when the position is a clean boundary.
	Done Seq
	// DoneID is that item's identity.
	DoneID Identity
	// Print is the fingerprint of the last complete transaction before File:Pos.
	Print Fingerprint
	// XA are the XA transactions that are prepared here and not decided, with their ranges
	// of the log: besides what follows the position they are read again. Opaque to all but
	// the source.
	XA string
	// Tables are those of which something is not certain here, up to where, and attempts that
	// the source itself has coming. Opaque to all but the source.
	Tables string
	// Time is a time by the server's clock, in microseconds since 1970: what the server's
	// log held then is before this position. 0 = no such time is known.
	Time int64
}

// SamePlace reports whether two positions differ in nothing but how late they are known to
// hold.
func (p Position) SamePlace(q Position) bool {
	p.Time, q.Time = 0, 0
	return p == q
}

// Fingerprint lets a source prove that its log still holds what was read from it:
// the end event of the last complete transaction.
type Fingerprint struct {
	File     string
	Pos      uint64 // start of the event
	Type     uint8
	Time     uint32
	Size     uint32
	Checksum uint32
}

// IsZero reports whether p is the zero position (never opened).
func (p Position) IsZero() bool { return p.File == "" && p.GTIDSet == "" && p.Server == "" }
