package schema

import (
	"fmt"

	"github.com/millrace/millrace/pipeline/event"
)

// moved applies the statements that move, empty or drop whole tables. ok is false when
// it is none of them, or not one that is understood.
func (s *Statement) moved(r *reading) (out []Change, ok bool) {
	p := subjects{s: s, rest: r.tokens}
	switch {
	case p.accept("RENAME", "TABLE"), p.accept("RENAME", "TABLES"):
		moves, whole := p.moves()
		return s.renamed(moves, whole), len(moves) > 0
	case p.accept("TRUNCATE"):
		p.accept("TABLE")
		name, ok := p.table()
		return s.truncated(name), ok
	case p.accept("DROP", "TEMPORARY"):
		if !p.acceptAny("TABLE", "TABLES") {
			return nil, false
		}
		names, _ := p.list()
		for _, n := range names {
			s.Temporary.drop(s.Thread, n, s.Number)
		}
		return nil, len(names) > 0 || r.refused != ""
	case p.accept("DROP", "TABLE"), p.accept("DROP", "TABLES"):
		names, whole := p.list()
		return s.dropped(names, whole && r.refused == ""), len(names) > 0
	case p.accept("DROP", "DATABASE"), p.accept("DROP", "SCHEMA"):
		p.accept("IF", "EXISTS")
		name, ok := p.table()
		return s.droppedDatabase(name.Table), ok
	case p.accept("REPAIR"):
		return s.repaired(&p)
	}
	return nil, false
}

func (s *Statement) truncated(name event.TableName) []Change {
	is, unsure := s.temporary(name)
	switch {
	case is || s.Table(name) == nil:
		return nil
	case unsure:
		return []Change{{Kind: Unclear, Table: name, Due: "the table was emptied, or a temporary one of the same name"}}
	}
	return []Change{{Kind: Truncated, Table: name}}
}

// dropped is DROP TABLE, which servers write anew for base tables alone: temporary ones
// have a DROP TEMPORARY TABLE.
func (s *Statement) dropped(names []event.TableName, whole bool) (out []Change) {
	for _, n := range names {
		if s.Table(n) != nil {
			out = append(out, Change{Kind: Dropped, Table: n})
		}
	}
	if !whole {
		for i := range out {
			out[i] = Change{Kind: Unclear, Table: out[i].Table, Due: "the statement could not be understood"}
		}
	}
	return out
}

func (s *Statement) droppedDatabase(db string) (out []Change) {
	for _, name := range s.Tables() {
		if name.DB == db {
			out = append(out, Change{Kind: Dropped, Table: name})
		}
	}
	return out
}

// repaired is REPAIR TABLE, by which tables of some engines lose rows that cannot be read.
func (s *Statement) repaired(p *subjects) (out []Change, ok bool) {
	p.acceptAny("NO_WRITE_TO_BINLOG", "LOCAL")
	if !p.acceptAny("TABLE", "TABLES") {
		return nil, false
	}
	names, _ := p.list()
	for _, n := range names {
		if is, _ := s.temporary(n); !is && s.Table(n) != nil {
			out = append(out, Change{Kind: Unclear, Table: n, Due: "the table was repaired, by which rows may be lost"})
		}
	}
	return out, len(names) > 0
}

// renamed follows the moves of a RENAME TABLE. The flag that tells of temporary tables
// is not there when one is renamed by it: what the session had counts, and where that is
// out of date the audit tells.
func (s *Statement) renamed(moves [][2]event.TableName, whole bool) (out []Change) {
	var base [][2]event.TableName
	for _, m := range moves {
		if !s.Temporary.rename(s.Thread, m[0], m[1], s.Number) {
			base = append(base, m)
			continue
		}
		for _, n := range m {
			if s.Table(n) != nil {
				out = append(out, Change{Kind: Audit, Table: n, Due: "a temporary table of the same name was renamed"})
			}
		}
	}
	out = append(out, s.rename(base)...)
	if !whole {
		for _, n := range s.named() {
			out = append(out, Change{Kind: Audit, Table: n, Due: "the statement could not be understood"})
		}
	}
	return out
}

// rename follows tables through the moves of one statement. Where a captured name ends
// up with another table than before, its rows are others.
func (s *Statement) rename(moves [][2]event.TableName) []Change {
	type entry struct {
		from    event.TableName
		current *Current
	}
	now := map[event.TableName]*entry{}
	at := func(n event.TableName) *entry {
		if e, ok := now[n]; ok {
			return e
		}
		return &entry{from: n, current: s.Table(n)}
	}
	var order []event.TableName
	for _, m := range moves {
		e := at(m[0])
		now[m[0]] = nil
		now[m[1]] = e // which may be the same name
		order = append(order, m[0], m[1])
	}
	var out []Change
	seen := map[event.TableName]bool{}
	for _, name := range order {
		if seen[name] || !s.Captures(name) {
			continue
		}
		seen[name] = true
		switch e := now[name]; {
		case e == nil:
			if s.Table(name) != nil {
				out = append(out, Change{Kind: Dropped, Table: name})
			}
		case e.from == name: // it came back
		case e.current == nil:
			out = append(out, Change{Kind: Unclear, Table: name, Due: fmt.Sprintf("table %s took the name of %s", e.from, name)})
		default:
			// Its rows went to the queues of another name until now.
			c := e.current
			out = append(out, Change{Kind: Created, Table: name, New: event.NewSchema(name, c.Schema.Columns, c.Schema.PrimaryKey),
				From: e.from, Charset: c.Charset, Collation: c.Collation, Key: c.Key, Indexes: c.Indexes,
				Due: fmt.Sprintf("table %s was renamed to %s", e.from, name)})
		}
	}
	return out
}
