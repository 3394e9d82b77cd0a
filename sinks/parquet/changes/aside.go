package changes

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/letters"
)

// rule says what changes of one row have to do with each other.
func (t *Table) rule(schema *event.Schema) letters.Rule {
	if t.Alone {
		return letters.Changes
	}
	return letters.RuleOf(schema)
}

// holdOrPutAside writes a row, or puts it aside where a file can't hold one of its values and
// the pipeline says so.
func (w *rowWriter) holdOrPutAside(ctx context.Context, r *event.Row) error {
	d := w.t.batch.letters
	rule := w.t.rule(w.plan.schema)
	if d.Open() && r.Op == event.OpDelete && rule == letters.Counts {
		if done, err := w.takeBack(r); done || err != nil {
			return err
		}
	}
	err := w.row(ctx, r)
	if err == nil {
		return w.settle(r, rule)
	}
	var why *letters.Refusal
	if !d.Open() || !errors.As(err, &why) {
		return err
	}
	w.file.fw.Undo()
	if r.Op == event.OpDelete && rule == letters.Versions {
		if done, err := w.takeBack(r); done || err != nil { // its key was never there
			return err
		}
	}
	unsure := rule == letters.Versions && (r.Seq <= w.t.batch.ledger.Next().Rerouted || !w.plan.schema.Chooses(w.t.Claim.Route))
	l, bad := letters.New(w.plan.schema, w.slice, r, w.q, why, unsure)
	if bad != nil {
		return err // it can't be read
	}
	l.Alone = w.t.Alone && len(w.plan.schema.PrimaryKey) > 0
	if full := d.Put(l, rule); full != nil {
		return fmt.Errorf("%w (%w)", err, full)
	}
	return nil
}

func (w *rowWriter) takeBack(r *event.Row) (bool, error) {
	id, err := letters.IDOf(w.plan.schema, r)
	if err != nil {
		return false, fmt.Errorf("%w: table %s, row %d: %w", pipeline.ErrRecord, w.t.Claim.Table, r.Seq, err)
	}
	return w.t.batch.letters.TakeBack(id, r.Seq), nil
}

// settle ends what is put aside of a row of which a newer change was written.
func (w *rowWriter) settle(r *event.Row, rule letters.Rule) error {
	d := w.t.batch.letters
	if d.Book().Empty() || rule != letters.Versions {
		return nil
	}
	id, err := letters.IDOf(w.plan.schema, r)
	if err != nil {
		return fmt.Errorf("%w: table %s, row %d: %w", pipeline.ErrRecord, w.t.Claim.Table, r.Seq, err)
	}
	d.Applied(id, r.Seq)
	return nil
}

// needless says that a deletion can do without a value that its column can't hold: all but the
// key is.
func (w *rowWriter) needless(r *event.Row, i int) bool {
	schema := w.plan.schema
	return w.t.batch.letters.Open() && r.Op == event.OpDelete && w.t.rule(schema) == letters.Versions && !slices.Contains(schema.PrimaryKey, i)
}
