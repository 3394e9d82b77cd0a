package event

// Kind says what an Item is.
type Kind uint8

// The kinds of items a source hands over, in log order.
const (
	KindRow      Kind = iota + 1 // a row change of the stream (c, u, d) or a snapshot row (r)
	KindCommit                   // end of a source transaction; Seq is the number of its end event
	KindDDL                      // schema change of a table; goes into every queue of it
	KindTruncate                 // TRUNCATE of a table; its Seq is the floor S; every queue
	KindBegin                    // BEGIN of an attempt; every queue
	KindChunkEnd                 // the rows of a chunk are complete; carries the attempt's new cursor; no message of its own
	KindEnd                      // END of an attempt; every queue
	// the reader stands at Commit; may become a message in idle queues; Seq is 0 before the first transaction of an opening
	KindHeartbeat
	KindPaused  // the source stopped this table, with a reason; no message
	KindResumed // the source took this table up again; no message
	KindDue     // the source owes this table an attempt that nobody asked it for; no message
)

// Op is the operation of a row, in Debezium's letters.
type Op byte

// The operations of KindRow.
const (
	OpCreate Op = 'c'
	OpUpdate Op = 'u'
	OpDelete Op = 'd'
	OpRead   Op = 'r' // snapshot row
	OpBelow  Op = 'x' // in targets only: deletion of everything below a number
)

// Item is one step of a source. Items and what they point to are valid until the
// call of Next that follows; Table, Tx and Attempt values are immutable and may be kept.
type Item struct {
	Kind  Kind
	Op    Op
	Part  uint8
	Index uint64 // see Identity; for chunk rows the index in the chunk
	Seq   Seq
	Table *Table
	Tx    *Tx
	// Before and After are row images (see Image). c and r have After only, d has
	// Before only, u has both. For keyless tables u is split into d (part 0) and
	// c (part 1); a changed key or routing column is split the same way.
	Before, After Image
	// Commit is set on KindCommit, KindHeartbeat, KindBegin, KindEnd and KindChunkEnd:
	// the position after the item, from which nothing before it needs reading again.
	Commit *Position
	// DDL is set on KindDDL.
	DDL *DDL
	// Attempt is set on KindBegin, KindChunkEnd, KindEnd, KindDue and on rows with OpRead.
	Attempt *Attempt
	// Reason is set on KindPaused.
	Reason *PauseReason
}

// Table is a captured table under one schema. A change of schema makes a new Table.
type Table struct {
	Name   TableName
	Schema *Schema
	// KeyColumns are the indexes of the columns that choose the queue: the configured
	// key, else the primary key, else (keyless) every column.
	KeyColumns []int
	// Keyless is true when there is neither a primary key nor a unique NOT NULL key:
	// the table is then a changelog with signs.
	Keyless bool
	Queues  int
}

// DDL describes a schema change.
type DDL struct {
	SQL string
	Old *Schema // nil for a new table
	New *Schema // nil for DROP TABLE
	// Due is not empty when stored values changed without row events (delivery C8), so
	// that an attempt is due; it says why.
	Due string
}

// Attempt is one snapshot of one table: BEGIN, chunks, END.
type Attempt struct {
	Table TableName
	Begin Seq    // number of BEGIN; names the attempt. 0 before BEGIN was emitted
	Chunk uint64 // chunks emitted
	// Cursor is the key after which the next chunk starts, opaque to all but the source.
	Cursor []byte
	// Rows emitted and the estimate for the whole table, for progress.
	Rows, Estimate uint64
	Cause          string
}

// Percent is the attempt's progress, 0 to 100.
func (a Attempt) Percent() float64 {
	switch {
	case a.Estimate == 0 && a.Rows == 0:
		return 0
	case a.Rows >= a.Estimate:
		return 99.9
	default:
		return float64(a.Rows) * 100 / float64(a.Estimate)
	}
}

// Reservation is a range of numbers that a chunk or barrier took (delivery C4): on reading again,
// when the counter equals At (at a transaction boundary) Count is added to it.
type Reservation struct {
	At    uint64
	Count uint64
}

// PauseReason says why a table (or a whole pipeline) stands still.
type PauseReason struct {
	Code   PauseCode
	Text   string // the thing, the cause and the remedy
	Where  Position
	Serial string // gtid or key concerned, may be empty
}
