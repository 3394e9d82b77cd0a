package schema

import (
	"slices"
	"strings"

	"github.com/pingcap/tidb/pkg/parser/ast"

	"github.com/millrace/millrace/pipeline/event"
)

// columnKeys gathers the keys that stand with a column.
func (b *build) columnKeys(c *event.Column, x extras) {
	part := []*ast.IndexPartSpecification{{Column: &ast.ColumnName{Name: ast.NewCIStr(c.Name)}}}
	if x.primary {
		b.added = append(b.added, newIndex{primary: true, parts: part})
	}
	if x.unique {
		b.added = append(b.added, newIndex{unique: true, parts: part})
	}
}

func (b *build) constraint(c *ast.Constraint) {
	x := newIndex{name: c.Name, parts: c.Keys, ifNotExists: c.IfNotExists}
	switch c.Tp {
	case ast.ConstraintPrimaryKey:
		x.primary = true
	case ast.ConstraintUniq, ast.ConstraintUniqKey, ast.ConstraintUniqIndex:
		x.unique = true
	case ast.ConstraintKey, ast.ConstraintIndex, ast.ConstraintFulltext:
	case ast.ConstraintCheck:
		if b.s.MariaDB && isJSONValid(c.Expr) {
			b.isUnclear("a check makes JSON of a column")
		}
		return
	case ast.ConstraintForeignKey:
		b.forget = true // it may bring an index, under a name that the server chooses
		return
	default:
		return
	}
	b.added = append(b.added, x)
}

// dropConstraint is DROP CONSTRAINT: of a unique key, or of a check, which MariaDB's JSON
// columns are JSON by.
func (b *build) dropConstraint(name string) {
	known := slices.ContainsFunc(b.indexes, func(x Index) bool { return strings.EqualFold(x.Name, name) })
	if !known && b.s.MariaDB && slices.ContainsFunc(b.columns, func(c event.Column) bool { return c.Type == event.TypeJSON }) {
		b.isUnclear("a constraint was dropped, by which a column may have been JSON")
		return
	}
	b.dropIndex(name, true)
}

// dropIndex gathers an index that goes.
func (b *build) dropIndex(name string, ifExists bool) {
	known := slices.ContainsFunc(b.indexes, func(x Index) bool { return strings.EqualFold(x.Name, name) })
	if b.indexes != nil && !known {
		if !ifExists {
			b.isUnclear("an index was dropped that is not known")
		}
		return
	}
	b.dropped = append(b.dropped, name)
	b.primary = b.primary || strings.EqualFold(name, primaryName)
}
