package schema

import (
	"slices"
	"strings"

	"github.com/pingcap/tidb/pkg/parser/ast"

	"github.com/millrace/millrace/pipeline/event"
)

// create is CREATE TABLE.
func (s *Statement) create(n *ast.CreateTableStmt, d *definition) []Change {
	name := s.name(n.Table)
	if !s.Captures(name) {
		return nil
	}
	there := s.Table(name)
	if there != nil && n.IfNotExists {
		return nil
	}
	due := ""
	if there != nil {
		due = "the table was replaced"
	}
	unclear := func(why string) []Change {
		return []Change{{Kind: Unclear, Table: name, Due: strings.TrimPrefix(due+"; "+why, "; ")}}
	}
	if n.ReferTable != nil {
		from := s.name(n.ReferTable)
		like := s.Table(from)
		if is, unsure := s.temporary(from); like == nil || is || unsure {
			return unclear("the table that it is like is not known")
		}
		return []Change{s.createLike(name, from, like, due)}
	}
	if len(n.Cols) == 0 || n.Select != nil {
		return unclear("its columns are those of a query")
	}
	b := &build{s: s, name: name, indexes: []Index{}, renames: map[string]string{}}
	b.options(n.Options)
	b.due = nil
	for _, c := range n.Cols {
		b.createColumn(c)
	}
	for _, c := range n.Constraints {
		b.constraint(c)
	}
	b.arrange()
	key, keyName := chooseKey(b.columns, b.indexes)
	if keyName != primaryName {
		b.longKey(keyName)
		b.sameFirst(n)
	}
	if b.unclear != "" {
		return unclear(b.unclear)
	}
	out := Change{Kind: Created, Table: name, New: event.NewSchema(name, b.columns, key), Charset: b.charset, Collation: b.collation,
		Key: keyName, Indexes: b.indexes, Due: due}
	if b.forget {
		out.Indexes = nil
	}
	return []Change{out}
}

func (s *Statement) createLike(name, from event.TableName, like *Current, due string) Change {
	columns := slices.Clone(like.Schema.Columns)
	for i := range columns {
		columns[i].ID = uint32(i + 1)
		columns[i].HasDefault, columns[i].Default = false, nil
	}
	return Change{Kind: Created, Table: name, New: event.NewSchema(name, columns, like.Schema.PrimaryKey), From: from,
		Charset: like.Charset, Collation: like.Collation, Key: like.Key, Indexes: like.Indexes, Due: due}
}

// createColumn gathers a column of a new table.
func (b *build) createColumn(d *ast.ColumnDef) {
	c, x, ok := b.column(d)
	if !ok {
		return
	}
	c.ID = uint32(len(b.defs) + 1)
	b.defs = append(b.defs, &columnPart{column: c, extras: x})
	b.columnKeys(&c, x)
}

// sameFirst asks the server when a key that stands with a column and one that stands by
// itself have to share a name that it chooses: which of them comes first is not known.
func (b *build) sameFirst(n *ast.CreateTableStmt) {
	for _, c := range n.Constraints {
		if c.Name != "" || len(c.Keys) == 0 || c.Keys[0].Column == nil {
			continue
		}
		for _, d := range n.Cols {
			if hasOption(d, ast.ColumnOptionUniqKey) && d.Name.Name.L == c.Keys[0].Column.Name.L {
				b.isUnclear("two keys begin with column %s, and the order of their names is not known", d.Name.Name.O)
			}
		}
	}
}
