package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/clickhouse/column"
	"github.com/millrace/millrace/sinks/clickhouse/ddl"
)

// Mode signed has a table more beside a mirror's, <table>__signed, in which each change is its
// halves: what was there with _sign −1 and what is there now with +1, under the number of the
// change, each physically once (see landed). A materialized view that sums x * _sign so has the
// sum over the source's rows.
//
//	change                      __cdc, versions      __signed
//	created                     the row              +1 the row
//	changed                     the row              −1 the row before, +1 the row
//	deleted                     the row, _del        −1 the row
//	read by a snapshot          the row              nothing
//	TRUNCATE, END: below go     by the view          what the sums then lack or have too much (settle)
//
// Halves add up whichever comes first, so queues need not wait for each other. A snapshot's rows
// repeat what stands, or do not, which no half can tell: they go into the mirror alone, and when
// it is whole the difference between what it shows and the sums is written. So a table has no
// halves before its first snapshot has ended, or it was made.

// signedSuffix is behind the target's name in the name of the table of halves.
const signedSuffix = "__signed"

// signsAt is the place of the table of halves in a step, signsNumber its number in the ledger.
const (
	signsAt     = -1
	signsNumber = 0
)

// signsRecord is what the ledger says of the table of halves.
type signsRecord struct {
	Store store `json:"store"`
	// Floor is the one that the sums were brought to last. Due says that they must be again:
	// what was written may have been lost, or was never begun.
	Floor event.Seq `json:"floor,omitempty"`
	Due   bool      `json:"due,omitempty"`
	// Wrote is how many rows under that number were there then.
	Wrote uint64 `json:"wrote,omitempty"`
	// Covered are the queues' marks when they were. What comes again from below them is in the
	// sums, under its own number or in the difference.
	Covered []event.Seq `json:"covered,omitempty"`
	// Columns are the view's and the table's names of the columns that are compared, for readers;
	// none while the two can't be.
	Columns [][2]string `json:"columns,omitempty"`
}

// signs is the table of halves, nil for none.
func (r *record) signs() *store {
	if r.Signs == nil {
		return nil
	}
	return &r.Signs.Store
}

// synced has the server sync a table's blocks before it acknowledges them, so that power which
// goes takes none that a view has counted. A block lies in one partition.
func synced(t *ddl.Table) {
	t.PartitionBy = ""
	if t.Settings == nil {
		t.Settings = map[string]string{}
	}
	for _, name := range []string{"fsync_after_insert", "fsync_part_directory"} {
		if t.Settings[name] == "" {
			t.Settings[name] = "1"
		}
	}
}

// noted is the number under which a queue's place in the ledger has a store's rows.
func (s *store) noted() int {
	if s.Layout == ddl.Halves {
		return signsNumber
	}
	return s.Number
}

// announceSigns has the ledger name the table of halves, and the queues whose numbers its rows
// have: of a row that has no mark the next claim must know which queue brings it again.
func (r *record) announceSigns(st *step) (changed bool) {
	if st.signs == nil {
		return false
	}
	if r.Signs == nil || r.Signs.Store.Number != st.signs.Number {
		r.putSigns(st)
		changed = true
	}
	queues := st.led.Next().Queues
	for i := len(r.Queues); i < len(queues); i++ {
		id := queues[i].ID
		r.Queues = append(slices.Clip(r.Queues), queueRecord{Broker: id.Broker, Topic: id.Topic, Queue: id.Queue})
		changed = true
	}
	return changed
}

// putSigns takes the step's table of halves into the record.
func (r *record) putSigns(st *step) {
	if st.signs == nil {
		return
	}
	signs := signsRecord{Due: true} // of a mirror that was one before
	if r.Signs != nil {
		signs = *r.Signs
	}
	signs.Store = *st.signs
	r.Signs = &signs
}

// defineSigns takes the newest definition into the table of halves.
func (t *Table) defineSigns(st *step) error {
	next := st.led.Next()
	if t.shape.Mode != Signed || next.Schema == nil {
		return nil
	}
	if err := t.oneQueue(next.Schema); err != nil {
		return err
	}
	if st.signs == nil {
		st.signs = &store{Number: 1, Layout: ddl.Halves}
		st.added[signsAt] = nil
	}
	return t.defineIn(st, signsAt, next.Schema, next.SchemaAt)
}

// oneQueue refuses a key of the configuration that brings changes of one row through several
// queues: there is then no moment at which a mirror and the sums have the same changes of it.
func (t *Table) oneQueue(schema *event.Schema) error {
	if len(schema.PrimaryKey) == 0 {
		return nil
	}
	for _, name := range t.claim.Route {
		if !slices.ContainsFunc(schema.PrimaryKey, func(i int) bool { return schema.Columns[i].Name == name }) {
			return fmt.Errorf("in mode signed all changes of a row come through one queue, and the table's key in the pipeline names %s, "+
				"which is not of the primary key; leave key out, or use mode: mirror", name)
		}
	}
	return nil
}

// signsColumn says how the table of halves has a column. Its type can't change under the views
// that read it: another type is another column, of which they know nothing.
func (t *Table) signsColumn(st *step, c *event.Column) (column.Options, error) {
	o := t.types
	if at := st.shown(); at >= 0 && c.Type == event.TypeTime {
		if col := st.stores[at].newest(c.ID, false); col != nil && col.Of.Type == event.TypeTime {
			o.Time64 = col.typ.Name != "Int64" // it is compared with it
		}
	}
	old := st.signs.newest(c.ID, false)
	if old == nil || t.shape.SchemaChange.Events["modify_column"] == lenient {
		return o, nil
	}
	typ, err := st.signs.held(c, false, o)
	if err != nil || typ.Text() == old.Type {
		return o, err
	}
	return o, fmt.Errorf("column %s is %s now and was %s: the views that read %s of %s would go on with a column that is no longer written. "+
		"Say schema_change: {modify_column: lenient} for this table to have it in a column beside, and then make them anew over that one",
		c.Name, typ.Text(), old.Type, old.Name, st.signs.name(t.target).Plain())
}

// full says that a block of halves takes no more: a change has two of them, and a server takes
// no larger block in one piece.
func (b *block) full() bool { return b.layout == ddl.Halves && b.rows() >= MostRows }

// signs writes a change's halves.
func (w *rowWriter) signs(ctx context.Context, r *event.Row) error {
	t, q := w.t, int(w.q)
	if t.shape.Mode != Signed || r.Op == event.OpRead || r.Seq < w.floor || !w.step.led.Next().Founded() {
		return nil
	}
	if s := t.rec.Signs; s != nil && q < len(s.Covered) && r.Seq <= s.Covered[q] {
		return nil
	}
	if r.Op != event.OpCreate {
		if err := w.half(ctx, r, r.Before, event.OpDelete, -1); err != nil {
			return err
		}
	}
	if r.Op != event.OpDelete {
		return w.half(ctx, r, r.After, event.OpCreate, 1)
	}
	return nil
}

// half writes one of a change's halves, if it is not there.
func (w *rowWriter) half(ctx context.Context, r *event.Row, img event.Image, op event.Op, sign int) error {
	if img == nil {
		return w.t.refused(errors.New("its image before or behind the change is missing"), "row %d", r.Seq)
	}
	there, err := w.t.isThere(ctx, w.step, int(w.q), r.Seq, sign)
	if err != nil || there {
		return err
	}
	b, err := w.t.block(w.step, signsAt, w.blocks[w.own].schema)
	if err != nil {
		return w.t.refused(err, "row %d", r.Seq)
	}
	return w.put(b, r, img, op, r.Seq, false)
}

// findAbsentSigns finds that somebody has dropped the table of halves. Its rows do not come
// again: the next one begins with what the view shows.
func (t *Table) findAbsentSigns(ctx context.Context) error {
	s := t.rec.signs()
	if s == nil {
		return nil
	}
	name, there := s.name(t.target), uint64(0)
	err := t.sink.conn.Query(ctx, t.comment(), "SELECT count() FROM system.tables WHERE database = ? AND name = ?",
		func(scan func(...any) error) error { return scan(&there) }, name.Database, name.Table)
	if err != nil || there > 0 {
		return err
	}
	t.absent = append(t.absent, signsNumber)
	t.rec.Signs.Due = true
	for i := range t.rec.Queues {
		delete(t.rec.Queues[i].In, signsNumber)
	}
	t.log.Warn("a table of the target is gone; it is made again with what the view shows", slog.String("gone", name.Plain()))
	return nil
}
