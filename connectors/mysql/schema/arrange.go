package schema

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pingcap/tidb/pkg/parser/ast"

	"github.com/millrace/millrace/pipeline/event"
)

// arranged is a column of the new list and the name by which indexes of the old table
// find it: what it was called before, or its own when it is new.
type arranged struct {
	event.Column
	old string
}

// arrange makes the new columns and indexes of the old ones and the parts. Both servers
// do it in this order: the old columns go through one by one, dropped, changed or
// renamed by their old names, and keep their places unless a part says where to go; then
// what was added or moved is put, in the statement's order, into the list as it is by
// then, behind columns under their new names.
func (b *build) arrange() {
	var list []arranged
	for _, c := range b.columns {
		if slices.ContainsFunc(b.drops, func(n string) bool { return strings.EqualFold(n, c.Name) }) {
			continue
		}
		old := c.Name
		if p := b.changing(old); p != nil {
			p.found = true
			if !p.placed() {
				list = append(list, arranged{p.column, old})
			}
			continue
		}
		if to, ok := b.renames[strings.ToLower(old)]; ok {
			c.Name = to
		}
		list = append(list, arranged{c, old})
	}
	for _, p := range b.defs {
		switch {
		case p.old != "" && !p.found:
			b.isUnclear("column %s was changed and dropped", p.old)
		case p.old == "" || p.placed():
			list = b.put(list, p)
		}
	}
	b.columns = b.columns[:0:0]
	for i := range list {
		if findColumn(b.columns, list[i].Name) >= 0 {
			b.isUnclear("two columns were given the name %s", list[i].Name)
		}
		b.columns = append(b.columns, list[i].Column)
	}
	b.arrangeIndexes(list)
}

// changing is the part that changes a column.
func (b *build) changing(name string) *columnPart {
	for _, p := range b.defs {
		if p.old != "" && strings.EqualFold(p.old, name) && !p.found {
			return p
		}
	}
	return nil
}

// put puts an added or moved column into the list.
func (b *build) put(list []arranged, p *columnPart) []arranged {
	at := len(list)
	if p.placed() {
		at = 0
		if p.position.Tp == ast.ColumnPositionAfter {
			name := p.position.RelativeColumn.Name.O
			at = slices.IndexFunc(list, func(a arranged) bool { return strings.EqualFold(a.Name, name) }) + 1
			if at == 0 {
				b.isUnclear("a column was put behind %s, which is not known", name)
			}
		}
	}
	old := p.old
	if old == "" {
		old = p.column.Name
	}
	return slices.Insert(list, at, arranged{p.column, old})
}

// arrangeIndexes carries the indexes on: dropped and renamed by their old names, over
// the columns that theirs have become, without those that were dropped.
func (b *build) arrangeIndexes(list []arranged) {
	known := b.indexes != nil
	var now []Index
	for _, x := range b.indexes {
		if b.isDropped(&x) {
			continue
		}
		for _, r := range b.renamed {
			if strings.EqualFold(r.from, x.Name) {
				x.Name = r.to
			}
		}
		var columns []string
		for _, c := range x.Columns {
			if c == "" { // an expression
				columns = append(columns, "")
				continue
			}
			if i := slices.IndexFunc(list, func(a arranged) bool { return strings.EqualFold(a.old, c) }); i >= 0 {
				columns = append(columns, list[i].Name)
				b.inherited(&x, &list[i].Column)
			}
		}
		if len(columns) < len(x.Columns) && x.Partial {
			b.unsure(&x) // the part that was a prefix may be gone
		}
		if x.Columns = columns; len(columns) > 0 {
			b.cutShort(&x)
			b.neverNull(&x)
			now = append(now, x)
		}
	}
	for i := range b.added {
		now = b.addIndex(now, &b.added[i])
	}
	b.indexes = nil
	if known {
		b.indexes = append([]Index{}, now...)
	} else {
		b.indexes = slices.DeleteFunc(now, func(x Index) bool { return !x.primary() })
	}
}

// neverNull is what the primary key makes of its columns, of one that is there anew as well.
func (b *build) neverNull(x *Index) {
	for _, name := range x.Columns {
		i := findColumn(b.columns, name)
		if i < 0 || !x.primary() {
			continue
		}
		c := &b.columns[i]
		c.Nullable = false
		c.HasDefault = c.HasDefault && c.Default != nil // else it is the type's own; the key is another, and an attempt due
	}
}

// inherited looks at an index part over a column that was dropped and is there anew, or
// over a prefix of one that is of another type now: the part keeps the length that it had,
// which may be less than the new column's, or covers it all.
func (b *build) inherited(x *Index, c *event.Column) {
	i := slices.IndexFunc(b.all[:b.before], func(o event.Column) bool { return o.ID == c.ID })
	text := c.Type == event.TypeText || c.Type == event.TypeBinary
	if i < 0 && text || i >= 0 && x.Partial && b.all[i].Native != c.Native {
		b.unsure(x)
	}
}

// unsure says that the server has to tell whether an index is over whole columns.
func (b *build) unsure(x *Index) {
	b.forget = true
	if x.Unique {
		b.long = append(b.long, x.Name)
	}
}

// isDropped reports whether the statement drops the index.
func (b *build) isDropped(x *Index) bool {
	return x.primary() && b.primary || slices.ContainsFunc(b.dropped, func(n string) bool { return strings.EqualFold(n, x.Name) })
}

// addIndex adds an index under the name that the server gives it.
func (b *build) addIndex(now []Index, n *newIndex) []Index {
	x := Index{Name: n.name, Unique: n.unique || n.primary}
	if n.primary {
		x.Name = primaryName
	}
	for _, part := range n.parts {
		switch {
		case part.Column == nil:
			x.Partial = true
			x.Columns = append(x.Columns, "")
			continue
		case part.Length > 0:
			x.Partial = x.Partial || b.prefix(part)
		}
		i := findColumn(b.columns, part.Column.Name.O)
		if i < 0 {
			b.isUnclear("an index was made over column %s, which is not known", part.Column.Name.O)
			return now
		}
		x.Columns = append(x.Columns, b.columns[i].Name)
	}
	b.neverNull(&x)
	if n.ifNotExists && slices.ContainsFunc(now, func(y Index) bool { return strings.EqualFold(x.Name, y.Name) }) {
		return now
	}
	if x.Name == "" {
		x.Name = freeIndexName(now, x.Columns)
	}
	b.cutShort(&x)
	return append(now, x)
}

// maxIndexPart is the shortest limit of servers for a part of an index, in bytes.
const maxIndexPart = 767

// cutShort looks at an index over a whole column that may be too long for one: MariaDB
// makes it an index over a prefix, or one over hashes when it is unique.
func (b *build) cutShort(x *Index) {
	whole := true
	for _, name := range x.Columns {
		i := findColumn(b.columns, name)
		if i < 0 {
			continue
		}
		c := &b.columns[i]
		whole = whole && !c.Nullable
		long := c.Type == event.TypeText || c.Type == event.TypeBinary || c.Type == event.TypeJSON
		if !long || c.Length > 0 && c.Length*charWidth(c.Charset) <= maxIndexPart {
			continue
		}
		b.forget = b.forget || !x.Partial
		if whole && x.Unique && !x.Partial {
			b.long = append(b.long, x.Name)
		}
	}
}

// prefix reports whether an index part is less than the whole column.
func (b *build) prefix(part *ast.IndexPartSpecification) bool {
	i := findColumn(b.columns, part.Column.Name.O)
	if i < 0 || b.columns[i].Type != event.TypeText && b.columns[i].Type != event.TypeBinary {
		return i < 0
	}
	return b.columns[i].Length == 0 || part.Length < b.columns[i].Length
}

// freeIndexName is the name that servers give an index: its first column's, with a number
// behind it when that is taken.
func freeIndexName(taken []Index, columns []string) string {
	base := "functional_index"
	if len(columns) > 0 && columns[0] != "" {
		base = columns[0]
	}
	name := base
	has := func(x Index) bool { return strings.EqualFold(x.Name, name) }
	for i := 2; strings.EqualFold(name, primaryName) || slices.ContainsFunc(taken, has); i++ {
		name = fmt.Sprintf("%s_%d", base, i)
	}
	return name
}

// chooseKey judges anew which index is the key, and says when the key is another one.
func (b *build) chooseKey(before *Current) (key []int, name string) {
	key, name = chooseKey(b.columns, b.indexes)
	if before.Indexes == nil && !strings.EqualFold(name, primaryName) {
		key, name = b.keepKey()
	}
	if before.Indexes == nil || b.forget {
		b.indexes = nil
	}
	b.longKey(name)
	var ids []uint32
	for _, i := range key {
		ids = append(ids, b.columns[i].ID)
	}
	if !slices.Equal(ids, b.key) {
		b.isDue("the key changed")
	}
	return key, name
}

// longKey asks the server when an index that may be cut short decides the key.
func (b *build) longKey(name string) {
	if len(b.long) > 0 && !strings.EqualFold(name, primaryName) {
		b.isUnclear("the unique index %s may be one over a prefix", b.long[0])
	}
}

// keepKey keeps the key of a table whose other indexes are not known. When the statement
// may have changed what the key is, the server has to be asked.
func (b *build) keepKey() (key []int, name string) {
	for _, id := range b.key {
		i := slices.IndexFunc(b.columns, func(c event.Column) bool { return c.ID == id })
		if i < 0 {
			b.isUnclear("a column of the key was dropped")
			return nil, ""
		}
		key = append(key, i)
	}
	isPrimary := strings.EqualFold(b.keyName, primaryName)
	switch {
	case isPrimary && !b.primary:
		return key, b.keyName
	case b.primary:
		b.isUnclear("the primary key was dropped")
	case len(b.dropped)+len(b.renamed)+len(b.added)+len(b.drops) > 0:
		b.isUnclear("indexes were changed, and not all of the table's are known")
	case slices.ContainsFunc(b.defs, func(p *columnPart) bool { return p.old != "" }):
		b.isUnclear("columns were changed, and not all of the table's indexes are known")
	}
	return key, b.keyName
}
