package parquet

import (
	"context"
	"fmt"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// Write encodes one slice. After ErrUnwritable everything since the last Flush is dropped
// and Marks say where to go on.
func (t *Table) Write(ctx context.Context, q pipeline.QueueID, s *event.Slice) error {
	if t.broken != nil {
		return t.broken
	}
	schema, err := t.schemaOf(ctx, s)
	if err != nil {
		return err // nothing of the slice was taken
	}
	var mark event.Seq
	if f := t.batch.find(q); f != nil {
		mark = f.Seq
	}
	if mark >= s.Hi {
		return nil // it is in the target already
	}
	if s.Prev > mark {
		return fmt.Errorf("queue %d of %s: a message follows %d, the mark is %d: messages between are missing", q.Queue, t.claim.Table, s.Prev, mark)
	}
	f := t.batch.queue(q)
	switch s.Kind {
	case event.KindRow:
		err = t.writeRows(f, s, schema)
	case event.KindDDL, event.KindBegin:
		err = t.writeSchema(f, s, schema)
	case event.KindTruncate:
		err = t.writeTruncate(f, s)
	case event.KindEnd:
		err = t.writeEnd(f, s)
	}
	if err == nil {
		err = t.flushBatches()
	}
	if err != nil {
		return t.undone(err)
	}
	if s.Mark != nil && s.Mark.Queues > 0 && s.Mark.Seq > t.batch.facts.RouteAt {
		fs := t.batch.facts
		if fs.Route != s.Mark.Queues {
			t.batch.factsChanged = true
		}
		fs.Route, fs.RouteAt = s.Mark.Queues, s.Mark.Seq
	}
	f.Seq, f.ID = s.Hi, s.To.String()
	f.pass(s, t.sink.now())
	t.batch.touched[f.Q] = true
	return nil
}

// schemaOf finds the schema that a slice's rows have or that it brings; nil when it has
// none (DROP TABLE, TRUNCATE, END, heartbeats).
func (t *Table) schemaOf(ctx context.Context, s *event.Slice) (*event.Schema, error) {
	id := s.Schema
	switch s.Kind {
	case event.KindRow, event.KindDDL:
	case event.KindBegin:
		if s.Mark.Schema != (event.SchemaID{}) {
			id = s.Mark.Schema
		}
	default:
		return nil, nil
	}
	if id == (event.SchemaID{}) && s.Kind != event.KindRow {
		return nil, nil
	}
	if p, ok := t.batch.plans[id]; ok {
		return p.schema, nil
	}
	schema, err := t.claim.Schemas.Schema(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("find the schema of %s: %w", t.claim.Table, err)
	}
	return schema, nil
}

// flushBatches hands what refers to the slice's bytes to the library, which copies it.
func (t *Table) flushBatches() error {
	for _, d := range t.batch.open {
		if err := d.flush(); err != nil {
			return err
		}
	}
	return nil
}

func (d *dataFile) flush() error {
	err := d.fw.flushBatch()
	d.arena.reset()
	return err
}

func (t *Table) writeRows(f *queueFact, s *event.Slice, schema *event.Schema) error {
	p, err := t.planFor(schema)
	if err != nil {
		return err
	}
	if len(t.batch.facts.Schema) == 0 {
		t.batch.facts.setSchema(schema, 0)
		t.batch.factsChanged = true
	}
	w := rowWriter{t: t, q: f.Q, plan: p, slice: s, tx: -1}
	for i := range s.Rows {
		r := &s.Rows[i]
		if r.Seq <= f.Seq {
			continue // below the mark
		}
		if err := w.row(r); err != nil {
			return err
		}
		f.High = max(f.High, r.Seq)
	}
	return nil
}

// rowWriter writes the rows of one slice.
type rowWriter struct {
	t     *Table
	q     int
	plan  *plan
	slice *event.Slice
	tx    int // transaction of the file
	file  *dataFile
	vals  []event.Value
	src   []byte
}

func (w *rowWriter) row(r *event.Row) error {
	img := r.After
	if r.Op == event.OpDelete {
		img = r.Before
	}
	var err error
	if w.vals, err = event.Values(img, w.plan.schema, w.vals); err != nil {
		return fmt.Errorf("%w: table %s, row %d: %w", pipeline.ErrRecord, w.t.claim.Table, r.Seq, err)
	}
	for i := 0; i < len(w.plan.dates); i++ {
		c := w.plan.dates[i]
		if v := w.vals[c]; v != nil && isPartial(w.plan.schema.Columns[c].Type, v) {
			if w.plan, err = w.t.needRaw(w.plan, c); err != nil {
				return err
			}
			w.file, i = nil, -1
		}
	}
	if w.file == nil || w.tx != r.Tx {
		if err := w.openFile(r); err != nil {
			return err
		}
	}
	w.technical(r)
	if err := w.columns(r); err != nil {
		return err
	}
	d := w.file
	d.lo, d.hi = seqBounds(d, r.Seq)
	w.t.batch.rows++
	w.t.batch.bytes += int64(len(img))
	if d.fw.endRow(len(img)) {
		return d.flush()
	}
	return nil
}

func seqBounds(d *dataFile, s event.Seq) (lo, hi event.Seq) {
	if d.lo == 0 {
		return s, s
	}
	return min(d.lo, s), max(d.hi, s)
}

// openFile finds the file for the row's day. The batch before stays valid: a file that is
// finished here has handed over what it held.
func (w *rowWriter) openFile(r *event.Row) error {
	at := w.slice.Txs[r.Tx].CommitTime
	d, err := w.t.file(w.q, at, w.plan)
	if err != nil {
		return err
	}
	if at.After(w.t.batch.newest) {
		w.t.batch.newest = at
	}
	w.file, w.tx = d, r.Tx
	return nil
}

func (w *rowWriter) technical(r *event.Row) {
	tx := &w.slice.Txs[r.Tx]
	id := event.Identity{Tx: tx.ID, Index: r.Index, Part: r.Part}
	w.src = id.AppendText(w.src[:0])
	d := w.file
	setTechnical(d, w.t.claim.Generation, w.q, r.Seq, r.Op, d.arena.copy(w.src), tx.CommitTime)
	d.fw.set(atBelow, parquet.NullValue())
}

func setTechnical(d *dataFile, gen uint64, q int, seq event.Seq, op event.Op, src []byte, at time.Time) {
	fw := d.fw
	fw.set(atSeq, parquet.Int64Value(int64(seq)))
	o := d.arena.take(1)
	o[0] = byte(op)
	fw.set(atOp, parquet.ByteArrayValue(o))
	fw.set(atSrc, parquet.ByteArrayValue(src))
	fw.set(atQ, parquet.Int32Value(int32(q)))
	fw.set(atTs, parquet.Int64Value(at.UnixMicro()))
	fw.set(atGen, parquet.Int64Value(int64(gen)))
}

func (w *rowWriter) columns(r *event.Row) error {
	p, d := w.plan, w.file
	for i, v := range w.vals {
		out, partial := parquet.NullValue(), false
		if v != nil {
			var err error
			if out, partial, err = encodeValue(&p.cols[i], v, &d.arena); err != nil {
				key, _ := event.AppendKeyText(nil, imageOf(r), p.schema, p.schema.PrimaryKey)
				return fmt.Errorf("%w: table %s, column %s of the row with key %s (number %d): %w",
					pipeline.ErrRecord, w.t.claim.Table, p.schema.Columns[i].Name, key, r.Seq, err)
			}
		}
		d.fw.set(p.at[i], out)
		if raw := p.raw[i]; raw >= 0 {
			text := parquet.NullValue()
			if partial {
				text = rawValue(&p.schema.Columns[i], v)
			}
			d.fw.set(raw, text)
		}
	}
	return nil
}

func imageOf(r *event.Row) event.Image {
	if r.Op == event.OpDelete {
		return r.Before
	}
	return r.After
}

// writeSchema takes a new schema (DDL) or the one in force at a BEGIN. A dropped table
// brings none: what was there is kept.
func (t *Table) writeSchema(f *queueFact, s *event.Slice, schema *event.Schema) error {
	t.batch.factsChanged = true
	switch {
	case s.Kind == event.KindBegin:
		t.batch.hold()
		t.batch.facts.begin(s.Mark.Seq)
	case makes(s.Kind, s.Mark):
		t.batch.facts.Born = max(t.batch.facts.Born, s.Mark.Seq)
	case s.Mark.Due != "":
		t.batch.hold()
		if s.Mark.Seq > t.batch.facts.Due { // the first queue that brings it
			t.batch.facts.Due = s.Mark.Seq
			if err := t.writeBelow(f, s.Mark, 0); err != nil {
				return err
			}
		}
	}
	if schema == nil {
		return nil
	}
	if _, err := t.planFor(schema); err != nil {
		return err
	}
	t.batch.facts.setSchema(schema, s.Mark.Seq)
	return nil
}

// writeTruncate raises the floor of the whole table when the first queue brings it.
func (t *Table) writeTruncate(f *queueFact, s *event.Slice) error {
	below := s.Mark.Seq
	if below <= t.batch.facts.Floor {
		return nil
	}
	t.batch.facts.raiseFloor(below, f.Q)
	t.batch.factsChanged = true
	return t.writeBelow(f, s.Mark, below)
}

// writeEnd notes that the queue has passed an END; with the last queue everything below
// its BEGIN goes.
func (t *Table) writeEnd(f *queueFact, s *event.Slice) error {
	facts := t.batch.facts
	if s.Mark.Attempt <= facts.Floor {
		return nil
	}
	t.batch.factsChanged = true
	if !facts.end(s.Mark.Attempt, s.Mark.Queues, f.Q) {
		return nil
	}
	facts.raiseFloor(s.Mark.Attempt, f.Q)
	return t.writeBelow(f, s.Mark, s.Mark.Attempt)
}

// writeBelow writes the row that says that everything below a number is gone; below 0 it
// says that from here on changes are not told one by one.
func (t *Table) writeBelow(f *queueFact, m *event.Mark, below event.Seq) error {
	at := t.markTime(m)
	d, err := t.file(f.Q, at, nil)
	if err != nil {
		return err
	}
	setTechnical(d, t.claim.Generation, f.Q, m.Seq, event.OpBelow, d.arena.copy([]byte(m.ID.String())), at)
	d.fw.set(atBelow, parquet.Int64Value(int64(below)))
	for i := atColumns; i < len(d.fw.leaves); i++ {
		d.fw.set(i, parquet.NullValue())
	}
	d.lo, d.hi = seqBounds(d, m.Seq)
	f.High = max(f.High, m.Seq)
	d.fw.endRow(0) // not counted: it is no row of the table
	t.batch.facts.Controls++
	t.batch.factsChanged = true
	return d.flush()
}

// markTime is the mark's time, or, since an END has none of its own, the newest commit that
// the table knows of.
func (t *Table) markTime(m *event.Mark) time.Time {
	if m.Time.UnixMicro() > 0 {
		return m.Time
	}
	newest := t.batch.newest.UnixMicro()
	for i := range t.batch.queues {
		newest = max(newest, t.batch.queues[i].Done)
	}
	if newest > 0 {
		return time.UnixMicro(newest).UTC()
	}
	return t.sink.now().UTC()
}
