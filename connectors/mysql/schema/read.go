package schema

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxRead bounds the statements that are read as a whole, and so what reading one may
// take; of larger ones only the names are looked at. Statements that write rows are the
// ones that grow larger.
const maxRead = 1 << 20

// maxHead is how many tokens of a larger statement, and of one that writes rows, are
// looked at for what it is.
const maxHead = 1 << 12

// maxNested bounds brackets within brackets, and signs before signs: the parser and who
// walks its trees call themselves for each.
const maxNested = 200

// reading is a statement as the server read it, or its head.
type reading struct {
	tokens []token
	// refused says why it cannot be taken exactly, "" when it can: its end is missing then,
	// or its text is not what the server read.
	refused string
	// broken says that not even its names can be told.
	broken bool
	// unsure says why the server may have read it otherwise, "" when it cannot have.
	unsure string
}

func (s *Statement) lexer() lexer {
	return lexer{src: s.SQL, mode: s.Mode, maria: s.MariaDB, version: s.Version}
}

// read takes the statement apart and strips what stands in front of it.
func (s *Statement) read() (r reading) {
	l, most := s.lexer(), maxRead
	switch {
	case len(s.SQL) > maxRead:
		r.refused, most = fmt.Sprintf("the statement has %d bytes", len(s.SQL)), maxHead
	case !utf8.ValidString(s.SQL):
		r.refused = "the statement's text is not UTF-8"
	}
	for len(r.tokens) < most {
		if len(r.tokens) == maxHead && s.headWrites(r.tokens) {
			break // only its names count, which are looked for one by one
		}
		t, err := l.next()
		if errors.Is(err, errEnd) {
			break
		}
		if err != nil {
			r.refused, r.broken = err.Error(), true
			break
		}
		r.tokens = append(r.tokens, t)
	}
	for n := len(r.tokens); n > 0 && r.tokens[n-1].symbol(";"); n-- {
		r.tokens = r.tokens[:n-1]
	}
	r.unsure = l.unsure
	if deep(r.tokens) {
		r.refused = fmt.Sprintf("the statement is nested more than %d deep", maxNested)
	}
	if s.MariaDB {
		r.stripSet()
	}
	return r
}

// headWrites reports whether the head of a statement is that of one that writes rows.
func (s *Statement) headWrites(tokens []token) bool {
	head := reading{tokens: tokens}
	if s.MariaDB {
		head.stripSet()
	}
	return writes(head.tokens)
}

// deep reports whether brackets or signs are nested beyond maxNested.
func deep(tokens []token) bool {
	depth, signs := 0, 0
	for i := range tokens {
		t := &tokens[i]
		switch {
		case t.symbol("("):
			depth++
		case t.symbol(")"):
			depth--
		case t.symbol("-"), t.symbol("+"), t.symbol("~"), t.symbol("!"), t.is("NOT", "CASE", "BINARY"):
			signs++
			if signs > maxNested {
				return true
			}
			continue
		}
		if depth > maxNested {
			return true
		}
		if !t.symbol("(") {
			signs = 0
		}
	}
	return false
}

// stripSet takes MariaDB's SET STATEMENT a=b, c=d FOR off. The statement behind it is
// read under the SQL mode of the session even when an sql_mode is set; the event then
// carries the mode that was set, and the session's is not known.
func (r *reading) stripSet() {
	for len(r.tokens) > 2 && r.tokens[0].is("SET") && r.tokens[1].is("STATEMENT") {
		depth, end := 0, -1
		for i := 2; i < len(r.tokens) && end < 0; i++ {
			switch t := &r.tokens[i]; {
			case t.symbol("("):
				depth++
			case t.symbol(")"):
				depth--
			case depth == 0 && t.is("FOR"):
				end = i
			case depth == 0 && t.is("SQL_MODE"):
				r.unsure = "the SQL mode that the statement was read under is not in the log"
			}
		}
		if end < 0 {
			r.refused, r.broken, r.tokens = "SET STATEMENT has no FOR", true, nil
			return
		}
		r.tokens = r.tokens[end+1:]
	}
}

// text is the statement for the parser: without comments.
func text(tokens []token) string {
	var b strings.Builder
	for i := range tokens {
		if tokens[i].gap && i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(tokens[i].text)
	}
	return b.String()
}
