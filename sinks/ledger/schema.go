package ledger

import (
	"slices"

	"github.com/millrace/millrace/pipeline/event"
)

// define takes a definition as the newest one if the change numbered at is newer than what
// is known.
func (b *Batch) define(s *event.Schema, at event.Seq) {
	t := b.next
	if s == nil || t.Schema != nil && at <= t.SchemaAt {
		return
	}
	t.Schema, t.SchemaAt = s, at
	b.changed = true
}

// Missing is the place, in what Map returns, of a column that the older definition lacks.
const Missing = -1

// Map says for each column of a table's definition which column of another one, older or
// newer, holds its values (K8). Columns are the same by identity, never by name. The rows of a
// definition that lacks a column show the column's default, or NULL.
func Map(to, from *event.Schema) []int {
	places := make([]int, len(to.Columns))
	for i := range places {
		places[i] = slices.IndexFunc(from.Columns, func(c event.Column) bool { return c.ID == to.Columns[i].ID })
	}
	return places
}

// Fill is what rows show in a column that their definition lacks: its default as it was when
// the column was added, NULL where that is none or an expression.
func Fill(c *event.Column) event.Value {
	if !c.HasDefault {
		return nil
	}
	return c.Default
}
