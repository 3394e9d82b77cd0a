package event

import "time"

// Slice is what one publish group holds for one queue: one message.
type Slice struct {
	Kind   Kind // KindRow, KindDDL, KindTruncate, KindBegin, KindEnd or KindHeartbeat
	Table  TableName
	Schema SchemaID // schema of the rows; the new schema of a DDL (zero for DROP)
	Lo, Hi Seq      // first and last number covered (END marks and heartbeats included)
	Prev   Seq      // the link: Hi of the message before it in its queue; 0 = first in the queue's life
	From   Identity
	To     Identity
	Txs    []SliceTx
	Rows   []Row
	Mark   *Mark // KindDDL, KindTruncate, KindBegin, KindEnd, KindHeartbeat
}

// SliceTx is a source transaction (or a chunk) that a slice holds rows of.
type SliceTx struct {
	ID         string
	CommitTime time.Time
	// End is true when the transaction's last row for this queue is in this slice or an
	// earlier one; QueueRows and TableRows are then its row counts for this queue and
	// for the whole table, so that a reader can wait for whole transactions.
	End                  bool
	EndSeq               Seq
	QueueRows, TableRows uint64
}

// Row is a row change inside a Slice. Before and After alias the message body.
type Row struct {
	Op            Op
	Part          uint8
	Tx            int // index in Slice.Txs
	Index         uint64
	Seq           Seq
	Before, After Image
}

// Mark is a message that is not rows.
type Mark struct {
	Seq     Seq
	ID      Identity
	Time    time.Time
	SQL     string   // DDL
	Old     SchemaID // DDL
	Due     string   // DDL that makes an attempt due
	Attempt Seq      // BEGIN, END: number of the attempt's BEGIN
	Queues  int      // number of queues in the table's current route
	Schema  SchemaID // BEGIN: schema in force
}

// Definition is the schema that the rows of a slice have, or that the slice brings; ok is
// false where it has none (DROP TABLE, TRUNCATE, END, heartbeats).
func (s *Slice) Definition() (id SchemaID, ok bool) {
	switch s.Kind {
	case KindRow:
		return s.Schema, true
	case KindDDL:
		return s.Schema, s.Schema != SchemaID{}
	case KindBegin:
		if id = s.Mark.Schema; id == (SchemaID{}) {
			id = s.Schema
		}
		return id, id != SchemaID{}
	}
	return SchemaID{}, false
}
