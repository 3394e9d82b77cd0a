package projection

import (
	"fmt"

	"github.com/millrace/millrace/pipeline/event"
)

// withheld stands where the text of a statement was.
const withheld = "/* the statement is kept back, as columns of the table are */"

// define takes a table through a definition.
func (s *Source) define(t *table, it *event.Item) {
	out, ddl := *it, *it.DDL
	out.DDL = &ddl
	if len(t.actions()) > 0 {
		ddl.SQL = withheld // it may hold values: defaults, members, conditions
	}
	if ddl.New == nil {
		if out.Table = s.view(it.Table); t.blocked {
			out.Table, ddl.Old = nameOnly(it.Table), nil
		} else {
			ddl.Old = t.shown(ddl.Old)
		}
		t.blocked = false
		s.out = append(s.out, out)
		return
	}
	now := *it.Table
	now.Schema = ddl.New
	why := s.changed(t, &now, ddl.Old == nil)
	t.last = ddl.New
	if t.blocked || why != "" {
		s.pass(it)
		if !t.blocked {
			s.out = append(s.out, s.block(it.Table, why, placeOf(it)))
		}
		return
	}
	out.Table = s.view(it.Table)
	if why := t.rule.readsOther(ddl.Old, ddl.New); why != "" && ddl.Due == "" {
		ddl.Due = why
		s.Source.RequestSnapshot([]event.TableName{it.Table.Name}, why)
	}
	ddl.Old, ddl.New = t.shown(ddl.Old), t.shown(ddl.New)
	s.out = append(s.out, out)
}

// readsOther says that the rule's condition reads other values under a new definition: of
// rows that no change was logged of, others may leave now.
func (r *rule) readsOther(old, now *event.Schema) string {
	if r == nil || r.where == nil || old == nil {
		return ""
	}
	for _, name := range r.where.Columns() {
		a, b := columnNamed(old, name), columnNamed(now, name)
		if a == nil || b == nil || a.ID != b.ID || a.Type != b.Type {
			return fmt.Sprintf("the column %s, which tables.%s.where reads, is another", name, r.table)
		}
	}
	return ""
}

func columnNamed(s *event.Schema, name string) *event.Column {
	for i := range s.Columns {
		if fold(s.Columns[i].Name, name) {
			return &s.Columns[i]
		}
	}
	return nil
}

// changed says why a table can't leave under a new definition.
func (s *Source) changed(t *table, now *event.Table, created bool) string {
	if why := s.copied(now); why != "" || !t.rule.protects() {
		return why
	}
	if why := t.rule.faults(columnsOf(now), func(string) bool { return true }); why != "" {
		return why
	}
	was := t.last
	if was == nil || created {
		return t.rule.faults(columnsOf(now), never)
	}
	return t.rule.escapes(was, now.Schema)
}

// escapes says which protected column may go on under a name that is not protected.
func (r *rule) escapes(was, now *event.Schema) string {
	for k := range now.Columns {
		c := &now.Columns[k]
		if r.actionOf(c.Name) != keep {
			continue
		}
		for i := range was.Columns {
			old := &was.Columns[i]
			a := r.actionOf(old.Name)
			// The same column, or one that came when another went: servers do not always say
			// that it is the same.
			same := old.ID == c.ID
			swapped := now.ColumnByName(old.Name) < 0 && was.ColumnByName(c.Name) < 0
			if a != keep && (same || swapped) {
				return fmt.Sprintf("the column %s, which tables.%s.columns.%s names, may be %s now", old.Name, r.table, a, c.Name)
			}
		}
	}
	return ""
}

// faults says why a table can't leave under a definition that came with no statement.
func (s *Source) faults(t *table, now *event.Table) string {
	if why := s.copied(now); why != "" || !t.rule.protects() {
		return why
	}
	return t.rule.faults(columnsOf(now), never)
}
