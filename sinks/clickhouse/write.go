package clickhouse

import (
	"context"
	"fmt"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/clickhouse/column"
	"github.com/millrace/millrace/sinks/ledger"
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
	st := t.batch.last()
	take, ok, err := st.led.Take(q, s, schema, t.sink.now())
	if err != nil || !ok {
		return err
	}
	if err := t.encode(st, s, take, schema); err != nil {
		t.reset()
		return err
	}
	if s.Kind == event.KindTruncate {
		// What comes behind it is not to be seen beside what goes.
		t.batch.next()
	}
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
	schema, err := t.claim.Schemas.Schema(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("find the schema of %s: %w", t.claim.Table, err)
	}
	return schema, nil
}

func (t *Table) encode(st *step, s *event.Slice, take ledger.Step, schema *event.Schema) error {
	if s.Kind == event.KindRow && s.Hi < st.led.Next().Floor {
		return nil // all of it is gone, whichever queue brings it (K7)
	}
	if schema != nil {
		if err := t.define(st, schema, s); err != nil {
			return t.refused(err, "definition of the change numbered %d", s.Lo)
		}
	}
	if len(take.Rows) == 0 {
		return nil
	}
	w := rowWriter{t: t, step: st, slice: s, q: uint16(take.Q), floor: st.led.Next().Floor}
	var err error
	if w.block, err = t.block(st, schema); err != nil {
		return t.refused(err, "rows from number %d on", s.Lo)
	}
	for i := range take.Rows {
		if err := w.row(&take.Rows[i]); err != nil {
			return err
		}
	}
	return nil
}

// refused says that a record is such that the target can't take it.
func (t *Table) refused(err error, format string, a ...any) error {
	return fmt.Errorf("%w: table %s, %s: %w", pipeline.ErrRecord, t.claim.Table, fmt.Sprintf(format, a...), err)
}

// define takes in a definition: the store of its key, and in that its columns.
func (t *Table) define(st *step, schema *event.Schema, s *event.Slice) error {
	at, since := event.Seq(0), s.Lo
	if s.Mark != nil {
		at, since = s.Mark.Seq, s.Mark.Seq
	}
	i, err := t.storeOf(st, schema, at, since)
	if err != nil {
		return err
	}
	stored := &st.stores[i]
	if len(stored.Schema) > 0 && at <= stored.SchemaAt {
		return nil
	}
	for c := range schema.Columns {
		if _, err := t.ensure(st, i, &schema.Columns[c], true); err != nil {
			return err
		}
	}
	stored.Schema, stored.SchemaAt = event.AppendSchema(nil, schema), at
	return nil
}

// storeOf is the place of the store for rows of a definition; a key that none has makes one.
func (t *Table) storeOf(st *step, schema *event.Schema, at, since event.Seq) (int, error) {
	key := keyOf(schema)
	for i := len(st.stores) - 1; i >= 0; i-- {
		if st.stores[i].fits(schema, key, t.types) {
			return i, nil
		}
	}
	made := store{Number: 1, Key: key}
	if n := len(st.stores); n > 0 {
		made.Number, made.Since = st.stores[n-1].Number+1, since
	}
	st.stores = append(st.stores, made)
	i := len(st.stores) - 1
	for c := range schema.Columns {
		if _, err := t.ensure(st, i, &schema.Columns[c], true); err != nil {
			return 0, err
		}
	}
	st.added[i] = nil
	st.stores[i].Schema, st.stores[i].SchemaAt = event.AppendSchema(nil, schema), at
	return i, nil
}

func (t *Table) ensure(st *step, i int, c *event.Column, newest bool) (int, error) {
	at, added, err := st.stores[i].ensure(c, newest, t.types, t.sink.cfg.policy())
	if err != nil || !added {
		return at, err
	}
	if list, ok := st.added[i]; !ok || list != nil {
		st.added[i] = append(list, at)
	}
	return at, nil
}

// block is the open block for rows of a definition.
func (t *Table) block(st *step, schema *event.Schema) (*block, error) {
	for _, b := range st.blocks {
		if b.schema.ID == schema.ID {
			return b, nil
		}
	}
	i, err := t.storeOf(st, schema, 0, 0)
	if err != nil {
		return nil, err
	}
	b := &block{store: i, schema: schema}
	for c := range schema.Columns {
		at, err := t.ensure(st, i, &schema.Columns[c], false)
		if err != nil {
			return nil, err
		}
		b.places = append(b.places, at)
		b.cols = append(b.cols, column.NewBuffer(&schema.Columns[c], st.stores[i].Columns[at].typ, t.sink.cfg.policy()))
	}
	st.blocks = append(st.blocks, b)
	return b, nil
}

// rowWriter writes the rows of one slice.
type rowWriter struct {
	t     *Table
	step  *step
	block *block
	slice *event.Slice
	q     uint16
	floor event.Seq
	vals  []event.Value
}

func (w *rowWriter) row(r *event.Row) error {
	if r.Seq < w.floor {
		return nil // it is gone, whichever queue brings it (K7)
	}
	img := r.After
	if r.Op == event.OpDelete {
		img = r.Before
	}
	var err error
	if w.vals, err = event.Values(img, w.block.schema, w.vals); err != nil {
		return w.t.refused(err, "row %d", r.Seq)
	}
	b := w.block
	for i, v := range w.vals {
		changed, err := b.cols[i].Append(v)
		if err != nil {
			key, _ := event.AppendKeyText(nil, img, b.schema, b.schema.PrimaryKey)
			return w.t.refused(err, "column %s of the row with key %s (number %d)", b.schema.Columns[i].Name, key, r.Seq)
		}
		if changed != column.Kept {
			b.keep(i, v)
			w.t.changed(b.schema.Columns[i].Name, changed)
		}
	}
	tx := &w.slice.Txs[r.Tx]
	b.seq = append(b.seq, uint64(r.Seq))
	b.mark = append(b.mark, w.mark(r.Op))
	b.q = append(b.q, w.q)
	b.ts = append(b.ts, tx.CommitTime.UnixMicro())
	b.bytes += int64(len(img)) + technicalBytes
	w.step.rows++
	if tx.CommitTime.After(w.t.batch.newest) {
		w.t.batch.newest = tx.CommitTime
	}
	return nil
}

// technicalBytes is what a row's technical columns take.
const technicalBytes = 8 + 1 + 2 + 8 + 8

func (w *rowWriter) mark(op event.Op) uint8 {
	if len(w.step.stores[w.block.store].Key) == 0 {
		return uint8(int8(ledger.Sign(op)))
	}
	if op == event.OpDelete {
		return 1
	}
	return 0
}
