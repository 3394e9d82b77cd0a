package schema

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pingcap/tidb/pkg/parser/ast"

	"github.com/millrace/millrace/connectors/mysql/decode"
	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline/event"
)

func (b *build) has(name string) bool { return findColumn(b.columns, name) >= 0 }

func (b *build) addColumn(d *ast.ColumnDef, n *ast.AlterTableSpec) {
	name := d.Name.Name.O
	adds := func(p *columnPart) bool { return p.old == "" && strings.EqualFold(p.column.Name, name) }
	if n.IfNotExists && (b.has(name) || slices.ContainsFunc(b.defs, adds)) {
		return
	}
	c, x, ok := b.column(d)
	if !ok {
		return
	}
	c.ID = NewID(b.s.Number, len(b.all)-b.before, b.all)
	b.all = append(b.all, c)
	b.fill(&c, x)
	b.defs = append(b.defs, &columnPart{column: c, extras: x, position: n.Position})
	b.columnKeys(&c, x)
}

// alterDefault is ALTER c SET DEFAULT. It changes no row that is there, unless the column
// is a new one of the same statement: then servers differ in which default that has.
func (b *build) alterDefault(name string) {
	for _, p := range b.defs {
		if p.old == "" && strings.EqualFold(p.column.Name, name) {
			p.column.HasDefault, p.column.Default = false, nil
			b.isDue("column %s was given two defaults", name)
		}
	}
}

func (b *build) dropColumn(name string, ifExists bool) {
	for old, now := range b.renames {
		if strings.EqualFold(now, name) && seeded.On(seeded.AlterPartByPart) {
			delete(b.renames, old)
			name = old
		}
	}
	switch {
	case b.has(name):
		b.drops = append(b.drops, name)
	case !ifExists:
		b.isUnclear("a column was dropped that is not known")
	}
}

func (b *build) renameColumn(from, to string) {
	if !b.has(from) {
		b.isUnclear("a renamed column is not known")
		return
	}
	for old, now := range b.renames {
		if strings.EqualFold(now, from) && seeded.On(seeded.AlterPartByPart) {
			b.renames[old] = to
			return
		}
	}
	b.renames[strings.ToLower(from)] = to
}

// changeColumn is MODIFY and CHANGE.
func (b *build) changeColumn(oldName string, n *ast.AlterTableSpec) {
	i := findColumn(b.columns, oldName)
	if i < 0 {
		if !n.IfExists {
			b.isUnclear("a changed column is not known")
		}
		return
	}
	c, x, ok := b.column(n.NewColumns[0])
	if !ok {
		return
	}
	old := b.columns[i]
	c.ID = old.ID
	if slices.Contains(b.key, c.ID) && strings.EqualFold(b.keyName, primaryName) && !b.primary {
		c.Nullable = false
	}
	if old.Type == c.Type {
		c.HasDefault, c.Default = old.HasDefault, old.Default
	}
	if why := storedDiffers(&old, &c); why != "" {
		c.HasDefault, c.Default = false, nil
		b.isDue("column %s: %s", c.Name, why)
	}
	if x.autoIncrement && !old.Generated && old.Type != c.Type {
		b.isDue("column %s became AUTO_INCREMENT", c.Name)
	}
	b.defs = append(b.defs, &columnPart{old: oldName, column: c, extras: x, position: n.Position})
	b.columnKeys(&c, x)
}

// storedDiffers says how a changed column's stored values may be shown differently.
func storedDiffers(old, now *event.Column) string {
	switch {
	case old.Type != now.Type:
		return fmt.Sprintf("converted from %s to %s", old.Native, now.Native)
	case now.Generated || old.Generated:
		return "is generated"
	case old.Nullable && !now.Nullable:
		return "became NOT NULL"
	case old.Charset != now.Charset:
		return fmt.Sprintf("converted from charset %s to %s", old.Charset, now.Charset)
	}
	switch now.Type {
	case event.TypeInt, event.TypeUint:
		if now.Precision < old.Precision {
			return "narrowed to " + now.Native
		}
	case event.TypeDecimal:
		if now.Scale != old.Scale || now.Precision < old.Precision {
			return "converted to " + now.Native
		}
	case event.TypeDateTime, event.TypeTimestamp, event.TypeTime:
		if now.Scale < old.Scale {
			return "lost fractional digits"
		}
	case event.TypeEnum, event.TypeSet:
		if len(now.Members) < len(old.Members) || !slices.Equal(old.Members, now.Members[:len(old.Members)]) {
			return "its members are others"
		}
	case event.TypeText, event.TypeBinary:
		base := decode.BaseType(now.Native)
		if decode.BaseType(old.Native) != base || now.Length < old.Length || now.Length != old.Length && base == "binary" {
			return "converted to " + now.Native
		}
	case event.TypeBit:
		if now.Length < old.Length {
			return "narrowed to " + now.Native
		}
	}
	return ""
}
