package schema

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pingcap/tidb/pkg/parser/ast"

	"github.com/millrace/millrace/connectors/mysql/decode"
	"github.com/millrace/millrace/pipeline/event"
)

// build is a table's definition while a statement is applied to it.
type build struct {
	s                  *Statement
	name               event.TableName
	columns            []event.Column
	key                []uint32 // identities of the key's columns
	keyName            string
	charset, collation string
	added              int
	all                []event.Column // every column there was, for new identities
	due                []string
	unclear            string // why the server has to be asked
	dropped            bool   // the primary key was dropped; another unique key may take its place
	renamed            event.TableName
}

func (s *Statement) alter(n *ast.AlterTableStmt) []Change {
	out := s.alterNamed(n)
	for _, spec := range n.Specs {
		if spec.Tp == ast.AlterTableExchangePartition { // the other table has the partition's rows now
			out = append(out, s.alterTable(s.name(spec.NewTable), func(b *build) { b.isDue(otherRows) })...)
		}
	}
	return out
}

// otherRows is why an attempt is due where rows came and went without row events.
const otherRows = "rows came or went with a partition or tablespace"

// alterNamed is what the statement does to the table that it names first.
func (s *Statement) alterNamed(n *ast.AlterTableStmt) []Change {
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
		for _, spec := range n.Specs {
			b.spec(spec)
		}
	})
}

// alterTable applies fn to a captured table.
func (s *Statement) alterTable(name event.TableName, fn func(*build)) []Change {
	c := s.Table(name)
	if c == nil {
		return nil
	}
	b := &build{s: s, name: name, columns: slices.Clone(c.Schema.Columns), keyName: c.Key, charset: c.Charset, collation: c.Collation}
	b.all = slices.Clone(b.columns)
	for _, k := range c.Schema.PrimaryKey {
		b.key = append(b.key, b.columns[k].ID)
	}
	fn(b)
	change := Change{Kind: Altered, Table: name, Charset: b.charset, Collation: b.collation, Due: strings.Join(b.due, "; ")}
	if b.renamed != (event.TableName{}) {
		out := []Change{{Kind: Dropped, Table: name}}
		if s.Captures(b.renamed) {
			out = append(out, Change{Kind: Unclear, Table: b.renamed, Due: fmt.Sprintf("table %s was renamed to %s", name, b.renamed)})
		}
		return out
	}
	if b.dropped && b.keyName != "PRIMARY" {
		b.unclear = "the primary key was dropped"
	}
	change.Key = b.keyName
	if b.unclear == "" {
		change.New = b.schema()
	}
	if b.unclear != "" {
		change.Kind, change.Due = Unclear, b.unclear
	} else if change.New.ID == c.Schema.ID && change.Due == "" {
		return nil
	}
	return []Change{change}
}

func (b *build) schema() *event.Schema {
	var key []int
	for _, id := range b.key {
		i := slices.IndexFunc(b.columns, func(c event.Column) bool { return c.ID == id })
		if i < 0 {
			b.unclear = "a column of the key was dropped"
			return nil
		}
		key = append(key, i)
	}
	return event.NewSchema(b.name, b.columns, key)
}

func (b *build) find(name string) int {
	return slices.IndexFunc(b.columns, func(c event.Column) bool { return strings.EqualFold(c.Name, name) })
}

func (b *build) isDue(format string, a ...any) { b.due = append(b.due, fmt.Sprintf(format, a...)) }

// spec applies one part of an ALTER TABLE.
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
		if i := b.find(n.OldColumnName.Name.O); i >= 0 {
			b.columns[i].Name = n.NewColumnName.Name.O
		} else {
			b.unclear = "a renamed column is not known"
		}
	case ast.AlterTableAddConstraint:
		b.constraint(n.Constraint)
	case ast.AlterTableDropPrimaryKey:
		b.key, b.keyName, b.dropped = nil, "", true
	case ast.AlterTableDropIndex:
		b.dropIndex(n.Name)
	case ast.AlterTableDropCheck: // DROP CONSTRAINT, which takes unique keys as well
		b.dropIndex(n.Constraint.Name)
	case ast.AlterTableRenameIndex:
		if strings.EqualFold(b.keyName, n.FromKey.O) {
			b.keyName = n.ToKey.O
		}
	case ast.AlterTableRenameTable:
		b.renamed = b.s.name(n.NewTable)
	case ast.AlterTableOption:
		b.options(n.Options)
	case ast.AlterTableDropPartition, ast.AlterTableTruncatePartition, ast.AlterTableExchangePartition,
		ast.AlterTableImportTablespace, ast.AlterTableImportPartitionTablespace, ast.AlterTableDiscardTablespace,
		ast.AlterTableDiscardPartitionTablespace, ast.AlterTableDropFirstPartition:
		b.isDue(otherRows)
	}
}

func (b *build) options(options []*ast.TableOption) {
	for _, o := range options {
		switch o.Tp {
		case ast.TableOptionCharset:
			b.charset = strings.ToLower(o.StrValue)
			b.collation = ""
			if o.UintValue == ast.TableOptionCharsetWithConvertTo {
				b.unclear = "the table was converted to another charset"
			}
		case ast.TableOptionCollate:
			b.collation = strings.ToLower(o.StrValue)
			b.charset = CharsetOf(b.collation)
		}
	}
}

func (b *build) addColumn(d *ast.ColumnDef, n *ast.AlterTableSpec) {
	if i := b.find(d.Name.Name.O); i >= 0 {
		if !n.IfNotExists {
			b.unclear = "a column was added that is there already"
		}
		return
	}
	c, x, ok := b.column(d)
	if !ok {
		return
	}
	c.ID = NewID(b.s.Number, b.added, b.all)
	b.added++
	b.all = append(b.all, c)
	b.fill(&c, x)
	at := len(b.columns)
	if p := n.Position; p != nil {
		switch p.Tp {
		case ast.ColumnPositionFirst:
			at = 0
		case ast.ColumnPositionAfter:
			if at = b.find(p.RelativeColumn.Name.O) + 1; at == 0 {
				b.unclear = "a column was added behind one that is not known"
				return
			}
		}
	}
	b.columns = slices.Insert(b.columns, at, c)
	b.columnKeys(&c, x)
}

func (b *build) dropColumn(name string, ifExists bool) {
	i := b.find(name)
	if i < 0 {
		if !ifExists {
			b.unclear = "a column was dropped that is not known"
		}
		return
	}
	if slices.Contains(b.key, b.columns[i].ID) {
		b.unclear = "a column of the key was dropped"
		return
	}
	b.columns = slices.Delete(b.columns, i, i+1)
}

// changeColumn is MODIFY and CHANGE.
func (b *build) changeColumn(oldName string, n *ast.AlterTableSpec) {
	i := b.find(oldName)
	if i < 0 {
		if !n.IfExists {
			b.unclear = "a changed column is not known"
		}
		return
	}
	c, x, ok := b.column(n.NewColumns[0])
	if !ok {
		return
	}
	old := b.columns[i]
	c.ID = old.ID
	if slices.Contains(b.key, c.ID) && b.keyName == "PRIMARY" {
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
	b.columns = slices.Delete(b.columns, i, i+1)
	at := i
	if p := n.Position; p != nil {
		switch p.Tp {
		case ast.ColumnPositionFirst:
			at = 0
		case ast.ColumnPositionAfter:
			if at = b.find(p.RelativeColumn.Name.O) + 1; at == 0 {
				b.unclear = "a column was moved behind one that is not known"
				return
			}
		}
	}
	b.columns = slices.Insert(b.columns, at, c)
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
		if decode.BaseType(old.Native) != decode.BaseType(now.Native) || now.Length < old.Length || now.Length != old.Length && decode.BaseType(now.Native) == "binary" {
			return "converted to " + now.Native
		}
	case event.TypeBit:
		if now.Length < old.Length {
			return "narrowed to " + now.Native
		}
	}
	return ""
}

// columnKeys applies the keys that stand with a column.
func (b *build) columnKeys(c *event.Column, x extras) {
	switch {
	case x.primary:
		b.setKey("PRIMARY", []uint32{c.ID})
	case x.unique && b.key == nil && !c.Nullable:
		b.setKey(c.Name, []uint32{c.ID})
	}
}

func (b *build) setKey(name string, ids []uint32) {
	if !slices.Equal(b.key, ids) {
		b.isDue("the key changed")
	}
	b.key, b.keyName = ids, name
	if name == "PRIMARY" {
		for i := range b.columns {
			if slices.Contains(ids, b.columns[i].ID) {
				b.columns[i].Nullable = false
			}
		}
	}
}

func (b *build) constraint(c *ast.Constraint) {
	switch c.Tp {
	case ast.ConstraintPrimaryKey:
		if ids, ok := b.keyColumns(c.Keys, true); ok {
			b.setKey("PRIMARY", ids)
		} else {
			b.unclear = "the primary key could not be understood"
		}
	case ast.ConstraintUniq, ast.ConstraintUniqKey, ast.ConstraintUniqIndex:
		b.addUnique(c.Name, c.Keys)
	}
}

// addUnique matters to a table without a key.
func (b *build) addUnique(name string, parts []*ast.IndexPartSpecification) {
	if b.key != nil {
		return
	}
	if ids, ok := b.keyColumns(parts, false); ok {
		b.setKey(name, ids)
	}
}

// keyColumns are the columns of a key that can identify rows.
func (b *build) keyColumns(parts []*ast.IndexPartSpecification, primary bool) (ids []uint32, ok bool) {
	for _, p := range parts {
		if p.Column == nil {
			return nil, false
		}
		i := b.find(p.Column.Name.O)
		if i < 0 || !primary && (b.columns[i].Nullable || p.Length > 0) {
			return nil, false
		}
		ids = append(ids, b.columns[i].ID)
	}
	return ids, len(ids) > 0
}

// dropIndex matters when the index is the key.
func (b *build) dropIndex(name string) {
	if b.key == nil {
		return
	}
	if b.keyName == "" || strings.EqualFold(b.keyName, name) {
		b.unclear = "the key was dropped"
	}
}

// create is CREATE TABLE.
func (s *Statement) create(n *ast.CreateTableStmt) []Change {
	name := s.name(n.Table)
	if n.TemporaryKeyword != ast.TemporaryNone || !s.Captures(name) {
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
	if n.ReferTable != nil {
		from := s.name(n.ReferTable)
		like := s.Table(from)
		if like == nil {
			return []Change{{Kind: Unclear, Table: name, Due: due}}
		}
		columns := slices.Clone(like.Schema.Columns)
		for i := range columns {
			columns[i].ID = uint32(i + 1)
			columns[i].HasDefault, columns[i].Default = false, nil
		}
		return []Change{{Kind: Created, Table: name, New: event.NewSchema(name, columns, like.Schema.PrimaryKey), From: from, Charset: like.Charset, Collation: like.Collation, Key: like.Key, Due: due}}
	}
	if len(n.Cols) == 0 || n.Select != nil {
		return []Change{{Kind: Unclear, Table: name, Due: due}}
	}
	return s.createColumns(name, n, due)
}

func (s *Statement) createColumns(name event.TableName, n *ast.CreateTableStmt, due string) []Change {
	b := &build{s: s, name: name}
	b.options(n.Options)
	if b.charset == "" {
		// The database's default decides, which the statement does not say.
		for _, d := range n.Cols {
			if d.Tp != nil && d.Tp.GetCharset() == "" && isText(d) {
				return []Change{{Kind: Unclear, Table: name, Due: due}}
			}
		}
	}
	for _, d := range n.Cols {
		c, x, ok := b.column(d)
		if !ok {
			return []Change{{Kind: Unclear, Table: name, Due: due}}
		}
		c.ID = uint32(len(b.columns) + 1)
		b.columns = append(b.columns, c)
		if x.primary {
			b.setKey("PRIMARY", []uint32{c.ID})
		}
	}
	for _, c := range n.Constraints {
		if c.Tp == ast.ConstraintPrimaryKey {
			b.constraint(c)
		}
	}
	if b.keyName != "PRIMARY" {
		for i, d := range n.Cols {
			if c := &b.columns[i]; b.key == nil && !c.Nullable && hasOption(d, ast.ColumnOptionUniqKey) {
				b.setKey(c.Name, []uint32{c.ID})
			}
		}
		for _, c := range n.Constraints {
			if c.Tp != ast.ConstraintPrimaryKey {
				b.constraint(c)
			}
		}
	}
	sch := b.schema()
	if b.unclear != "" || sch == nil {
		return []Change{{Kind: Unclear, Table: name, Due: due}}
	}
	return []Change{{Kind: Created, Table: name, New: sch, Charset: b.charset, Collation: b.collation, Key: b.keyName, Due: due}}
}
