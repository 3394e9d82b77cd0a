package clickhouse

import (
	"context"
	"fmt"
	"slices"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/clickhouse/column"
	"github.com/millrace/millrace/sinks/clickhouse/ddl"
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
	was, floor := st.shown(), st.led.Next().Floor
	take, ok, err := st.led.Take(q, s, schema, t.sink.now())
	if err != nil || !ok {
		return err
	}
	if err := t.encode(ctx, st, s, take, schema); err != nil {
		t.reset()
		return err
	}
	if s.Kind == event.KindEnd {
		t.switches(st, was, floor)
	}
	if s.Kind == event.KindTruncate {
		// What comes behind it is not to be seen beside what goes.
		t.batch.next(t.letterBounds())
	}
	return nil
}

// schemaOf finds the slice's definition; nil when it has none.
func (t *Table) schemaOf(ctx context.Context, s *event.Slice) (*event.Schema, error) {
	id, ok := s.Definition()
	if !ok {
		return nil, nil
	}
	schema, err := t.claim.Schemas.Schema(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("find the schema of %s: %w", t.claim.Table, err)
	}
	return schema, nil
}

func (t *Table) encode(ctx context.Context, st *step, s *event.Slice, take ledger.Step, schema *event.Schema) error {
	if err := t.unwanted(ctx, s, schema); err != nil {
		return err
	}
	floor := st.led.Next().Floor
	if t.shape.Mode == Changelog {
		floor = 0 // what is gone has been there
	} else {
		st.letters.Below(floor)
	}
	if s.Kind == event.KindRow && s.Hi < floor {
		return nil // all of it is gone, whichever queue brings it (K7)
	}
	if schema != nil {
		if take.Opens && t.shape.Mode != Changelog {
			if err := t.beside(st, schema, s.Mark.Seq); err != nil {
				return t.refused(err, "the snapshot numbered %d", s.Lo)
			}
		}
		if err := t.define(st, schema, s); err != nil {
			return t.refused(err, "definition of the change numbered %d", s.Lo)
		}
	}
	if d := deletion(take, s, st.led.Next().Floor); d != nil && t.shape.Mode == Changelog {
		return t.tell(ctx, st, take.Q, d)
	}
	if len(take.Rows) == 0 {
		return nil
	}
	w, err := t.writer(st, schema, s, take.Q)
	if err != nil {
		return t.refused(err, "rows from number %d on", s.Lo)
	}
	for i := range take.Rows {
		if t.shape.Mode == Changelog {
			if there, err := t.isThere(ctx, st, take.Q, take.Rows[i].Seq, 0); err != nil {
				return err
			} else if there {
				st.letters.Remove(take.Rows[i].Seq)
				continue
			}
		}
		if err := w.row(&take.Rows[i]); err != nil {
			return err
		}
		if err := w.signs(ctx, &take.Rows[i]); err != nil {
			return err
		}
	}
	return nil
}

// refused says that a record is such that the target can't take it.
func (t *Table) refused(err error, format string, a ...any) error {
	return fmt.Errorf("%w: table %s, %s: %w", pipeline.ErrRecord, t.claim.Table, fmt.Sprintf(format, a...), err)
}

// define takes in a definition: the store of its key, and the columns of each one that its
// rows go into.
func (t *Table) define(st *step, schema *event.Schema, s *event.Slice) error {
	at, since := event.Seq(0), s.Lo
	if s.Mark != nil {
		at, since = s.Mark.Seq, s.Mark.Seq
	}
	own, err := t.storeOf(st, schema, since)
	if err != nil {
		return err
	}
	if _, err := t.shape.Deletes.bind(schema, st.stores); err != nil {
		return err
	}
	feeds := st.feeds(schema, since, t.types)
	if !slices.Contains(feeds, own) {
		feeds = append(feeds, own)
	}
	for _, i := range feeds {
		if err := t.defineIn(st, i, schema, at); err != nil {
			return err
		}
	}
	return t.defineSigns(st)
}

// defineIn takes a definition into a store if it is newer than what the store has.
func (t *Table) defineIn(st *step, i int, schema *event.Schema, at event.Seq) error {
	stored := st.at(i)
	if len(stored.Schema) > 0 && at <= stored.SchemaAt {
		return nil
	}
	if name := t.shape.unknown(schema, st.stores); name != "" {
		return fmt.Errorf("columns of the sink names %s, which the table does not have: "+
			"correct the name, or take it out until the column is there", name)
	}
	base := stored.Schema
	if len(base) == 0 && i > 0 {
		base = st.stores[i-1].Schema
	}
	if err := stored.follow(base, schema, t.shape.SchemaChange, t.types); err != nil {
		return err
	}
	if err := t.ensureAll(st, i, schema); err != nil {
		return err
	}
	stored = st.at(i)
	stored.ruled(schema.Projection)
	stored.Schema, stored.SchemaAt = event.AppendSchema(nil, schema), at
	return nil
}

// storeOf is the place of the newest store that rows of a definition fit; a key that none has
// makes one.
func (t *Table) storeOf(st *step, schema *event.Schema, since event.Seq) (int, error) {
	layout, key, err := t.shape.plan(schema, st.stores)
	if err != nil {
		return 0, err
	}
	for i := len(st.stores) - 1; i >= 0; i-- {
		if st.stores[i].fits(schema, layout, key, t.types) {
			return i, nil
		}
	}
	return t.begin(st, schema, since)
}

// ensureAll has columns for a definition that is the newest.
func (t *Table) ensureAll(st *step, i int, schema *event.Schema) error {
	for c := range schema.Columns {
		if _, err := t.ensure(st, i, &schema.Columns[c], false, true); err != nil {
			return err
		}
		if st.at(i).Layout != ddl.Changes {
			continue
		}
		if _, err := t.ensure(st, i, &schema.Columns[c], true, true); err != nil {
			return err
		}
	}
	return nil
}

func (t *Table) ensure(st *step, i int, c *event.Column, before, newest bool) (int, error) {
	o := t.types
	if i == signsAt {
		var err error
		if o, err = t.signsColumn(st, c); err != nil {
			return 0, err
		}
	}
	at, added, err := st.at(i).ensure(c, before, newest, o, t.sink.cfg.policy())
	if err != nil || !added {
		return at, err
	}
	st.add(i, at)
	return at, nil
}

// block is the open block for rows of a definition in a store.
func (t *Table) block(st *step, i int, schema *event.Schema) (*block, error) {
	for _, b := range st.blocks {
		if b.schema.ID == schema.ID && b.store == i && !b.full() {
			return b, nil
		}
	}
	b := &block{store: i, layout: st.at(i).Layout, schema: schema, old: t.apartKey(st, i, schema)}
	var err error
	t.ensureGone(st, i)
	if b.keep.filter, err = t.shape.Deletes.bind(schema, st.stores); err != nil {
		return nil, err
	}
	b.keep.on = st.at(i).gone() >= 0 && t.shape.Deletes.keeps()
	if b.now, err = t.side(st, i, schema, false); err != nil {
		return nil, err
	}
	if b.layout == ddl.Changes {
		if b.before, err = t.side(st, i, schema, true); err != nil {
			return nil, err
		}
	}
	st.blocks = append(st.blocks, b)
	return b, nil
}

// apartKey are the places, in a definition of another key, of the columns of a store's.
func (t *Table) apartKey(st *step, i int, schema *event.Schema) (places []int) {
	s := st.at(i)
	layout, key, err := t.shape.plan(schema, st.stores)
	if err == nil && s.fits(schema, layout, key, t.types) && len(key) <= len(schema.PrimaryKey) {
		return nil // an update never changes the primary key: it comes as two rows
	}
	for _, id := range s.Key {
		places = append(places, slices.IndexFunc(schema.Columns, func(c event.Column) bool { return c.ID == id }))
	}
	return places
}

// side makes the buffers for rows of a definition, as they are or were before a change.
func (t *Table) side(st *step, i int, schema *event.Schema, before bool) (*side, error) {
	s := &side{}
	for c := range schema.Columns {
		at, err := t.ensure(st, i, &schema.Columns[c], before, false)
		if err != nil {
			return nil, err
		}
		// The column may have been made for another type of the source, whose values have another form.
		typ, err := st.at(i).held(&schema.Columns[c], before, t.types)
		if err != nil {
			return nil, err
		}
		s.places = append(s.places, at)
		s.cols = append(s.cols, column.NewBuffer(&schema.Columns[c], typ, t.sink.cfg.policy()))
	}
	return s, nil
}
