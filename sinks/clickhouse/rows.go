package clickhouse

import (
	"bytes"
	"strings"

	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/clickhouse/column"
	"github.com/millrace/millrace/sinks/clickhouse/ddl"
	"github.com/millrace/millrace/sinks/ledger"
	"github.com/millrace/millrace/sinks/letters"
)

// rowWriter writes the rows of one slice.
type rowWriter struct {
	t      *Table
	step   *step
	blocks []*block
	// own is the place in blocks of that of the newest store which has the definition's key.
	own   int
	slice *event.Slice
	q     uint16
	floor event.Seq
	vals  []event.Value
	// schema is the rows' definition, undos what each block held before the present row, changed
	// what became of its values.
	schema  *event.Schema
	undos   []undo
	changed []changedValue
}

// changedValue is one that its column can't hold and that has another there.
type changedValue struct {
	column string
	became column.Changed
}

// writer finds the blocks of a slice's rows.
func (t *Table) writer(st *step, schema *event.Schema, s *event.Slice, q int) (*rowWriter, error) {
	w := &rowWriter{t: t, step: st, slice: s, q: uint16(q), floor: st.led.Next().Floor, schema: schema}
	if t.shape.Mode == Changelog {
		w.floor = 0 // what is gone has been there
	}
	feeds, own := st.feeds(schema, s.Lo, t.types), -1
	layout, key, err := t.shape.plan(schema, st.stores)
	if err != nil {
		return nil, err
	}
	for i, at := range feeds {
		if st.stores[at].fits(schema, layout, key, t.types) {
			own = i
		}
	}
	if own < 0 { // behind all that are fed: rows of a key that was, from a queue that lags
		at, err := t.storeOf(st, schema, s.Lo)
		if err != nil {
			return nil, err
		}
		feeds, own = append(feeds, at), len(feeds)
	}
	w.own = own
	for _, at := range feeds {
		b, err := t.block(st, at, schema)
		if err != nil {
			return nil, err
		}
		w.blocks = append(w.blocks, b)
	}
	return w, nil
}

func (w *rowWriter) row(r *event.Row) error {
	if r.Seq < w.floor {
		return nil // it is gone, whichever queue brings it (K7)
	}
	if at := w.slice.Txs[r.Tx].CommitTime; at.After(w.t.batch.newest) {
		w.t.batch.newest = at
	}
	if err := w.holdOrPutAside(r); err != nil {
		return err
	}
	w.count()
	return nil
}

// count counts the values of a row that its columns can't hold.
func (w *rowWriter) count() {
	for _, c := range w.changed {
		w.t.changed(c.column, c.became)
	}
	w.changed = w.changed[:0]
}

// hold writes a row into the blocks of all stores that it goes into.
func (w *rowWriter) hold(r *event.Row) error {
	if r.Op == event.OpRead {
		return w.change(w.filled(r.Seq), r, true)
	}
	for i, b := range w.blocks {
		if err := w.change(b, r, i == w.own); err != nil {
			return err
		}
	}
	return nil
}

// filled is the block that a snapshot's row goes into: that of the store which the view will
// show behind the snapshot's END. Another sorting key that was configured since its BEGIN has a
// newer store, which another snapshot fills.
func (w *rowWriter) filled(seq event.Seq) *block {
	next := w.step.led.Next()
	whole := max(next.Floor, next.Born)
	for _, begin := range next.Open {
		if begin <= seq {
			whole = max(whole, begin)
		}
	}
	at := shownAt(w.step.stores, whole)
	for _, b := range w.blocks {
		if b.store == at {
			return b
		}
	}
	return w.blocks[w.own] // that store can't tell the definition's rows apart
}

// change writes a change into a block. In a store of another key than the definition's an
// update may be of two rows, or of a row without a key: it is written as its two halves, for
// which the source has kept two numbers.
func (w *rowWriter) change(b *block, r *event.Row, own bool) error {
	switch {
	case r.Op == event.OpDelete:
		return w.put(b, r, r.Before, r.Op, r.Seq, own)
	case r.Op != event.OpUpdate || b.layout != ddl.Signs && b.old == nil || r.Before == nil:
		return w.put(b, r, r.After, r.Op, r.Seq, own)
	}
	after := r.Seq
	if b.layout == ddl.Signs {
		after++
	} else if same, err := b.sameKey(r.Before, r.After); err != nil {
		return w.t.refused(err, "row %d", r.Seq)
	} else if same {
		return w.put(b, r, r.After, r.Op, r.Seq, own)
	}
	if err := w.put(b, r, r.Before, event.OpDelete, r.Seq, own); err != nil {
		return err
	}
	return w.put(b, r, r.After, event.OpCreate, after, own)
}

// sameKey reports whether two images of a row have one key in the block's store.
func (b *block) sameKey(before, after event.Image) (bool, error) {
	one, err := event.Values(before, b.schema, nil)
	if err != nil {
		return false, err
	}
	two, err := event.Values(after, b.schema, nil)
	if err != nil {
		return false, err
	}
	for _, i := range b.old {
		if !bytes.Equal(one[i], two[i]) {
			return false, nil
		}
	}
	return true, nil
}

// put appends one row to a block.
func (w *rowWriter) put(b *block, r *event.Row, img event.Image, op event.Op, seq event.Seq, own bool) error {
	if err := w.image(b, b.now, r, img, op, own); err != nil {
		return err
	}
	tx := &w.slice.Txs[r.Tx]
	if r.Op == event.OpDelete && b.keep.keeps(w.vals) {
		b.keep.gone(b.rows(), tx.CommitTime.UnixMicro())
		op = event.OpUpdate
	}
	if b.layout == ddl.Changes {
		if err := w.image(b, b.before, r, r.Before, op, false); err != nil {
			return err
		}
		b.txs, b.below = appendText(b.txs, tx.ID), append(b.below, 0)
		b.bytes += int64(len(r.Before) + len(tx.ID))
	}
	b.technicalRow(uint64(seq), b.markOf(op), w.q, tx.CommitTime.UnixMicro())
	w.t.room.grow(b)
	b.bytes += int64(len(img)) + technicalBytes
	return nil
}

// image takes a row's image into a side of the block; none is NULL everywhere.
func (w *rowWriter) image(b *block, side *side, r *event.Row, img event.Image, op event.Op, own bool) error {
	if img == nil {
		for _, c := range side.cols {
			if _, err := c.Append(nil); err != nil {
				panic("BUG: a column of what was before has no NULL: " + err.Error())
			}
		}
		return nil
	}
	var err error
	if w.vals, err = event.Values(img, b.schema, w.vals); err != nil {
		return w.t.refused(err, "row %d", r.Seq)
	}
	for i, v := range w.vals {
		changed, err := side.cols[i].Append(v)
		if err != nil && w.needless(b, side, i, r, op) {
			side.cols[i].AppendNothing()
			continue
		}
		if err != nil {
			key, _ := event.AppendKeyText(nil, img, b.schema, b.schema.PrimaryKey)
			name := b.schema.Columns[i].Name
			return w.t.refused(&letters.Refusal{Column: name, Cause: err}, "column %s of the row with key %s (number %d)", name, key, r.Seq)
		}
		if changed == column.Kept || side != b.now {
			continue
		}
		b.keepText(i, v)
		if own {
			w.changed = append(w.changed, changedValue{b.schema.Columns[i].Name, changed})
		}
	}
	return nil
}

// technicalBytes is what a row's technical columns take.
const technicalBytes = 8 + 1 + 2 + 8 + 8

func (b *block) markOf(op event.Op) uint8 {
	switch b.layout {
	case ddl.Signs, ddl.Halves:
		return uint8(int8(ledger.Sign(op)))
	case ddl.Changes:
		return uint8(strings.IndexByte(ddl.Ops, byte(op)))
	}
	if op == event.OpDelete {
		return 1
	}
	return 0
}
