package projection

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/millrace/millrace/pipeline/event"
)

func fold(a, b string) bool { return strings.EqualFold(a, b) }

// names are the tables that the rules name, in order.
func (r Rules) names() []event.TableName {
	var out []event.TableName
	for name := range r.Tables {
		db, table, _ := strings.Cut(name, ".")
		out = append(out, event.TableName{DB: db, Table: table})
	}
	slices.SortFunc(out, func(a, b event.TableName) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// at is the state of a table, made where there is none.
func (s *Source) at(name event.TableName) *table {
	t := s.tables[name]
	if t == nil {
		t = &table{rule: s.rules.of(name), plans: map[event.SchemaID]*plan{}, views: map[*event.Table]*event.Table{}}
		if s.Hidden != nil {
			t.hidden = s.Hidden(name)
		}
		s.tables[name] = t
	}
	return t
}

// mostViews bounds what is kept of definitions that are gone.
const mostViews = 256

// view is a table as it leaves. Its definition has no faults.
func (s *Source) view(ev *event.Table) *event.Table {
	t := s.at(ev.Name)
	if !t.rule.protects() || ev.Schema == nil {
		return ev
	}
	if v := t.views[ev]; v != nil {
		return v
	}
	if len(t.views) > mostViews {
		clear(t.views)
		clear(t.plans)
	}
	v := t.planOf(ev.Schema).table(ev)
	t.views[ev] = v
	return v
}

// planOf is what the rule makes of a definition, nil where it leaves as it is.
func (t *table) planOf(s *event.Schema) *plan {
	if !t.rule.protects() || s == nil {
		return nil
	}
	p := t.plans[s.ID]
	if p == nil {
		p = newPlan(t.rule, s)
		t.plans[s.ID] = p
	}
	return p
}

// shown is a definition as it leaves.
func (t *table) shown(s *event.Schema) *event.Schema {
	if p := t.planOf(s); p != nil {
		return p.out
	}
	return s
}

// copied says that a table of which nothing is kept back looks like a copy of one of which
// something is: what a rename, CREATE TABLE … LIKE or a tool that alters tables in a copy
// makes. It has the protected columns and most of the others.
func (s *Source) copied(ev *event.Table) string {
	if !s.at(ev.Name).rule.silent() {
		return "" // the configuration says what it is
	}
	for _, name := range s.rules.names() {
		r := s.rules.of(name)
		if !r.protects() || !fold(name.DB, ev.Name.DB) {
			continue
		}
		has := func(column string) bool {
			return slices.ContainsFunc(ev.Schema.Columns, func(c event.Column) bool { return fold(c.Name, column) })
		}
		if fold(name.Table, ev.Name.Table) || slices.ContainsFunc(r.columns(), func(column string) bool { return !has(column) }) {
			continue
		}
		if !s.most(name, has) {
			continue
		}
		return fmt.Sprintf("it has the columns of %s, of which columns or rows are kept back, and may be a copy of it ({} under "+
			"tables.%s.columns lets all of it leave, \"!%s\" in source.tables takes it out)",
			name, ev.Name, ev.Name)
	}
	return ""
}

// most reports whether more than half of a table's columns are there; also where it is not
// known which it has.
func (s *Source) most(name event.TableName, has func(string) bool) bool {
	for known, t := range s.tables {
		if !fold(known.String(), name.String()) || t.last == nil {
			continue
		}
		n := 0
		for i := range t.last.Columns {
			if has(t.last.Columns[i].Name) {
				n++
			}
		}
		return 2*n > len(t.last.Columns)
	}
	return true
}

// warnOfNobody names the rules of which no table is captured.
func (s *Source) warnOfNobody() {
	for _, name := range s.rules.names() {
		captured := false
		for known := range s.tables {
			captured = captured || fold(known.String(), name.String())
		}
		if !captured && s.rules.of(name).protects() {
			s.log.Warn("the pipeline file keeps columns or rows of a table back that is not captured", slog.String("table", name.String()))
		}
	}
}
