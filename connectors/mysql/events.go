package mysql

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/millrace/millrace/connectors/mysql/stream"
	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// tx is the transaction that is being read.
type tx struct {
	open       bool
	serial     uint64
	gtid       stream.GTID
	named      bool // gtid is set
	standalone bool // MariaDB: one statement, no end event
	begun      bool // MySQL: BEGIN was read
	xa         bool
	touched    []*table // captured tables with rows in it; of XA transactions only
	known      bool     // it was read from another server before
	start      stream.Place
	time       uint32
	name       string
	ev         *event.Tx // once an item needed it
}

// id is the transaction's name.
func (t *tx) id() string {
	if t.name == "" {
		var stack [80]byte
		t.name = string(t.gtid.AppendText(stack[:0]))
	}
	return t.name
}

// event is what the items of the transaction share.
func (o *opening) txEvent() *event.Tx {
	t := &o.tx
	if t.ev != nil {
		return t.ev
	}
	if !t.named {
		t.name = strconv.Itoa(int(o.epoch)) + "/" + t.start.File + ":" + strconv.FormatUint(t.start.Start, 10)
	}
	when := time.Unix(int64(t.time), 0).UTC()
	if t.gtid.Micros != 0 {
		when = time.UnixMicro(int64(t.gtid.Micros)).UTC()
	}
	t.ev = &event.Tx{ID: t.id(), CommitTime: when, Start: *o.position()}
	return t.ev
}

// start begins a transaction at e unless one is open.
func (o *opening) startTx(e *stream.Event) {
	if o.tx.open {
		return
	}
	o.serial++
	o.tx = tx{open: true, serial: o.serial, start: e.Place, time: e.Time}
}

// process takes one event. It appends items to o.out.
func (o *opening) process(e *stream.Event) error {
	if o.verify != nil || o.skipTo.file != "" {
		if skip, err := o.proveHistory(e); skip || err != nil {
			return err
		}
	}
	switch e.Type {
	case stream.TableMapEvent:
		o.startTx(e)
		return o.tables.announce(e)
	case stream.WriteRowsV1, stream.WriteRowsV2, stream.UpdateRowsV1, stream.UpdateRowsV2, stream.DeleteRowsV1, stream.DeleteRowsV2,
		stream.WriteRowsV0, stream.UpdateRowsV0, stream.DeleteRowsV0, stream.PartialUpdateRowsEvent,
		stream.MariaWriteCompressed, stream.MariaUpdateCompressed, stream.MariaDeleteCompressed:
		o.startTx(e)
		return o.onRows(e)
	case stream.XIDEvent:
		o.startTx(e)
		return o.endTx(e, o.take(2))
	case stream.QueryEvent, stream.MariaQueryCompressed:
		o.startTx(e)
		return o.onQuery(e)
	case stream.ExecuteLoadQuery:
		o.startTx(e)
		return o.onLoad(e)
	case stream.XAPrepareEvent:
		o.startTx(e)
		o.prepared(e)
		return o.endTx(e, o.take(2))
	case stream.GTIDEvent, stream.GTIDTaggedEvent, stream.MariaGTIDEvent:
		return o.onGTID(e)
	case stream.AnonymousGTIDEvent:
		o.tx = tx{}
		o.startTx(e)
		return nil
	case stream.IncidentEvent:
		return fmt.Errorf("%w: the server wrote an INCIDENT at %s:%d: changes are missing from its log", pipeline.ErrHistory, e.Place.File, e.Place.Start)
	case stream.MariaPartialRowData:
		return fmt.Errorf("the log has rows in parts at %s:%d, which are not read yet; set binlog_row_event_fragment_threshold on the server high enough", e.Place.File, e.Place.Start)
	}
	o.between(e)
	return nil
}

// between moves the boundary over events that belong to no transaction.
func (o *opening) between(e *stream.Event) {
	if o.tx.open || o.boundary.File == "" {
		// Where only GTIDs name the place, no place is known before a transaction's end.
		return
	}
	if to, ok := rotation(e); ok {
		if to.file != o.boundary.File || to.pos > o.boundary.Pos {
			o.boundary.File, o.boundary.Pos = to.file, to.pos
			o.moved = true
		}
		return
	}
	if !e.Artificial() && e.Place.File == o.boundary.File && e.Place.End > o.boundary.Pos {
		o.boundary.Pos = e.Place.End
		o.moved = true
	}
}

// rotation is where the log goes on by a ROTATE event.
func rotation(e *stream.Event) (to place, ok bool) {
	if e.Type != stream.RotateEvent || len(e.Body) <= 8 {
		return place{}, false
	}
	return place{file: string(e.Body[8:]), pos: binary.LittleEndian.Uint64(e.Body)}, true
}

// proveHistory compares the first event of the log with the fingerprint and then drops
// events up to the boundary.
func (o *opening) proveHistory(e *stream.Event) (skip bool, err error) {
	if to, ok := rotation(e); ok && o.verify == nil && to.file != o.skipTo.file && o.skipTo.less(to) {
		o.skipTo = place{} // there is nothing behind the boundary in its file: the next one holds what comes
		return false, nil
	}
	if e.Artificial() || e.Type == stream.FormatEvent || e.Type == stream.HeartbeatEvent || e.Type == stream.HeartbeatV2Event || e.Type == stream.RotateEvent {
		return true, nil
	}
	if v := o.verify; v != nil {
		if e.Type == stream.StartEncryptionEvent || e.Place.Start != v.Pos && e.Type == stream.MariaGTIDListEvent {
			return true, nil
		}
		o.verify = nil
		p := e.Place
		if got := printOf(p); got != *v && !seeded.On("fingerprint-unchecked") {
			return false, fmt.Errorf("%w: the last transaction that was read ended at %s:%d with an event of type %d, time %d, %d bytes, checksum %08x; there the server now has type %d, time %d, %d bytes, checksum %08x: it was restored or its log replaced",
				pipeline.ErrHistory, v.File, v.Pos, v.Type, v.Time, v.Size, v.Checksum, p.Type, p.Time, p.Size, p.Checksum)
		}
	}
	at := place{file: e.Place.File, pos: e.Place.Start}
	if at.less(o.skipTo) {
		return true, nil
	}
	o.skipTo = place{}
	return false, nil
}

func printOf(p stream.Place) event.Fingerprint {
	return event.Fingerprint{File: p.File, Pos: p.Start, Type: p.Type, Time: p.Time, Size: p.Size, Checksum: p.Checksum}
}

func (o *opening) onGTID(e *stream.Event) error {
	g, err := stream.ParseGTID(e)
	if err != nil {
		return fmt.Errorf("at %s:%d: %w", e.Place.File, e.Place.Start, err)
	}
	o.tx = tx{}
	o.startTx(e)
	o.tx.gtid, o.tx.named = g, true
	o.tx.standalone = g.Standalone && !g.Prepared
	o.tx.xa = g.Prepared
	// Another server may have it later in its log than the one that it was read from.
	o.tx.known = o.set.Has(&g) && (!o.server.maria || o.server.strict)
	return nil
}

// take advances the counter and returns its value before.
func (o *opening) take(n uint64) uint64 {
	at := o.counter
	o.counter += n
	return at
}

// endTx ends the transaction with e, whose number is at, and moves the boundary.
func (o *opening) endTx(e *stream.Event, at uint64) error {
	if o.counter >= 1<<48 {
		return errors.New("the counter of this epoch is full; the pipeline needs a new epoch")
	}
	o.endStatement()
	o.faults = 0
	t := &o.tx
	if t.named && o.set != nil {
		o.set.Add(&t.gtid)
		o.setDirty = true
	}
	o.boundary.File, o.boundary.Pos = e.Place.File, e.Place.End
	o.boundary.Counter = o.counter
	o.boundary.Print = printOf(e.Place)
	o.lastEnd = event.MakeSeq(o.epoch, at)
	if o.passed != 0 && o.passedOther {
		return o.otherOrder()
	}
	handed := t.ev != nil && o.lastEnd > o.passed
	o.applyReserved()
	o.moved = true
	if handed {
		o.out = append(o.out, event.Item{Kind: event.KindCommit, Seq: o.lastEnd, Tx: t.ev, Commit: o.position()})
		o.moved, o.lastBeat = false, time.Now()
	}
	o.passed, o.handed = 0, 0
	o.s.progress(t.time, e.Place)
	o.tx = tx{}
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
	return fmt.Errorf("%w: a part of transaction %s was read from another server, and its rows lie differently on this one", pipeline.ErrHistory, o.tx.id())
}

// onQuery takes a statement: a frame of a transaction, or a change of tables.
func (o *opening) onQuery(e *stream.Event) error {
	at := o.take(2)
	q, err := stream.ParseQuery(e)
	if err != nil {
		return fmt.Errorf("at %s:%d: %w", e.Place.File, e.Place.Start, err)
	}
	sql := bytes.TrimSpace(q.SQL)
	switch word := firstWords(sql); {
	case word == "BEGIN" || word == "START TRANSACTION":
		o.tx.begun = true
		return nil
	case word == "COMMIT" || word == "ROLLBACK":
		return o.endTx(e, at)
	case isWord(word, "SAVEPOINT"), isWord(word, "ROLLBACK TO"), isWord(word, "RELEASE SAVEPOINT"):
		return nil
	case isWord(word, "XA START"), isWord(word, "XA BEGIN"):
		o.tx.xa, o.tx.begun = true, true
		return nil
	case isWord(word, "XA END"), isWord(word, "XA PREPARE"):
		o.tx.xa = true
		return nil
	case isWord(word, "XA COMMIT"), isWord(word, "XA ROLLBACK"):
		if !o.tx.begun {
			o.decidedXA(string(sql), event.MakeSeq(o.epoch, at), isWord(word, "XA COMMIT"))
		}
		return o.endTx(e, at+1)
	}
	// What was handed over already is in the schemas of the position. An ALTER in two phases
	// changes its table where it commits.
	if seq := event.MakeSeq(o.epoch, at); !o.tx.known && seq > o.passed && o.tx.gtid.Alter&(stream.AlterStarts|stream.AlterRollsBack) == 0 {
		if err := o.tables.statement(e, &q, seq); err != nil {
			return err
		}
	}
	if bytes.HasSuffix(bytes.ToUpper(sql), []byte("START TRANSACTION")) {
		o.tx.begun = true // CREATE TABLE … SELECT in one transaction
		return nil
	}
	if o.tx.standalone || !o.server.maria && !o.tx.begun {
		return o.endTx(e, at+1)
	}
	return nil
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

// firstWords is the beginning of a statement in upper case, spaces single.
func firstWords(sql []byte) string {
	var b [32]byte
	n, space := 0, false
	for _, c := range sql {
		if c == ' ' || c == '\t' || c == '\n' || c == '\r' {
			space = true
			continue
		}
		if space && n > 0 && n < len(b) {
			b[n] = ' '
			n++
		}
		space = false
		if n == len(b) {
			break
		}
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		b[n] = c
		n++
	}
	return string(b[:n])
}

func isWord(s, word string) bool {
	return len(s) >= len(word) && s[:len(word)] == word && (len(s) == len(word) || s[len(word)] == ' ')
}
