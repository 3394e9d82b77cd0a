package schema

import (
	"slices"
	"strings"

	"github.com/millrace/millrace/pipeline/event"
)

// NewID makes the identity of a column that a statement added: it depends on nothing
// but the statement's number and the column's place among those it added, so that
// reading the log again gives the same, and it is none that the table has.
func NewID(number uint64, nth int, taken []event.Column) uint32 {
	x := number*0x9e3779b97f4a7c15 + uint64(nth)*0xbf58476d1ce4e5b9
	x ^= x >> 29
	x *= 0x94d049bb133111eb
	id := uint32(x>>32) | 1<<16 // above those of the first definition
	for slices.ContainsFunc(taken, func(c event.Column) bool { return c.ID == id }) {
		id++
	}
	return id
}

// KeepIDs gives the columns of now the identities, and defaults, that columns of the
// same name have in old; the others get new ones.
func KeepIDs(old, now *event.Schema, number uint64) *event.Schema {
	if old == nil {
		return now
	}
	columns := slices.Clone(now.Columns)
	for i := range columns {
		c := &columns[i]
		k := slices.IndexFunc(old.Columns, func(o event.Column) bool { return strings.EqualFold(o.Name, c.Name) })
		if k < 0 {
			c.ID = NewID(number, i, append(slices.Clone(old.Columns), columns[:i]...))
			continue
		}
		c.ID = old.Columns[k].ID
		if old.Columns[k].Type == c.Type {
			c.HasDefault, c.Default = old.Columns[k].HasDefault, old.Columns[k].Default
		}
	}
	return event.NewSchema(now.Name, columns, now.PrimaryKey)
}
