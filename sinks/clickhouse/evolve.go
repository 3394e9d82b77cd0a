package clickhouse

import (
	"fmt"
	"maps"
	"slices"

	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/clickhouse/column"
	"github.com/millrace/millrace/sinks/clickhouse/ddl"
)

// With schema_change: evolve and ignore the view is not as the source's definition. Which columns
// it has, and under which names, is the store's list; the store itself has all of the source's, and
// the view that verification reads shows them. Only types are kept in the store: values are written
// in the form of the type that stays.

// shownColumn is a column of the view that is not as the source has it.
type shownColumn struct {
	ID   uint32 `json:"id"`
	Name string `json:"name"`
	// Alias is a name that the column had before, and is shown under besides.
	Alias bool `json:"alias,omitempty"`
}

// follow takes a definition into the list and the types that stay. base is the one before it.
func (s *store) follow(base []byte, schema *event.Schema, c SchemaChange, o column.Options) error {
	if !c.keeps() {
		s.Shown, s.Types = nil, nil
		return nil
	}
	old := schema
	if len(base) > 0 {
		var err error
		if old, err = event.ParseSchema(base); err != nil {
			return fmt.Errorf("the ledger: %w", err)
		}
	}
	if err := s.followTypes(old, schema, c, o); err != nil {
		return err
	}
	list := s.Shown
	if list == nil {
		for i := range old.Columns {
			list = append(list, shownColumn{ID: old.Columns[i].ID, Name: old.Columns[i].Name})
		}
	}
	list, err := s.followNames(list, schema, c)
	if err != nil {
		return err
	}
	for i := range schema.Columns {
		x := &schema.Columns[i]
		there := slices.ContainsFunc(list, func(e shownColumn) bool { return e.ID == x.ID })
		if !there && (c.of(addColumn) != ignore || slices.Contains(s.Key, x.ID)) {
			list = append(list, shownColumn{ID: x.ID, Name: x.Name})
		}
	}
	s.Shown = oneEach(list, schema)
	return nil
}

// followNames is the list with what a definition drops and renames.
func (s *store) followNames(list []shownColumn, schema *event.Schema, c SchemaChange) (out []shownColumn, err error) {
	for _, e := range list {
		now := columnOf(schema, e.ID)
		switch {
		case now == nil && !c.stays(dropColumn):
		case now == nil && s.Layout == ddl.Signs:
			return nil, fmt.Errorf("column %s is dropped, and a table without a primary key can't keep it: of a row that goes it is not known; "+
				"say schema_change: {%s: %s} for the table", e.Name, dropColumn, lenient)
		case now == nil || e.Alias || now.Name == e.Name || c.of(renameColumn) == ignore:
			out = append(out, e)
		case c.of(renameColumn) == evolve:
			out = append(out, shownColumn{e.ID, e.Name, true}, shownColumn{ID: e.ID, Name: now.Name})
		default:
			out = append(out, shownColumn{ID: e.ID, Name: now.Name})
		}
	}
	return out, nil
}

// oneEach leaves each name to one column: the one that the source has under it, or else the last.
func oneEach(list []shownColumn, schema *event.Schema) (out []shownColumn) {
	for i, e := range list {
		mine := func(x shownColumn) bool {
			now := columnOf(schema, x.ID)
			return now != nil && now.Name == x.Name
		}
		taken := slices.ContainsFunc(out, func(x shownColumn) bool { return x.Name == e.Name }) ||
			!mine(e) && slices.ContainsFunc(list[i+1:], func(x shownColumn) bool { return x.Name == e.Name })
		later := mine(e) && slices.ContainsFunc(out, func(x shownColumn) bool { return x.Name == e.Name && !mine(x) })
		if later {
			out = slices.DeleteFunc(out, func(x shownColumn) bool { return x.Name == e.Name })
		}
		if !taken || later {
			out = append(out, e)
		}
	}
	return out
}

func columnOf(s *event.Schema, id uint32) *event.Column {
	if i := slices.IndexFunc(s.Columns, func(c event.Column) bool { return c.ID == id }); i >= 0 {
		return &s.Columns[i]
	}
	return nil
}

// followTypes finds which columns go on in the type that they have.
func (s *store) followTypes(old, schema *event.Schema, c SchemaChange, o column.Options) error {
	types := map[uint32]string{}
	for i := range schema.Columns {
		now := &schema.Columns[i]
		have := s.newest(now.ID, false)
		if _, name := o.Choice(now); name != "" || !c.stays(modifyColumn) || slices.Contains(s.Key, now.ID) {
			continue
		}
		was := columnOf(old, now.ID)
		if have == nil || was == nil { // a store that is begun has no column yet
			if as := s.Types[now.ID]; as != "" {
				types[now.ID] = as
			}
			continue
		}
		as, err := keptType(have, was, now, c, o)
		if err != nil {
			return err
		}
		if as != "" {
			types[now.ID] = as
		}
	}
	s.Types = types
	return nil
}

// keptType is the type that a column goes on in, "" for its own.
func keptType(have *targetColumn, was, now *event.Column, c SchemaChange, o column.Options) (string, error) {
	own, err := column.Of(now, false, o)
	if err != nil || own.Text() == have.Type || have.Of.Type == event.TypeTime && now.Type == event.TypeTime && c.of(modifyColumn) == evolve {
		return "", nil // what can't be had says so where it is asked for
	}
	stands := func(why string) error {
		return fmt.Errorf("column %s becomes %s, and %s (schema_change: %s); say schema_change: {%s: %s} to have another type in the view",
			now.Name, now.Native, why, c.of(modifyColumn), modifyColumn, lenient)
	}
	kept, err := column.ParseAs(have.typ.Name)
	if err != nil {
		return "", stands("values of it have no form in " + have.Type)
	}
	kept.Nullable = have.typ.Nullable || now.Nullable
	if _, err := kept.Of(now, false); err != nil {
		kept.Name = ""
	}
	if c.of(modifyColumn) == ignore {
		if kept.Name == "" {
			return "", stands("values of it have no form in " + have.Type)
		}
		return kept.Text(), nil
	}
	if kept.Name != "" && (own.Name == have.typ.Name || kept.Covers(now)) {
		return kept.Text(), nil
	}
	if wide, err := column.ParseAs(own.Name); err != nil || !wide.Covers(was) {
		return "", stands("neither does " + have.Type + " hold each value of it, nor " + own.Name + " each of before")
	}
	if have.typ.Nullable && !own.Nullable { // wider, and NULL is what it held
		return "Nullable(" + own.Name + ")", nil
	}
	return "", nil
}

// inherit has a store that is begun show what the one before it does, also what the source has no
// more: columns for it, without values.
func (s *store) inherit(from *store, schema *event.Schema, c SchemaChange) {
	if !c.keeps() {
		return
	}
	s.Shown, s.Types = slices.Clone(from.Shown), maps.Clone(from.Types)
	for _, e := range from.Shown {
		if old := from.newest(e.ID, false); old != nil && columnOf(schema, e.ID) == nil && s.newest(e.ID, false) == nil && c.stays(dropColumn) {
			col := *old
			col.Name, col.Lit = s.freeName(e.Name), ""
			s.Columns = append(s.Columns, col)
		}
	}
}

// shownView is the view with the columns of the list; v has those of the definition.
func (s *store) shownView(v *ddl.View, c SchemaChange) (*ddl.View, error) {
	if s.Shown == nil || !c.keeps() {
		return v, nil
	}
	schema, err := event.ParseSchema(s.Schema)
	if err != nil {
		return nil, fmt.Errorf("the ledger: %w", err)
	}
	shown := *v
	shown.Columns = nil
	for _, e := range s.Shown {
		have := s.newest(e.ID, false)
		if have == nil {
			continue // it went before this list was begun
		}
		col := ddl.ViewColumn{Name: e.Name, Type: have.Type, From: have.Name}
		if now := columnOf(schema, e.ID); now != nil {
			col.Comment = now.Native
		}
		shown.Columns = append(shown.Columns, col)
	}
	return &shown, nil
}
