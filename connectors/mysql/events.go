package mysql

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"github.com/millrace/millrace/connectors/mysql/held"
	"github.com/millrace/millrace/connectors/mysql/stream"
	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// tx is the transaction that is being read. Its end is known. What it was means nothing while
// none is open.
type tx struct {
	open    bool
	serial  uint64
	gtid    stream.GTID
	named   bool // gtid is set
	known   bool // it was read from another server before
	doubt   bool // which of its rows hold is not known
	touched []*table
	start   stream.Place
	time    uint32
	name    string
	ev      *event.Tx       // once an item needed it
	commit  *event.Position // with ev: the one behind it, when it ends
}

// id is the transaction's name.
func (t *tx) id() string {
	if t.name == "" {
		var stack [80]byte
		t.name = string(t.gtid.AppendText(stack[:0]))
	}
	return t.name
}

// gtidOf is the transaction's GTID, nil without one.
func (t *tx) gtidOf() *stream.GTID {
	if t.named {
		return &t.gtid
	}
	return nil
}

// txEvent is what the items of the transaction share. Where what is unsure of tables changes
// within it, those behind share another one: whoever goes on behind an item must know what was
// known there.
func (o *opening) txEvent() *event.Tx {
	t := &o.tx
	if t.ev != nil && !o.tables.changed {
		return t.ev
	}
	if t.ev != nil {
		if now := o.tables.inPosition(o.stands()); now != t.ev.Start.Tables {
			ev := *t.ev
			ev.Start.Tables, t.ev = now, &ev
		}
		return t.ev
	}
	if !t.named {
		t.name = strconv.Itoa(int(o.epoch)) + "/" + t.start.File + ":" + strconv.FormatUint(t.start.Start, 10)
	}
	when := time.Unix(int64(t.time), 0).UTC()
	if t.gtid.Micros != 0 {
		when = time.UnixMicro(int64(t.gtid.Micros)).UTC()
	}
	both := &bounds{tx: event.Tx{ID: t.id(), CommitTime: when}}
	o.locate(&both.tx.Start)
	t.ev, t.commit = &both.tx, &both.commit
	return t.ev
}

// bounds are the positions of a transaction with items, made at once.
type bounds struct {
	tx     event.Tx
	commit event.Position
}

// startTx begins a transaction at e unless one is open.
func (o *opening) startTx(e *stream.Event) {
	if o.tx.open {
		return
	}
	o.serial++
	o.tx = tx{open: true, serial: o.serial, start: e.Place, time: e.Time}
}

// process takes one event of which it is known what became of it. It appends items to
// o.out. What is numbered and how is in delivery rule S10: two for each statement and end,
// whatever they say; rows by their bytes.
func (o *opening) process(st *held.Step) error {
	e := st.Event
	switch {
	case held.Rows(e.Type):
		o.startTx(e)
		o.tx.doubt = st.Doubt
		return o.onRows(e, st.Withdrawn)
	case e.Type == stream.TableMapEvent:
		o.startTx(e)
		return o.tables.announce(e)
	case e.Type == stream.ExecuteLoadQuery:
		o.startTx(e)
		return o.onLoad(e)
	}
	switch st.Frame {
	case held.None:
		return o.onOther(e)
	case held.GTID:
		return o.onGTID(e)
	case held.Statement:
		o.startTx(e)
		return o.onStatement(st)
	}
	o.startTx(e)
	at := o.take(2)
	switch {
	case !st.Last:
		return nil
	case st.Frame == held.XACommit || st.Frame == held.XARollback:
		return o.decidedXA(st, at)
	case st.Frame == held.Prepared:
		o.preparedXA(st)
	case st.Doubt:
		o.doubted(st, at)
		return o.endTx(e, at+1)
	}
	return o.endTx(e, at)
}

// onOther takes an event that is no part of what a transaction does.
func (o *opening) onOther(e *stream.Event) error {
	switch {
	case e.Type == stream.IncidentEvent:
		return fmt.Errorf("%w: the server wrote an INCIDENT at %s:%d: changes are missing from its log", pipeline.ErrHistory,
			e.Place.File, e.Place.Start)
	case e.Type == stream.MariaPartialRowData:
		return fmt.Errorf("the log has rows in parts at %s:%d, which are not read yet; set binlog_row_event_fragment_threshold on the server "+
			"high enough", e.Place.File, e.Place.Start)
	case e.Type == stream.HeartbeatEvent, e.Type == stream.HeartbeatV2Event:
	case !o.tx.open:
		if started(e) {
			o.tables.temporary.Restart()
		}
		o.passBetween(e)
	}
	return nil
}

// started reports whether e begins the first log of a server that was started: its FORMAT
// has a time, those of later logs and those made up for a connection in one have none.
func started(e *stream.Event) bool {
	const at = 2 + 50 // behind the version of the format and the server's
	return e.Type == stream.FormatEvent && !e.Artificial() && len(e.Body) >= at+4 && binary.LittleEndian.Uint32(e.Body[at:]) != 0
}

func (o *opening) onGTID(e *stream.Event) error {
	o.tx.open = false
	if e.Type == stream.AnonymousGTIDEvent {
		o.startTx(e)
		return nil
	}
	g, err := stream.ParseGTID(e)
	if err != nil {
		return fmt.Errorf("at %s:%d: %w", e.Place.File, e.Place.Start, err)
	}
	o.startTx(e)
	o.tx.gtid, o.tx.named = g, true
	// Another server may have it later in its log than the one that it was read from.
	o.tx.known = o.set.Has(&g) && (!o.server.maria || o.server.strict)
	return nil
}

// onStatement takes a statement that may change tables. One that was rolled back is taken
// like any other: what it did to tables without transactions, and to the log, stays.
func (o *opening) onStatement(st *held.Step) error {
	e, at := st.Event, o.take(2)
	q, err := stream.ParseQuery(e)
	if err != nil {
		return fmt.Errorf("at %s:%d: %w", e.Place.File, e.Place.Start, err)
	}
	// What was handed over already is in the schemas of the position. An ALTER in two phases
	// changes its table where it commits.
	announced := o.tx.gtid.Alter&(stream.AlterStarts|stream.AlterRollsBack) != 0 && !seeded.On(seeded.LogTakenAtItsWord)
	if seq := event.MakeSeq(o.epoch, at); !o.tx.known && seq > o.passed && !announced {
		if err := o.tables.statement(e, &q, seq); err != nil {
			return err
		}
	}
	if st.Last {
		return o.endTx(e, at+1)
	}
	return nil
}

// doubted makes attempts due for the tables of a transaction of whose rows it is not known
// which hold: a savepoint that it went back to is not in the log. at is its end's number.
func (o *opening) doubted(st *held.Step, at uint64) {
	if o.tx.known {
		return
	}
	o.attemptsDue(o.tx.touched, event.MakeSeq(o.epoch, at), "ROLLBACK TO",
		fmt.Sprintf("transaction %s went back to a savepoint that the log does not have", o.tx.id()))
}

// attemptsDue makes attempts of tables due, with a mark in their queues, so that the group
// that holds it records them.
func (o *opening) attemptsDue(tables []*table, seq event.Seq, sql, cause string) {
	if seq <= o.passed {
		return // recorded before
	}
	o.tables.gather(func() {
		for _, t := range tables {
			if t.paused != nil || !t.defined() {
				continue
			}
			o.s.log.Warn("rows are uncertain: a snapshot follows", "table", t.name.String(), "cause", cause)
			o.tables.tell(event.Item{Kind: event.KindDDL, Seq: seq, Table: t.ev,
				DDL: &event.DDL{SQL: sql, Old: t.ev.Schema, New: t.ev.Schema, Due: cause}}, t)
			o.attempts.request(t, cause)
		}
	})
}

// commitMicros is when the transaction was committed, as the log says, in microseconds.
func (t *tx) commitMicros() int64 {
	if t.gtid.Micros != 0 {
		return int64(t.gtid.Micros)
	}
	return int64(t.time) * 1e6
}

// endTx ends the transaction with e, whose number is at, and moves the boundary.
func (o *opening) endTx(e *stream.Event, at uint64) error {
	o.endStatement()
	t := &o.tx
	if err := o.passEnd(e, t.gtidOf(), at); err != nil {
		return err
	}
	o.passTime(t.commitMicros())
	if o.passed != 0 && o.passedOther {
		return o.otherOrder()
	}
	handed := t.ev != nil && o.lastEnd > o.passed
	o.applyReserved()
	o.moved = true
	if handed {
		o.locate(t.commit)
		o.out = append(o.out, event.Item{Kind: event.KindCommit, Seq: o.lastEnd, Tx: t.ev, Commit: t.commit})
		o.moved, o.lastBeat = false, time.Now()
	}
	o.passed, o.handed = 0, 0
	o.s.metrics.transactions.Inc()
	t.open = false // startTx makes it anew
	o.tables.forget(o.stands())
	return nil
}

// endStatement looks for tables that were announced but had no rows: the trace that
// MariaDB leaves of changes made by a foreign key.
func (o *opening) endStatement() {
	o.tables.cascaded(o.attempts.cascade)
}

// otherOrder is the error of a transaction of which a part was read from another server
// and whose rows lie differently here: where to go on in it cannot be known.
func (o *opening) otherOrder() error {
	return fmt.Errorf("%w: a part of transaction %s was read from another server, and its rows lie differently on this one",
		pipeline.ErrHistory, o.tx.id())
}

// onLoad takes a LOAD DATA of a session that logs statements. It has no number: nothing
// of it is handed over but pauses.
func (o *opening) onLoad(e *stream.Event) error {
	q, err := stream.ParseLoadQuery(e)
	if err != nil {
		return fmt.Errorf("at %s:%d: %w", e.Place.File, e.Place.Start, err)
	}
	if seq := event.MakeSeq(o.epoch, o.counter); !o.tx.known && seq > o.passed {
		return o.tables.statement(e, &q, seq)
	}
	return nil
}
