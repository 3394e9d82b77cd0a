package schema

import (
	"slices"
	"strings"

	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline/event"
)

// Index is an index of a table, as far as it matters to the choice of a key.
type Index struct {
	Name    string
	Unique  bool
	Columns []string // names of its columns in order; "" for a part that is no column
	// Partial says that a part is a prefix of a column or an expression.
	Partial bool
}

// primary reports whether the index is the primary key.
func (x *Index) primary() bool { return strings.EqualFold(x.Name, primaryName) }

const primaryName = "PRIMARY"

// usable reports whether the index identifies rows of a table with these columns: it is
// the primary key, or unique over whole columns that are never NULL. It is asked anew
// whenever a column or an index changes.
func (x *Index) usable(columns []event.Column) (at []int, ok bool) {
	if !x.Unique || x.Partial && !x.primary() {
		return nil, false
	}
	for _, name := range x.Columns {
		i := findColumn(columns, name)
		if i < 0 || columns[i].Nullable && !x.primary() && !seeded.On(seeded.LogTakenAtItsWord) {
			return nil, false
		}
		at = append(at, i)
	}
	return at, len(at) > 0
}

func findColumn(columns []event.Column, name string) int {
	return slices.IndexFunc(columns, func(c event.Column) bool { return strings.EqualFold(c.Name, name) })
}

// chooseKey is the key of a table: the primary key, else the first by name of the
// indexes that identify rows. A table without such an index has none.
func chooseKey(columns []event.Column, indexes []Index) (at []int, name string) {
	for i := range indexes {
		x := &indexes[i]
		cols, ok := x.usable(columns)
		switch {
		case !ok:
		case x.primary():
			return cols, x.Name
		case at == nil || x.Name < name:
			at, name = cols, x.Name
		}
	}
	return at, name
}
