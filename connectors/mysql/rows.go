package mysql

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/millrace/millrace/connectors/mysql/decode"
	"github.com/millrace/millrace/connectors/mysql/stream"
	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// rowsKind is what an event's type says about its rows.
type rowsKind struct {
	op                event.Op
	extra, compressed bool
}

func kindOf(t stream.Type) rowsKind {
	switch t {
	case stream.WriteRowsV0, stream.WriteRowsV1:
		return rowsKind{op: event.OpCreate}
	case stream.UpdateRowsV0, stream.UpdateRowsV1:
		return rowsKind{op: event.OpUpdate}
	case stream.DeleteRowsV0, stream.DeleteRowsV1:
		return rowsKind{op: event.OpDelete}
	case stream.WriteRowsV2:
		return rowsKind{op: event.OpCreate, extra: true}
	case stream.UpdateRowsV2, stream.PartialUpdateRowsEvent:
		return rowsKind{op: event.OpUpdate, extra: true}
	case stream.DeleteRowsV2:
		return rowsKind{op: event.OpDelete, extra: true}
	case stream.MariaWriteCompressed:
		return rowsKind{op: event.OpCreate, compressed: true}
	case stream.MariaUpdateCompressed:
		return rowsKind{op: event.OpUpdate, compressed: true}
	case stream.MariaDeleteCompressed:
		return rowsKind{op: event.OpDelete, compressed: true}
	}
	panic(fmt.Sprintf("BUG: event type %d has no rows", t))
}

// onRows numbers a rows event and, if its table is captured, hands its rows over. The
// numbers come from the event's bytes alone, before anything is looked at; of rows that were
// withdrawn there is nothing else.
func (o *opening) onRows(e *stream.Event, withdrawn bool) error {
	k := kindOf(e.Type)
	body := e.Body
	h, err := decode.ParseRows(body, k.extra, k.op == event.OpUpdate)
	if err == nil && k.compressed {
		body, err = stream.Inflate(body[:h.Start], body[h.Start:])
	}
	if err != nil {
		return fmt.Errorf("rows event at %s:%d: %w", e.Place.File, e.Place.Start, err)
	}
	m := o.tables.maps[h.TableID]
	numbers := 2 * uint64(len(body))
	if seeded.On(seeded.NumbersByTableList) && (m == nil || m.table == nil) {
		numbers = 0
	}
	base := o.take(numbers)
	if m == nil {
		if h.TableID == 0xffffff { // MySQL's dummy event that only ends a statement
			return nil
		}
		return fmt.Errorf("%w: rows at %s:%d of table id %d, which no TABLE_MAP announced", pipeline.ErrHistory, e.Place.File,
			e.Place.Start, h.TableID)
	}
	m.rows = true
	if h.Flags&decode.EndOfStatement != 0 {
		o.endStatement()
	}
	if withdrawn && !o.tx.doubt {
		return nil
	}
	t := o.tables.owner(m)
	if t == nil || o.tx.known {
		return nil
	}
	if o.tx.doubt && !slices.Contains(o.tx.touched, t) {
		o.tx.touched = append(o.tx.touched, t)
	}
	if withdrawn {
		return nil
	}
	return o.captured(e, m, h, k, body, base)
}

// captured hands over the rows of one event.
func (o *opening) captured(e *stream.Event, m *mapped, h decode.Rows, k rowsKind, body []byte, base uint64) error {
	t := m.table
	if t.tx != o.tx.serial {
		t.tx, t.index = o.tx.serial, 0
	}
	if t.skipTo.file != "" && !startOf(e).less(t.skipTo) {
		t.skipTo, o.tables.changed = place{}, true
	}
	if !t.flowing() {
		return nil
	}
	o.tables.assume(t, startOf(e))
	switch {
	case e.Type == stream.PartialUpdateRowsEvent:
		o.tables.pause(t, pausePartial, "")
		return nil
	case !h.Full:
		o.tables.pause(t, pauseImage, "")
		return nil
	}
	if !o.tables.plan(m, startOf(e), event.MakeSeq(o.epoch, base)) {
		return nil
	}
	if seeded.On(seeded.EventSkippedOnReconnect) && event.MakeSeq(o.epoch, base) > o.passed && o.s.Status().Reconnects > 0 &&
		seeded.Once(seeded.EventSkippedOnReconnect) {
		return nil
	}
	mark, items := len(o.buf), len(o.out)
	err := o.decodeRows(m, h, k, body, base)
	if errors.Is(err, errRow) {
		// Nothing of this event is handed over: the table stops here.
		o.buf, o.out = o.buf[:mark], o.out[:items]
		why := pauseDecode
		if errors.Is(err, decode.ErrKey) {
			why = pauseKeyText
		}
		o.tables.pauseAt(t, why, startOf(e), err.Error())
		return nil
	}
	return err
}

var errRow = errors.New("a row could not be decoded")

func (o *opening) decodeRows(m *mapped, h decode.Rows, k rowsKind, body []byte, base uint64) (err error) {
	t, d := m.table, m.decoder
	tx := o.txEvent()
	for off := h.Start; off < len(body); {
		seq := event.MakeSeq(o.epoch, base+2*uint64(off))
		var before, after event.Image
		var n int
		if k.op != event.OpCreate {
			if before, n, err = o.image(d, body[off:]); err != nil {
				return err
			}
			off += n
		}
		if k.op != event.OpDelete {
			if after, n, err = o.image(d, body[off:]); err != nil {
				return err
			}
			off += n
		}
		index := t.index
		t.index++
		if err := o.change(t, tx, k.op, seq, index, before, after); err != nil {
			return err
		}
	}
	return nil
}

func (o *opening) image(d *decode.Decoder, row []byte) (event.Image, int, error) {
	start := len(o.buf)
	buf, n, err := d.AppendImage(o.buf, row)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", errRow, err)
	}
	if n == 0 {
		return nil, 0, fmt.Errorf("%w: a row without bytes", errRow)
	}
	o.buf = buf
	return event.Image(buf[start:len(buf):len(buf)]), n, nil
}

// largeUpdate bounds the two images of one update, whatever limit a broker has, so that
// every reading splits the same ones: each image of a larger update is a message's row by
// itself, as it was when the row came in.
const largeUpdate = 4<<20 - 64<<10

// change hands over one row change; a changed key is a deletion and a creation, and so is
// a change of a row that is too large for one message with both images.
func (o *opening) change(t *table, tx *event.Tx, op event.Op, seq event.Seq, index uint64, before, after event.Image) error {
	if err := o.attempts.touch(t, before, after); err != nil {
		return fmt.Errorf("%w: %w", errRow, err)
	}
	split := false
	if op == event.OpUpdate {
		split = t.ev.Keyless || len(before)+len(after) > largeUpdate
		if !split {
			moved, err := keyMoved(t, before, after)
			if err != nil {
				return fmt.Errorf("%w: %w", errRow, err)
			}
			split = moved
		}
	}
	if !split {
		return o.row(event.Item{Kind: event.KindRow, Op: op, Index: index, Seq: seq, Table: t.ev, Tx: tx, Before: before, After: after}, t)
	}
	if err := o.row(event.Item{Kind: event.KindRow, Op: event.OpDelete, Index: index, Seq: seq, Table: t.ev, Tx: tx,
		Before: before}, t); err != nil {
		return err
	}
	return o.row(event.Item{Kind: event.KindRow, Op: event.OpCreate, Part: 1, Index: index, Seq: seq + 1, Table: t.ev,
		Tx: tx, After: after}, t)
}

// row hands one item over, unless that was done before the connection, or the process,
// ended inside of this transaction.
func (o *opening) row(it event.Item, t *table) error {
	if it.Seq <= o.passed {
		if o.passedOther && it.Seq == o.passed {
			if it.Identity() != o.passedID {
				return o.otherOrder()
			}
			o.passedOther = false
		}
		return nil
	}
	if o.passed != 0 && o.passedOther {
		return o.otherOrder()
	}
	t.rows++
	o.handed = it.Seq
	o.out = append(o.out, it)
	return nil
}

// keyMoved reports whether the primary key or a routing column changed.
func keyMoved(t *table, before, after event.Image) (bool, error) {
	var a, b [128]byte
	old, err := event.AppendKey(a[:0], before, t.ev.Schema, t.keyUnion)
	if err != nil {
		return false, err
	}
	now, err := event.AppendKey(b[:0], after, t.ev.Schema, t.keyUnion)
	return !bytes.Equal(old, now), err
}
