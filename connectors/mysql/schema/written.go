package schema

import (
	"slices"

	"github.com/millrace/millrace/pipeline/event"
)

// writes reports whether a statement changes rows by itself. In the log it stands for
// the row events that a session did not write.
func writes(tokens []token) bool {
	for len(tokens) > 0 && tokens[0].symbol("(") {
		tokens = tokens[1:]
	}
	return len(tokens) > 0 && tokens[0].is("INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "WITH", "MERGE", "HANDLER", "ANALYZE")
}

// written are the captured tables that such a statement names: it changed some of them.
// One that is about a temporary table alone changed none; where that is not known, the
// tables are read anew instead of paused.
func (s *Statement) written(r *reading) (out []Change) {
	names := s.named()
	kind, due := Written, ""
	if s.ThreadSpecific {
		if target, ok := s.target(r.tokens); ok && s.Temporary.is(s.Thread, target, s.Number) {
			return nil
		}
		before := len(names)
		names = slices.DeleteFunc(slices.Clone(names), func(n event.TableName) bool { return s.Temporary.is(s.Thread, n, s.Number) })
		if len(names) == before && !s.namesTemporary(r) {
			kind, due = Unclear, "rows were changed by a statement without row events, or those of a temporary table"
		}
	}
	for _, n := range names {
		out = append(out, Change{Kind: kind, Table: n, Due: due})
	}
	return out
}

// target is the only table that a simple statement writes.
func (s *Statement) target(tokens []token) (n event.TableName, ok bool) {
	p := subjects{s: s, rest: tokens}
	switch {
	case p.acceptAny("INSERT", "REPLACE"):
		for p.acceptAny("LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE", "INTO") {
			continue
		}
		return p.table()
	case p.accept("DELETE"):
		for p.acceptAny("LOW_PRIORITY", "QUICK", "IGNORE") {
			continue
		}
		if !p.accept("FROM") {
			return n, false // DELETE a, b FROM …
		}
		n, ok = p.table()
		return n, ok && (len(p.rest) == 0 || p.rest[0].is("WHERE", "ORDER", "LIMIT"))
	case p.accept("UPDATE"):
		for p.acceptAny("LOW_PRIORITY", "IGNORE") {
			continue
		}
		n, ok = p.table()
		return n, ok && p.accept("SET")
	}
	return n, false
}

// namesTemporary reports whether the statement names a temporary table of its session.
func (s *Statement) namesTemporary(r *reading) bool {
	p := subjects{s: s, rest: r.tokens}
	for len(p.rest) > 0 {
		if n, ok := p.table(); !ok {
			p.rest = p.rest[1:]
		} else if s.Temporary.is(s.Thread, n, s.Number) {
			return true
		}
	}
	return false
}
