package clickhouse

import (
	"fmt"
	"slices"

	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/clickhouse/column"
	"github.com/millrace/millrace/sinks/clickhouse/ddl"
)

// rawSuffix is behind a column's name in the name of the column of its texts, and behind the
// view's in that of the view which has these.
const rawSuffix = "__raw"

// suffix is behind the target's name in the names of the tables that hold its rows.
const suffix = "__cdc"

func (s *store) name(target ddl.Name) ddl.Name {
	target.Table += suffix
	if s.Number > 1 {
		target.Table += fmt.Sprintf("_%d", s.Number)
	}
	return target
}

func (s *store) check() error {
	for i := range s.Columns {
		c := &s.Columns[i]
		if c.Raw {
			c.typ = column.RawText()
			continue
		}
		for _, time64 := range []bool{true, false} {
			t, err := column.Of(&c.Of, slices.Contains(s.Key, c.Of.ID), column.Options{Time64: time64})
			if err == nil && t.Text() == c.Type {
				c.typ = t
			}
		}
		if c.typ.Name == "" {
			return fmt.Errorf("column %s can't be %s", c.Name, c.Type)
		}
	}
	return nil
}

func (s *store) clone() store {
	c := *s
	c.Columns = slices.Clone(s.Columns)
	return c
}

// keyOf are the identities of a definition's key.
func keyOf(s *event.Schema) []uint32 {
	var key []uint32
	for _, i := range s.PrimaryKey {
		key = append(key, s.Columns[i].ID)
	}
	return key
}

// fits reports whether rows of a definition with this key go into the store: the key is the
// same, and each of its columns has the type that it had.
func (s *store) fits(schema *event.Schema, key []uint32, o column.Options) bool {
	if !slices.Equal(s.Key, key) {
		return false
	}
	for _, i := range schema.PrimaryKey {
		if len(key) == 0 {
			break
		}
		t, err := column.Of(&schema.Columns[i], true, o)
		if err != nil || s.find(schema.Columns[i].ID, t.Text()) < 0 {
			return false
		}
	}
	return true
}

// find is the newest column of a type that holds a source column's values, -1 for none.
func (s *store) find(id uint32, typ string) int {
	for i := len(s.Columns) - 1; i >= 0; i-- {
		if c := &s.Columns[i]; c.Of.ID == id && c.Type == typ && !c.Raw {
			return i
		}
	}
	return -1
}

// ensure is the store's column for c, which is added where there is none yet. The newest
// definition's column is the newest one of its identity: one of the same type before it lacks
// what was written between. Rows of an older definition go where they would have gone then,
// and the server makes the newer columns' values of theirs.
func (s *store) ensure(c *event.Column, newest bool, o column.Options, p column.Policy) (at int, added bool, err error) {
	t, err := column.Of(c, slices.Contains(s.Key, c.ID), o)
	if err != nil {
		return 0, false, err
	}
	old := s.newest(c.ID)
	if at := s.find(c.ID, t.Text()); at >= 0 && (!newest || &s.Columns[at] == old) {
		return at, false, nil
	}
	col := targetColumn{Name: s.freeName(c.Name), Type: t.Text(), Of: *c, typ: t}
	col.Of.Members, col.Of.Default = nil, nil
	if old != nil {
		col.Lit = column.Cast(old.typ, t, ddl.Ident(old.Name))
	} else if c.HasDefault && c.Default != nil {
		if col.Lit, err = column.Literal(c, t, c.Default, p); err != nil {
			return 0, false, fmt.Errorf("the default of column %s: %w", c.Name, err)
		}
	}
	s.Columns = append(slices.Clip(s.Columns), col)
	return len(s.Columns) - 1, true, nil
}

// raw is the column for the texts of a source column's values, -1 for none.
func (s *store) raw(id uint32) int {
	return slices.IndexFunc(s.Columns, func(c targetColumn) bool { return c.Raw && c.Of.ID == id })
}

// ensureRaw is raw, which is added where there is none.
func (s *store) ensureRaw(c *event.Column) (at int, added bool) {
	if at := s.raw(c.ID); at >= 0 {
		return at, false
	}
	t := column.RawText()
	col := targetColumn{Name: s.freeName(c.Name + rawSuffix), Type: t.Text(), Of: *c, Raw: true, typ: t}
	col.Of.Members, col.Of.Default = nil, nil
	s.Columns = append(slices.Clip(s.Columns), col)
	return len(s.Columns) - 1, true
}

// newest is the column that holds a source column's values up to now.
func (s *store) newest(id uint32) *targetColumn {
	for i := len(s.Columns) - 1; i >= 0; i-- {
		if c := &s.Columns[i]; c.Of.ID == id && !c.Raw {
			return c
		}
	}
	return nil
}

// freeName is a name that no column of the store has had. The server's own hidden columns
// and the sink's begin with an underscore.
func (s *store) freeName(name string) string {
	if len(name) > 0 && name[0] == '_' {
		name = "c" + name
	}
	base := name
	for n := 2; slices.ContainsFunc(s.Columns, func(c targetColumn) bool { return c.Name == name }); n++ {
		name = fmt.Sprintf("%s__%d", base, n)
	}
	return name
}

// definition is the column as the table has it.
func (c *targetColumn) definition() ddl.Column {
	if c.Raw {
		return ddl.Column{Name: c.Name, Type: c.Type, Comment: "text of " + c.Of.Name}
	}
	return ddl.Column{Name: c.Name, Type: c.Type, Default: c.Lit, Comment: c.Of.Native}
}

// create is the table.
func (s *store) create(target ddl.Name, control string, settings map[string]string) *ddl.Table {
	t := &ddl.Table{Name: s.name(target), Control: control, Target: target.Plain(), Settings: settings}
	for i := range s.Columns {
		t.Columns = append(t.Columns, s.Columns[i].definition())
	}
	for _, id := range s.Key {
		i := slices.IndexFunc(s.Columns, func(c targetColumn) bool { return c.Of.ID == id })
		t.Key = append(t.Key, s.Columns[i].Name)
	}
	return t
}

// view shows the store as its newest definition says.
func (s *store) view(target ddl.Name, floor event.Seq, o column.Options) (*ddl.View, error) {
	schema, err := event.ParseSchema(s.Schema)
	if err != nil {
		return nil, fmt.Errorf("the ledger: %w", err)
	}
	v := &ddl.View{Name: target, Of: s.name(target), Keyless: len(s.Key) == 0, Floor: uint64(floor)}
	for i := range schema.Columns {
		c := &schema.Columns[i]
		t, err := column.Of(c, slices.Contains(s.Key, c.ID), o)
		if err != nil {
			return nil, err
		}
		at := s.find(c.ID, t.Text())
		if at < 0 {
			panic("BUG: a definition was taken in without its columns")
		}
		v.Columns = append(v.Columns, ddl.ViewColumn{Name: c.Name, Type: t.Text(), Comment: c.Native, From: s.Columns[at].Name})
	}
	return v, nil
}

// rawView is the view with the texts of what columns can't hold. Once there was one it stays
// what the view is, whatever columns went.
func (s *store) rawView(v *ddl.View) (*ddl.View, error) {
	schema, err := event.ParseSchema(s.Schema)
	if err != nil {
		return nil, fmt.Errorf("the ledger: %w", err)
	}
	more := *v
	more.Name.Table += rawSuffix
	more.Columns = slices.Clone(v.Columns)
	for i := range schema.Columns {
		if at := s.raw(schema.Columns[i].ID); at >= 0 {
			more.Columns = append(more.Columns, ddl.ViewColumn{Name: freeIn(more.Columns, schema.Columns[i].Name+rawSuffix),
				Type: s.Columns[at].Type, Comment: "text of " + schema.Columns[i].Name, From: s.Columns[at].Name})
		}
	}
	return &more, nil
}

// hasRaw says that values were met that their column can't hold.
func hasRaw(stores []store) bool {
	return slices.ContainsFunc(stores, func(s store) bool {
		return slices.ContainsFunc(s.Columns, func(c targetColumn) bool { return c.Raw })
	})
}

func freeIn(columns []ddl.ViewColumn, name string) string {
	for slices.ContainsFunc(columns, func(c ddl.ViewColumn) bool { return c.Name == name }) {
		name += "_"
	}
	return name
}
