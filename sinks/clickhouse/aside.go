package clickhouse

import (
	"errors"
	"fmt"
	"slices"

	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/clickhouse/ddl"
	"github.com/millrace/millrace/sinks/letters"
)

// rule says what the target makes of changes of one row.
func (t *Table) rule(schema *event.Schema) letters.Rule {
	if t.shape.Mode == Changelog {
		return letters.Changes
	}
	return letters.RuleOf(schema)
}

// holdOrPutAside writes a row, or puts it aside where the target can't hold one of its values
// and the pipeline says so.
func (w *rowWriter) holdOrPutAside(r *event.Row) error {
	d := w.step.letters
	if d.Open() {
		if done, err := w.takenBack(r); done || err != nil {
			return err
		}
		w.note()
	}
	err := w.hold(r)
	if err == nil {
		w.step.rows++
		return w.settle(r)
	}
	var why *letters.Refusal
	if !d.Open() || !errors.As(err, &why) {
		return err
	}
	w.undo()
	if w.resorted() {
		return fmt.Errorf("%w; nothing is put aside of a table whose order_by has columns beside the primary key's: a later change of the row "+
			"would not find the version that is shown", err)
	}
	if r.Op == event.OpDelete && w.t.rule(w.schema) == letters.Versions && w.ofKey(why.Column) {
		if done, err := w.takeBack(r); done || err != nil { // its key was never there
			return err
		}
	}
	l, bad := letters.New(w.schema, w.slice, r, int(w.q), why, w.unsure(r.Seq))
	if bad != nil {
		return err // it can't be read
	}
	if full := d.Put(l, w.t.rule(w.schema)); full != nil {
		return fmt.Errorf("%w (%w)", err, full)
	}
	return nil
}

// resorted says that versions of a row may lie under several sorting keys. A change takes away what
// lies under that of its image before, which is not what is shown where the change before it was put
// aside: the row would be seen twice, or for ever.
func (w *rowWriter) resorted() bool {
	key := len(w.schema.PrimaryKey)
	return key > 0 && slices.ContainsFunc(w.blocks, func(b *block) bool {
		return b.layout == ddl.Versions && len(w.step.stores[b.store].Key) > key
	})
}

// takenBack reports that a row is a deletion, in a table without a key, of one that is put
// aside: neither is written.
func (w *rowWriter) takenBack(r *event.Row) (bool, error) {
	if r.Op != event.OpDelete || w.t.rule(w.schema) != letters.Counts {
		return false, nil
	}
	return w.takeBack(r)
}

// ofKey says that a column is one of the definition's key.
func (w *rowWriter) ofKey(column string) bool {
	return slices.ContainsFunc(w.schema.PrimaryKey, func(i int) bool { return w.schema.Columns[i].Name == column })
}

func (w *rowWriter) takeBack(r *event.Row) (bool, error) {
	id, err := letters.IDOf(w.schema, r)
	if err != nil {
		return false, w.t.refused(err, "row %d", r.Seq)
	}
	return w.step.letters.TakeBack(id, r.Seq), nil
}

// settle ends what is put aside of a row that the target has been given a newer change of.
func (w *rowWriter) settle(r *event.Row) error {
	d := w.step.letters
	if w.t.rule(w.schema) != letters.Versions {
		d.Landed(r.Seq) // it was put aside before the mark was written, and the policy is another now
		return nil
	}
	if d.Book().Empty() {
		return nil
	}
	id, err := letters.IDOf(w.schema, r)
	if err != nil {
		return w.t.refused(err, "row %d", r.Seq)
	}
	d.Applied(id, r.Seq)
	return nil
}

// unsure says that a newer change of the row may have come through another queue.
func (w *rowWriter) unsure(seq event.Seq) bool {
	if w.t.rule(w.schema) != letters.Versions {
		return false
	}
	return seq <= w.step.led.Next().Rerouted || !w.schema.Chooses(w.t.claim.Route)
}

// needless says that a change can do without a value that its column can't hold: what was there
// before a change, and of a deletion all but the key, unless the row stays as it was.
func (w *rowWriter) needless(b *block, s *side, i int, r *event.Row, op event.Op) bool {
	if !w.step.letters.Open() || r.Op == event.OpDelete && b.keep.keeps(w.vals) {
		return false
	}
	key := w.step.stores[b.store].Key
	return s == b.before || op == event.OpDelete && b.layout == ddl.Versions && !slices.Contains(key, b.schema.Columns[i].ID)
}

// note takes note of what the blocks hold before a row.
func (w *rowWriter) note() {
	if len(w.undos) < len(w.blocks) {
		w.undos = make([]undo, len(w.blocks))
	}
	for i, b := range w.blocks {
		b.note(&w.undos[i])
	}
}

// undo has them hold that again.
func (w *rowWriter) undo() {
	for i, b := range w.blocks {
		b.undo(&w.undos[i])
	}
	w.changed = w.changed[:0]
}
