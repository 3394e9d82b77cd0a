package schema

import (
	"errors"

	"github.com/millrace/millrace/pipeline/event"
)

// subjects reads the statements whose tables can be told without understanding the rest:
// which tables they are about, and how. It knows no more of the grammar than that.
type subjects struct {
	s    *Statement
	rest []token
}

// accept passes over the words if they come next.
func (p *subjects) accept(words ...string) bool {
	if len(p.rest) < len(words) {
		return false
	}
	for i, w := range words {
		if !p.rest[i].is(w) {
			return false
		}
	}
	p.rest = p.rest[len(words):]
	return true
}

// acceptAny passes over one of the words if it comes next.
func (p *subjects) acceptAny(words ...string) bool {
	if len(p.rest) == 0 || !p.rest[0].is(words...) {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

func (p *subjects) comma() bool {
	if len(p.rest) == 0 || !p.rest[0].symbol(",") {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// table reads the name of a table.
func (p *subjects) table() (n event.TableName, ok bool) {
	if len(p.rest) == 0 {
		return n, false
	}
	first, ok := p.rest[0].name()
	if !ok {
		return n, false
	}
	if len(p.rest) > 2 && p.rest[1].symbol(".") {
		if second, ok := p.rest[2].name(); ok {
			p.rest = p.rest[3:]
			return event.TableName{DB: p.s.fold(first), Table: p.s.fold(second)}, true
		}
	}
	p.rest = p.rest[1:]
	return event.TableName{DB: p.s.fold(p.s.DB), Table: p.s.fold(first)}, true
}

// wait passes over MariaDB's WAIT n and NOWAIT.
func (p *subjects) wait() {
	if !p.acceptAny("NOWAIT") && p.acceptAny("WAIT") && len(p.rest) > 0 {
		p.rest = p.rest[1:]
	}
}

// ended reports whether nothing follows that could matter.
func (p *subjects) ended() bool {
	p.acceptAny("RESTRICT", "CASCADE")
	p.wait()
	return len(p.rest) == 0
}

// moves reads a RENAME TABLE behind its first words.
func (p *subjects) moves() (moves [][2]event.TableName, ok bool) {
	p.accept("IF", "EXISTS")
	for {
		from, ok := p.table()
		if !ok {
			return moves, false
		}
		p.wait()
		if !p.accept("TO") {
			return moves, false
		}
		to, ok := p.table()
		if !ok {
			return moves, false
		}
		moves = append(moves, [2]event.TableName{from, to})
		if !p.comma() {
			return moves, len(p.rest) == 0
		}
	}
}

// list reads names behind commas.
func (p *subjects) list() (names []event.TableName, ok bool) {
	p.accept("IF", "EXISTS")
	for {
		n, ok := p.table()
		if !ok {
			return names, false
		}
		names = append(names, n)
		if !p.comma() {
			return names, p.ended()
		}
	}
}

// indexTable reads the table of a CREATE INDEX or DROP INDEX: behind the first ON.
func (p *subjects) indexTable() (n event.TableName, ok bool) {
	for len(p.rest) > 0 {
		if p.accept("ON") {
			return p.table()
		}
		p.rest = p.rest[1:]
	}
	return n, false
}

// named are the known tables that a statement names anywhere, of any size: all that are
// known when it cannot be read to its end.
func (s *Statement) named() (out []event.TableName) {
	seen := map[event.TableName]bool{}
	note := func(db, table string) {
		n := event.TableName{DB: s.fold(db), Table: s.fold(table)}
		if s.Table(n) != nil && !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	l := s.lexer()
	before, dot := "", false
	for {
		t, err := l.next()
		switch {
		case errors.Is(err, errEnd):
			return out
		case err != nil:
			return s.Tables()
		}
		name, ok := t.name()
		switch {
		case ok && dot:
			note(before, name)
			before, dot = name, false
		case ok && t.kind == tokenWord && digits(name):
			before = name
		case ok:
			note(s.DB, name)
			before = name
		default:
			dot = t.symbol(".") && before != ""
			if !dot {
				before = ""
			}
		}
	}
}

// digits reports whether a word is a number, which no name without quotes is.
func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
