package clickhouse

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/clickhouse/column"
	"github.com/millrace/millrace/sinks/clickhouse/ddl"
)

// beforeSuffix is behind a column's name in the name of the one that holds what was there
// before the change.
const beforeSuffix = "__before"

// rawSuffix is behind a column's name in the name of the column of its texts, and behind the
// view's in that of the view which has these.
const rawSuffix = "__raw"

// suffix is behind the target's name in the names of the tables that hold its rows.
const suffix = "__cdc"

func (s *store) name(target ddl.Name) ddl.Name {
	if s.Layout == ddl.Halves {
		target.Table += signedSuffix
	} else {
		target.Table += suffix
	}
	if s.Number > 1 {
		target.Table += fmt.Sprintf("_%d", s.Number)
	}
	return target
}

func (s *store) check() error {
	if len(s.Key) == 0 && s.Layout == ddl.Versions { // as it was written before there were others
		s.Layout = ddl.Signs
	}
	if s.Rule == nil && len(s.Schema) > 0 { // as it was written before it was noted
		schema, err := event.ParseSchema(s.Schema)
		if err != nil {
			return err
		}
		s.ruled(schema.Projection)
	}
	for i := range s.Columns {
		c := &s.Columns[i]
		if c.Raw || c.Gone {
			c.typ = column.RawText()
			continue
		}
		for _, time64 := range []bool{true, false} {
			t, err := s.typeAs(&c.Of, c.As, c.Before, column.Options{Time64: time64})
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

// typeAs is the type of the store's column for c, or for what c was before a change; as was chosen
// for it, "" is its own. In a table of halves whole numbers are as wide as in a key.
func (s *store) typeAs(c *event.Column, as string, before bool, o column.Options) (column.Type, error) {
	key := slices.Contains(s.Key, c.ID)
	t, err := column.Of(c, key || s.Layout == ddl.Halves, o)
	t.Key = key
	if as != "" {
		var a column.As
		if a, err = column.ParseAs(as); err == nil {
			t, err = a.Of(c, key)
		}
	}
	if before {
		t = t.OrNull()
	}
	return t, err
}

// choice is the type that was chosen for a column, and under which name. That of a key's column
// stays what it was made as.
func (s *store) choice(c *event.Column, before bool, o column.Options) (as, name string) {
	if old := s.newest(c.ID, before); old != nil && slices.Contains(s.Key, c.ID) {
		return old.As, old.AsOf
	}
	if as, name = o.Choice(c); as == "" && o.Kept && !before {
		as = s.Types[c.ID]
	}
	return as, name
}

// namesOf are the names that the configuration has for columns, as they were when their columns
// here were made.
func namesOf(stores []store, chosen map[string]column.As) map[uint32]string {
	out := map[uint32]string{}
	for i := range stores {
		for k := range stores[i].Columns {
			c := &stores[i].Columns[k]
			for _, name := range []string{c.Of.Name, c.AsOf} {
				if _, ok := chosen[strings.ToLower(name)]; ok && c.isOf(c.Of.ID) {
					out[c.Of.ID] = name
				}
			}
		}
	}
	return out
}

// held is the type of what the store has or gets for c. A server that is brought past 25.6 has Time64
// from then on: a TIME stays what its first column in the store is, for its values are no Time64
// and a key's type can't be changed.
func (s *store) held(c *event.Column, before bool, o column.Options) (column.Type, error) {
	if old := s.newest(c.ID, before); old != nil && c.Type == event.TypeTime && old.Of.Type == event.TypeTime {
		o.Time64 = old.typ.Name != "Int64"
	}
	as, _ := s.choice(c, before, o)
	return s.typeAs(c, as, before, o)
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
func (s *store) fits(schema *event.Schema, layout ddl.Layout, key []uint32, o column.Options) bool {
	if s.Layout != layout || !slices.Equal(s.Key, key) {
		return false
	}
	return s.holds(schema, o)
}

// find is the newest column of a type that holds a source column's values, -1 for none.
func (s *store) find(id uint32, typ string, before bool) int {
	for i := len(s.Columns) - 1; i >= 0; i-- {
		if c := &s.Columns[i]; c.isOf(id) && c.Type == typ && c.Before == before {
			return i
		}
	}
	return -1
}

// ensure is the store's column for c, which is added where there is none yet. The newest
// definition's column is the newest one of its identity: one of the same type before it lacks
// what was written between. Rows of an older definition go where they would have gone then,
// and the server makes the newer columns' values of theirs.
func (s *store) ensure(c *event.Column, before, newest bool, o column.Options, p column.Policy) (at int, added bool, err error) {
	t, err := s.held(c, before, o)
	if err != nil {
		return 0, false, err
	}
	old := s.newest(c.ID, before)
	if at := s.find(c.ID, t.Text(), before); at >= 0 && (!newest || &s.Columns[at] == old) {
		return at, false, nil
	}
	name := c.Name
	if before {
		name += beforeSuffix
	}
	col := targetColumn{Name: s.freeName(name), Type: t.Text(), Of: *c, Before: before, As: t.As, typ: t}
	col.Of.Members, col.Of.Default = nil, nil
	_, col.AsOf = s.choice(c, before, o)
	if old != nil {
		col.Lit = column.Cast(old.typ, t, ddl.Ident(old.Name))
	} else if c.HasDefault && c.Default != nil && !before {
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

// newest is the column that holds a source column's values up to now, nil for none.
func (s *store) newest(id uint32, before bool) *targetColumn {
	if i := s.last(id, before); i >= 0 {
		return &s.Columns[i]
	}
	return nil
}

// last is the place of the newest, -1 for none.
func (s *store) last(id uint32, before bool) int {
	for i := len(s.Columns) - 1; i >= 0; i-- {
		if c := &s.Columns[i]; c.isOf(id) && c.Before == before {
			return i
		}
	}
	return -1
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

// isOf reports whether the column holds values of a source column.
func (c *targetColumn) isOf(id uint32) bool { return c.Of.ID == id && !c.Raw && !c.Gone }

// definition is the column as the table has it.
func (c *targetColumn) definition() ddl.Column {
	if c.Gone {
		return ddl.Column{Name: c.Name, Type: c.Type, Comment: "when the row went"}
	}
	if c.Raw {
		return ddl.Column{Name: c.Name, Type: c.Type, Comment: "text of " + c.Of.Name}
	}
	if c.Before {
		return ddl.Column{Name: c.Name, Type: c.Type, Default: c.Lit, Comment: "before the change: " + c.Of.Native}
	}
	return ddl.Column{Name: c.Name, Type: c.Type, Default: c.Lit, Comment: c.Of.Native}
}

// create is the table.
func (s *store) create(target ddl.Name, control string, shape Shape) *ddl.Table {
	t := &ddl.Table{Name: s.name(target), Layout: s.Layout, Control: control, Target: target.Plain(),
		PartitionBy: shape.PartitionBy, TTL: shape.TTL, Settings: maps.Clone(shape.Settings)}
	for i := range s.Columns {
		t.Columns = append(t.Columns, s.Columns[i].definition())
	}
	if s.Layout == ddl.Halves {
		synced(t)
	}
	t.Key = s.keyNames()
	if slices.ContainsFunc(s.Columns, func(c targetColumn) bool { return slices.Contains(t.Key, c.Name) && c.typ.Nullable }) {
		if t.Settings == nil {
			t.Settings = map[string]string{}
		}
		t.Settings["allow_nullable_key"] = "1"
	}
	return t
}

// keyNames are the names of the key's columns, in its order.
func (s *store) keyNames() (out []string) {
	for _, id := range s.Key {
		i := slices.IndexFunc(s.Columns, func(c targetColumn) bool { return c.isOf(id) })
		out = append(out, s.Columns[i].Name)
	}
	return out
}

// view shows the store as its newest definition says.
func (s *store) view(target ddl.Name, floor event.Seq, o column.Options) (*ddl.View, error) {
	schema, err := event.ParseSchema(s.Schema)
	if err != nil {
		return nil, fmt.Errorf("the ledger: %w", err)
	}
	v := &ddl.View{Name: target, Of: s.name(target), Layout: s.Layout, Floor: uint64(floor)}
	for i := range schema.Columns {
		c := &schema.Columns[i]
		if err := s.viewColumn(v, c, false, c.Name, c.Native, o); err != nil {
			return nil, err
		}
	}
	if s.Layout != ddl.Changes {
		return v, nil
	}
	for i := range schema.Columns {
		c := &schema.Columns[i]
		if err := s.viewColumn(v, c, true, freeIn(v.Columns, c.Name+beforeSuffix), "before the change: "+c.Native, o); err != nil {
			return nil, err
		}
	}
	for _, c := range ddl.Technical(s.Layout) {
		v.Columns = append(v.Columns, ddl.ViewColumn{Name: freeIn(v.Columns, c.Name), Type: c.Type, From: c.Name})
	}
	return v, nil
}

// viewColumn shows the store's column for c.
func (s *store) viewColumn(v *ddl.View, c *event.Column, before bool, name, comment string, o column.Options) error {
	t, err := s.held(c, before, o)
	if err != nil {
		return err
	}
	at := s.find(c.ID, t.Text(), before)
	if at < 0 { // another type was chosen: the next rows bring its column
		at = s.last(c.ID, before)
	}
	if at < 0 {
		panic("BUG: a definition was taken in without its columns")
	}
	v.Columns = append(v.Columns, ddl.ViewColumn{Name: name, Type: s.Columns[at].Type, Comment: comment, From: s.Columns[at].Name})
	return nil
}

// log says how readers find the rows in a changelog that v shows; nil for what is none.
func (s *store) log(v *ddl.View) (*logRecord, error) {
	schema, err := event.ParseSchema(s.Schema)
	if err != nil || s.Layout != ddl.Changes {
		return nil, err
	}
	l := &logRecord{}
	for _, i := range schema.PrimaryKey {
		l.Key = append(l.Key, schema.Columns[i].Name)
	}
	for _, c := range v.Columns[len(schema.Columns):] {
		l.Extra = append(l.Extra, c.Name)
		switch c.From {
		case ddl.Op:
			l.Op = c.Name
		case ddl.Seq:
			l.Seq = c.Name
		case ddl.Below:
			l.Below = c.Name
		}
	}
	return l, nil
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

// hasRaw says that values were met that their column can't hold, that rows may be kept that went, or
// that the view is not as the source is.
func hasRaw(stores []store) bool {
	return slices.ContainsFunc(stores, func(s store) bool {
		return slices.ContainsFunc(s.Columns, func(c targetColumn) bool { return c.Raw || c.Gone }) || s.Shown != nil
	})
}

func freeIn(columns []ddl.ViewColumn, name string) string {
	for slices.ContainsFunc(columns, func(c ddl.ViewColumn) bool { return c.Name == name }) {
		name += "_"
	}
	return name
}
