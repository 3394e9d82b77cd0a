package schema

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pingcap/tidb/pkg/parser/ast"

	"github.com/millrace/millrace/pipeline/event"
)

// build is a table's definition while a statement is applied to it. The parts of a
// statement are gathered first: every name in them is one of the table before it, and
// the new list of columns is made of the old one and the parts as the server makes it.
type build struct {
	s                  *Statement
	name               event.TableName
	charset, collation string
	columns            []event.Column // before the statement; afterwards, behind it
	all                []event.Column // every column there was, for new identities
	before             int            // how many of them are not new
	indexes            []Index        // likewise; nil when not known
	key                []uint32       // identities of the key's columns before the statement
	keyName            string

	drops   []string
	renames map[string]string // new names of columns by the old ones, in lower case
	defs    []*columnPart     // added and changed columns in order
	// dropped are the names of indexes that go, primary that the primary key goes.
	dropped []string
	primary bool
	renamed []indexName
	added   []newIndex
	forget  bool     // the indexes are not known behind the statement
	long    []string // unique ones that may be over a prefix

	moved   event.TableName // the table's new name
	due     []string
	unclear string // why the server has to be asked
}

// columnPart adds a column, or changes the one that was called old.
type columnPart struct {
	old      string // "" when it is added
	column   event.Column
	extras   extras
	position *ast.ColumnPosition
	found    bool
}

// placed reports whether the part says where the column goes.
func (p *columnPart) placed() bool {
	return p.position != nil && p.position.Tp != ast.ColumnPositionNone
}

type indexName struct{ from, to string }

// newIndex is an index that a statement adds; its name is "" when the server chooses it.
type newIndex struct {
	name            string
	unique, primary bool
	parts           []*ast.IndexPartSpecification
	ifNotExists     bool
}

// otherRows is why an attempt is due where rows came and went without row events.
const otherRows = "rows came or went with a partition or tablespace"

// alter is ALTER TABLE.
func (s *Statement) alter(n *ast.AlterTableStmt, d *definition) []Change {
	out := s.alterNamed(n, d)
	for _, spec := range n.Specs {
		if spec.Tp == ast.AlterTableExchangePartition { // the other table has the partition's rows now
			out = append(out, s.alterTable(s.name(spec.NewTable), func(b *build) { b.isDue(otherRows) })...)
		}
	}
	return out
}

// alterNamed is what the statement does to the table that it names first.
func (s *Statement) alterNamed(n *ast.AlterTableStmt, d *definition) []Change {
	name := s.name(n.Table)
	if s.Table(name) == nil {
		// The table is not captured; it may become so by a new name.
		for _, spec := range n.Specs {
			if spec.Tp == ast.AlterTableRenameTable {
				return s.rename([][2]event.TableName{{name, s.name(spec.NewTable)}})
			}
		}
		return nil
	}
	return s.alterTable(name, func(b *build) {
		// Defaults for new columns hold wherever in the statement they stand.
		for _, spec := range n.Specs {
			if spec.Tp == ast.AlterTableOption {
				b.options(spec.Options)
			}
		}
		for _, spec := range n.Specs {
			b.spec(spec)
		}
		for _, spec := range n.Specs {
			if spec.Tp == ast.AlterTableAlterColumn && len(spec.NewColumns) == 1 {
				b.alterDefault(spec.NewColumns[0].Name.Name.O)
			}
		}
		if d.ignore {
			b.isDue("rows that were in the way of the change may be gone")
		}
	})
}

// newBuild begins with a table as it is.
func (s *Statement) newBuild(name event.TableName, c *Current) *build {
	b := &build{s: s, name: name, charset: c.Charset, collation: c.Collation, renames: map[string]string{},
		columns: slices.Clone(c.Schema.Columns), all: slices.Clone(c.Schema.Columns), before: len(c.Schema.Columns), keyName: c.Key}
	for _, k := range c.Schema.PrimaryKey {
		b.key = append(b.key, c.Schema.Columns[k].ID)
	}
	if c.Indexes != nil {
		b.indexes = make([]Index, 0, len(c.Indexes))
		for _, x := range c.Indexes {
			x.Columns = slices.Clone(x.Columns)
			b.indexes = append(b.indexes, x)
		}
	}
	return b
}

// alterTable applies fn to a captured table.
func (s *Statement) alterTable(name event.TableName, fn func(*build)) []Change {
	c := s.Table(name)
	if c == nil {
		return nil
	}
	b := s.newBuild(name, c)
	fn(b)
	if b.moved != (event.TableName{}) {
		if only := b.unclear == "" && len(b.due) == 0 && b.untouched(); only {
			return s.rename([][2]event.TableName{{name, b.moved}})
		}
		return s.renamedUnclear(name, b.moved, "it was changed by the same statement")
	}
	b.arrange()
	key, keyName := b.chooseKey(c)
	if b.unclear != "" {
		return []Change{{Kind: Unclear, Table: name, Due: b.unclear}}
	}
	change := Change{Kind: Altered, Table: name, Charset: b.charset, Collation: b.collation, Key: keyName, Indexes: b.indexes}
	change.New = event.NewSchema(name, b.columns, key)
	change.Due = strings.Join(b.due, "; ")
	switch {
	case change.New.ID != c.Schema.ID || change.Due != "":
	case b.charset != c.Charset || b.collation != c.Collation || keyName != c.Key || !sameIndexes(b.indexes, c.Indexes):
		change.Kind, change.New = Noted, c.Schema
	default:
		return nil
	}
	return []Change{change}
}

// untouched reports whether no part changed a column or an index.
func (b *build) untouched() bool {
	return len(b.drops)+len(b.renames)+len(b.defs)+len(b.dropped)+len(b.renamed)+len(b.added) == 0 && !b.primary
}

func sameIndexes(a, b []Index) bool {
	return (a == nil) == (b == nil) && slices.EqualFunc(a, b, func(x, y Index) bool {
		return x.Name == y.Name && x.Unique == y.Unique && x.Partial == y.Partial && slices.Equal(x.Columns, y.Columns)
	})
}

func (b *build) isDue(format string, a ...any) { b.due = append(b.due, fmt.Sprintf(format, a...)) }

// isUnclear notes the first reason why the server has to be asked.
func (b *build) isUnclear(format string, a ...any) {
	if b.unclear == "" {
		b.unclear = fmt.Sprintf(format, a...)
	}
}

// spec gathers one part of an ALTER TABLE.
func (b *build) spec(n *ast.AlterTableSpec) {
	switch n.Tp {
	case ast.AlterTableAddColumns:
		for _, d := range n.NewColumns {
			b.addColumn(d, n)
		}
		for _, c := range n.NewConstraints {
			b.constraint(c)
		}
	case ast.AlterTableDropColumn:
		b.dropColumn(n.OldColumnName.Name.O, n.IfExists)
	case ast.AlterTableModifyColumn:
		b.changeColumn(n.NewColumns[0].Name.Name.O, n)
	case ast.AlterTableChangeColumn:
		b.changeColumn(n.OldColumnName.Name.O, n)
	case ast.AlterTableRenameColumn:
		b.renameColumn(n.OldColumnName.Name.O, n.NewColumnName.Name.O)
	case ast.AlterTableAddConstraint:
		b.constraint(n.Constraint)
	case ast.AlterTableDropPrimaryKey:
		b.primary = true
	case ast.AlterTableDropIndex:
		b.dropIndex(n.Name, n.IfExists)
	case ast.AlterTableDropCheck: // DROP CONSTRAINT, which takes unique keys as well
		b.dropConstraint(n.Constraint.Name)
	case ast.AlterTableRenameIndex:
		b.renamed = append(b.renamed, indexName{from: n.FromKey.O, to: n.ToKey.O})
	case ast.AlterTableRenameTable:
		if b.moved = b.s.name(n.NewTable); b.moved == b.name { // servers take that, and do nothing
			b.moved = event.TableName{}
		}
	case ast.AlterTableDropPartition, ast.AlterTableTruncatePartition, ast.AlterTableExchangePartition, ast.AlterTableRepairPartition,
		ast.AlterTableImportTablespace, ast.AlterTableImportPartitionTablespace, ast.AlterTableDiscardTablespace,
		ast.AlterTableDiscardPartitionTablespace, ast.AlterTableDropFirstPartition:
		b.isDue(otherRows)
	}
}

func (b *build) options(options []*ast.TableOption) {
	for _, o := range options {
		switch o.Tp {
		case ast.TableOptionCharset:
			b.charset, b.collation = charsetName(o.StrValue), ""
			if o.UintValue == ast.TableOptionCharsetWithConvertTo {
				b.isUnclear("the table was converted to another charset")
			}
		case ast.TableOptionCollate:
			b.collation = strings.ToLower(o.StrValue)
			b.charset = CharsetOf(b.collation)
		case ast.TableOptionEngine:
			if !keepsRows(o.StrValue) {
				b.isDue("the table's rows went to the engine %s", o.StrValue)
			}
		case ast.TableOptionUnion:
			b.isDue("the table's rows are those of other tables")
		}
	}
}

// charsetName is a charset's name as the server shows it.
func charsetName(s string) string {
	if s = strings.ToLower(s); s == "utf8" {
		return "utf8mb3"
	}
	return s
}

// keepsRows reports whether an engine is one that keeps every row that it is given.
func keepsRows(engine string) bool {
	for _, e := range [...]string{"InnoDB", "MyISAM", "Aria", "Memory", "Heap", "RocksDB", "TokuDB", "Archive", "NDBCluster", "NDB"} {
		if strings.EqualFold(e, engine) {
			return true
		}
	}
	return false
}
