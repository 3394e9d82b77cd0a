package clickhouse

import (
	"slices"

	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/clickhouse/column"
)

// A snapshot of a table that is there already, and a table under another key, are filled
// beside what readers see:
//
//	store 1 (shown)   rows below BEGIN      changes from BEGIN on
//	store 2 (filled)                        changes from BEGIN on, rows of the snapshot
//
// A change goes into both, a row of the snapshot into the second alone. When every queue has
// passed END, the floor is at BEGIN and the view shows the second. Readers so see what was
// there and all changes since, then what the snapshot found and all changes since, and at no
// time a part of it.

// shownAt is the place of the store that the view shows, -1 for none: the newest one that a
// snapshot has filled, or that holds the table from its first row on.
func shownAt(stores []store, whole event.Seq) int {
	best := -1
	for i := range stores {
		if best < 0 || stores[i].Since <= whole && stores[i].Since >= stores[best].Since {
			best = i
		}
	}
	return best
}

// shown is the store that the view shows, nil for none.
func shown(stores []store, whole event.Seq) *store {
	if i := shownAt(stores, whole); i >= 0 {
		return &stores[i]
	}
	return nil
}

// shown is the place of the store that the view will show behind the step.
func (st *step) shown() int {
	next := st.led.Next()
	return shownAt(st.stores, max(next.Floor, next.Born))
}

// feeds are the places of the stores that changes from a number on go into, the shown one
// first: those that hold what a definition has, whatever key it has.
func (st *step) feeds(schema *event.Schema, from event.Seq, o column.Options) (out []int) {
	shown := st.shown()
	for i := max(shown, 0); i < len(st.stores); i++ {
		s := &st.stores[i]
		if (i == shown || s.Since <= from && s.Since >= st.stores[shown].Since) && s.holds(schema, o) {
			out = append(out, i)
		}
	}
	return out
}

// holds reports whether the store can tell rows of a definition apart, by the columns of its
// own key: each is in the definition, with the type that it had.
func (s *store) holds(schema *event.Schema, o column.Options) bool {
	for _, id := range s.Key {
		c := slices.IndexFunc(schema.Columns, func(c event.Column) bool { return c.ID == id })
		if c < 0 {
			return false
		}
		if t, err := s.held(&schema.Columns[c], false, o); err != nil || s.find(id, t.Text(), false) < 0 {
			return false
		}
	}
	return true
}

// beside begins another store at the BEGIN of a snapshot of a table that readers see as a
// whole, where none is being filled. The first queue that brings the BEGIN decides: rows that
// it brought before another one does are in the store of that moment, and the view must not
// go to a later one, which lacks them.
func (t *Table) beside(st *step, schema *event.Schema, begin event.Seq) error {
	next := st.led.Next()
	shown := st.shown()
	if !next.Founded() || !slices.Contains(next.Open, begin) || shown < 0 {
		return nil
	}
	layout, key, err := t.shape.plan(schema, st.stores)
	if err != nil {
		return err
	}
	for i := shown + 1; i < len(st.stores); i++ {
		if st.stores[i].fits(schema, layout, key, t.types) {
			return nil
		}
	}
	_, err = t.begin(st, schema, begin)
	return err
}

// begin makes a store for rows of a definition, which is not in the target yet.
func (t *Table) begin(st *step, schema *event.Schema, since event.Seq) (at int, err error) {
	layout, key, err := t.shape.plan(schema, st.stores)
	if err != nil {
		return 0, err
	}
	made := store{Number: 1, Layout: layout, Key: key}
	if n := len(st.stores); n > 0 {
		made.Number, made.Since = st.stores[n-1].Number+1, since
	}
	t.types.Names = namesOf(st.stores, t.types.Chosen)
	if n := len(st.stores); n > 0 {
		made.inherit(&st.stores[n-1], schema, t.shape.SchemaChange)
	}
	st.stores = append(st.stores, made)
	at = len(st.stores) - 1
	if err := t.ensureAll(st, at, schema); err != nil {
		return 0, err
	}
	if err := st.stores[at].checkPartition(t.shape.PartitionBy); err != nil {
		return 0, err
	}
	st.added[at] = nil
	return at, nil
}
