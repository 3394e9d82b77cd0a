package changes

import (
	"context"
	"fmt"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/ledger"
	"github.com/millrace/millrace/sinks/letters"
	"github.com/millrace/millrace/sinks/parquet/file"
)

// Write encodes one slice. After ErrUnwritable everything since the last Flush is dropped
// and Marks say where to go on.
func (t *Table) Write(ctx context.Context, q pipeline.QueueID, s *event.Slice) error {
	if t.Broken != nil {
		return t.Broken
	}
	schema, err := t.schemaOf(ctx, s)
	if err != nil {
		return err // nothing of the slice was taken
	}
	before := t.batch.ledger.Next().Schema
	step, ok, err := t.batch.ledger.Take(q, s, schema, t.Now())
	if err != nil || !ok {
		return err
	}
	if !t.Alone {
		t.batch.letters.Below(t.batch.ledger.Next().Floor)
	}
	if step.Delete != nil {
		err = t.writeDeletion(ctx, step.Q, step.Delete, before)
	}
	if err == nil && schema != nil {
		err = t.writeRows(ctx, step, s, schema)
	}
	if err == nil {
		err = t.flushBatches()
	}
	if err != nil {
		return t.undone(err)
	}
	return nil
}

// schemaOf finds the slice's definition; nil when it has none.
func (t *Table) schemaOf(ctx context.Context, s *event.Slice) (*event.Schema, error) {
	id, ok := s.Definition()
	if !ok {
		return nil, nil
	}
	if p, ok := t.batch.plans[id]; ok {
		return p.schema, nil
	}
	schema, err := t.Claim.Schemas.Schema(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("find the schema of %s: %w", t.Claim.Table, err)
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
	err := d.fw.FlushBatch()
	d.arena.Reset()
	return err
}

// writeRows writes the rows of a step; the table's columns grow by what their definition, or
// one that comes without rows, needs.
func (t *Table) writeRows(ctx context.Context, step ledger.Step, s *event.Slice, schema *event.Schema) error {
	p, err := t.planFor(schema)
	if err != nil {
		return err
	}
	w := rowWriter{t: t, q: step.Q, plan: p, slice: s, tx: -1}
	for i := range step.Rows {
		if err := w.holdOrPutAside(ctx, &step.Rows[i]); err != nil {
			return err
		}
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

func (w *rowWriter) row(ctx context.Context, r *event.Row) error {
	img := r.After
	if r.Op == event.OpDelete {
		img = r.Before
	}
	var err error
	if w.vals, err = event.Values(img, w.plan.schema, w.vals); err != nil {
		return fmt.Errorf("%w: table %s, row %d: %w", pipeline.ErrRecord, w.t.Claim.Table, r.Seq, err)
	}
	for i := 0; i < len(w.plan.dates); i++ {
		c := w.plan.dates[i]
		if v := w.vals[c]; v != nil && file.IsPartial(w.plan.schema.Columns[c].Type, v) {
			if w.plan, err = w.t.needRaw(w.plan, c); err != nil {
				return err
			}
			w.file, i = nil, -1
		}
	}
	if w.file == nil || w.tx != r.Tx {
		if err := w.openFile(ctx, r); err != nil {
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
	if d.fw.EndRow(len(img)) {
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
func (w *rowWriter) openFile(ctx context.Context, r *event.Row) error {
	at := w.slice.Txs[r.Tx].CommitTime
	d, err := w.t.file(ctx, w.q, at, w.plan)
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
	setTechnical(d, w.t.Claim.Generation, w.q, r.Seq, r.Op, d.arena.Copy(w.src), tx.CommitTime)
	d.fw.Set(file.AtBelow, parquet.NullValue())
}

func setTechnical(d *dataFile, gen uint64, q int, seq event.Seq, op event.Op, src []byte, at time.Time) {
	fw := d.fw
	fw.Set(file.AtSeq, parquet.Int64Value(int64(seq)))
	o := d.arena.Take(1)
	o[0] = byte(op)
	fw.Set(file.AtOp, parquet.ByteArrayValue(o))
	fw.Set(file.AtSrc, parquet.ByteArrayValue(src))
	fw.Set(file.AtQ, parquet.Int32Value(int32(q)))
	fw.Set(file.AtTs, parquet.Int64Value(at.UnixMicro()))
	fw.Set(file.AtGen, parquet.Int64Value(int64(gen)))
}

func (w *rowWriter) columns(r *event.Row) error {
	p, d := w.plan, w.file
	for i, v := range w.vals {
		out, partial := parquet.NullValue(), false
		if v != nil {
			var err error
			if out, partial, err = file.Encode(&p.cols[i], v, &d.arena); err != nil && w.needless(r, i) {
				out, partial, err = parquet.NullValue(), false, nil
			}
			if err != nil {
				key, _ := event.AppendKeyText(nil, imageOf(r), p.schema, p.schema.PrimaryKey)
				name := p.schema.Columns[i].Name
				return fmt.Errorf("%w: table %s, column %s of the row with key %s (number %d): %w",
					pipeline.ErrRecord, w.t.Claim.Table, name, key, r.Seq, &letters.Refusal{Column: name, Cause: err})
			}
		}
		d.fw.Set(p.at[i], out)
		if raw := p.raw[i]; raw >= 0 {
			text := parquet.NullValue()
			if partial {
				text = file.RawValue(&p.schema.Columns[i], v)
			}
			d.fw.Set(raw, text)
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

// writeDeletion writes the row that says that everything below a number is gone; below 0 it
// says that from here on changes are not told one by one. It lies with the rows of the
// definition in force before it.
func (t *Table) writeDeletion(ctx context.Context, q int, x *ledger.Deletion, schema *event.Schema) error {
	m := x.Mark
	at := t.markTime(m)
	d, err := t.openOr(ctx, q, at, schema)
	if err != nil {
		return err
	}
	setTechnical(d, t.Claim.Generation, q, m.Seq, event.OpBelow, d.arena.Copy([]byte(m.ID.String())), at)
	d.fw.Set(file.AtBelow, parquet.Int64Value(int64(x.Below)))
	for i := file.AtColumns; i < len(d.fw.Leaves); i++ {
		d.fw.Set(i, parquet.NullValue())
	}
	d.lo, d.hi = seqBounds(d, m.Seq)
	d.fw.EndRow(0) // not counted: it is no row of the table
	t.batch.controls++
	return d.flush()
}

// markTime is the mark's time, or, since an END has none of its own, the newest commit that
// the table knows of.
func (t *Table) markTime(m *event.Mark) time.Time {
	if m.Time.UnixMicro() > 0 {
		return m.Time
	}
	newest := max(t.batch.newest.UnixMicro(), t.batch.ledger.Next().Newest())
	if newest > 0 {
		return time.UnixMicro(newest).UTC()
	}
	return t.Now().UTC()
}
