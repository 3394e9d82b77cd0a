package mysql

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/connectors/mysql/stream"
	"github.com/millrace/millrace/pipeline/event"
)

// prepared notes, at the end of a prepared XA transaction, which captured tables it
// changed. A transaction that was committed in one phase has nothing to come.
func (o *opening) prepared(e *stream.Event) {
	id, onePhase, ok := preparedID(e.Body)
	if !ok || onePhase {
		return
	}
	if o.xa == nil {
		o.xa = map[string][]*table{}
	}
	o.xa[id] = o.tx.touched
}

// preparedID reads an XA_PREPARE event: one_phase (1), format, length of gtrid, length of
// bqual (4 each), both. The identity has the form that statements have in the log.
func preparedID(b []byte) (id string, onePhase, ok bool) {
	if len(b) < 13 {
		return "", false, false
	}
	format := int32(binary.LittleEndian.Uint32(b[1:]))
	gtrid, bqual := uint64(binary.LittleEndian.Uint32(b[5:])), uint64(binary.LittleEndian.Uint32(b[9:]))
	data := b[13:]
	if gtrid > 64 || bqual > 64 || gtrid+bqual > uint64(len(data)) {
		return "", false, false
	}
	return fmt.Sprintf("X'%x',X'%x',%d", data[:gtrid], data[gtrid:gtrid+bqual], format), b[0] != 0, true
}

// decidedXA takes an XA COMMIT or XA ROLLBACK of a transaction that was prepared before.
// Its rows were in the log when it was prepared and are in the tables from now on: what
// was read of these before lacks them, and nothing else in the log brings them. So an
// attempt becomes due, with the statement as its mark; where the reader has not seen the
// transaction being prepared, for every table.
func (o *opening) decidedXA(sql string, seq event.Seq, commit bool) {
	_, id, _ := strings.Cut(strings.TrimSpace(sql[len("XA "):]), " ")
	id = strings.TrimSpace(id)
	tables, known := o.xa[id]
	delete(o.xa, id)
	if !commit || seq <= o.passed || o.tx.known {
		return
	}
	if !known {
		for _, name := range o.tables.names() {
			tables = append(tables, o.tables.all[name])
		}
	}
	const cause = "an XA transaction was committed whose rows were in the log before"
	for _, t := range tables {
		if t.paused != nil || t.ev == nil || t.ev.Schema == nil {
			continue
		}
		o.s.log.Warn("an XA transaction was committed: a snapshot follows", "table", t.name.String(), "prepared_unseen", !known)
		o.tables.tell(event.Item{Kind: event.KindDDL, Seq: seq, Table: t.ev, Tx: o.txEvent(),
			DDL: &event.DDL{SQL: sql, Old: t.ev.Schema, New: t.ev.Schema, Due: cause}}, t)
		o.attempts.request(t, cause)
	}
}

// touch notes that the transaction has rows of a captured table.
func (t *tx) touch(of *table) {
	if t.xa && !slices.Contains(t.touched, of) {
		t.touched = append(t.touched, of)
	}
}
