package schema

import (
	"slices"

	"github.com/millrace/millrace/pipeline/event"
)

// definition is a statement that defines a table or an index, as far as it can be read
// without the parser.
type definition struct {
	table                             event.TableName
	create, temporary, replace, index bool
	ignore                            bool    // MariaDB's ALTER IGNORE: rows that are in the way of a key go
	head                              []token // up to the table's name, without what the parser does not know
	parts                             [][]token
	rest                              []token // CREATE TABLE and indexes: behind head
	special                           bool    // it has words that mean other types than the parser takes them for
}

// definition reads the head of a statement; its table has no name when it is no
// definition of a table or an index.
func (s *Statement) definition(tokens []token) definition {
	p := subjects{s: s, rest: tokens}
	national := func(t token) bool { return t.is("NCHAR", "NVARCHAR", "NATIONAL") }
	d := definition{special: s.Mode&(Oracle|MaxDB) != 0 || slices.ContainsFunc(tokens, national)}
	switch {
	case p.accept("ALTER"):
		s.alterHead(&p, &d)
	case p.accept("CREATE"):
		s.createHead(&p, &d)
	case p.accept("DROP", "INDEX"):
		d.index, d.rest = true, tokens
		d.table, _ = p.indexTable()
	}
	return d
}

func word(text string) token { return token{kind: tokenWord, text: text, gap: true} }

func (s *Statement) alterHead(p *subjects, d *definition) {
	for p.acceptAny("ONLINE", "OFFLINE") {
		continue
	}
	d.ignore = p.accept("IGNORE")
	if !p.accept("TABLE") {
		return
	}
	p.accept("IF", "EXISTS")
	before := p.rest
	var ok bool
	if d.table, ok = p.table(); !ok {
		return
	}
	d.head = append([]token{word("ALTER"), word("TABLE")}, before[:len(before)-len(p.rest)]...)
	p.wait()
	d.parts = splitParts(p.rest)
}

// splitParts divides a statement at its commas that are in no bracket.
func splitParts(tokens []token) (parts [][]token) {
	depth, from := 0, 0
	for i := range tokens {
		switch t := &tokens[i]; {
		case t.symbol("("):
			depth++
		case t.symbol(")"):
			depth--
		case t.symbol(",") && depth == 0:
			parts = append(parts, tokens[from:i])
			from = i + 1
		}
	}
	return append(parts, tokens[from:])
}

func (s *Statement) createHead(p *subjects, d *definition) {
	d.replace = p.accept("OR", "REPLACE")
	if p.acceptAny("TEMPORARY") {
		d.temporary = true
	}
	if !p.accept("TABLE") {
		s.indexHead(p, d)
		return
	}
	d.create = true
	d.head = []token{word("CREATE"), word("TABLE")}
	if p.accept("IF", "NOT", "EXISTS") {
		d.head = append(d.head, word("IF"), word("NOT"), word("EXISTS"))
	}
	before := p.rest
	d.table, _ = p.table()
	d.head = append(d.head, before[:len(before)-len(p.rest)]...)
	d.rest = p.rest
	if n := len(d.rest); n > 2 && d.rest[n-2].is("START") && d.rest[n-1].is("TRANSACTION") {
		d.rest = d.rest[:n-2] // MySQL's CREATE TABLE … SELECT: its rows follow
	}
}

func (s *Statement) indexHead(p *subjects, d *definition) {
	for p.acceptAny("ONLINE", "OFFLINE") {
		continue
	}
	d.head = []token{word("CREATE")}
	if len(p.rest) > 0 && p.rest[0].is("UNIQUE", "FULLTEXT", "SPATIAL", "VECTOR") {
		d.head = append(d.head, p.rest[0])
		p.rest = p.rest[1:]
	}
	if len(p.rest) == 0 || !p.rest[0].is("INDEX") {
		return
	}
	d.index, d.rest = true, p.rest
	d.table, _ = p.indexTable()
}

// variants are the ways in which the statement is put to the parser, the most faithful
// one first.
func (d *definition) variants() [][]token {
	if d.special {
		return nil
	}
	whole := slices.Concat(d.head, d.rest)
	for i, p := range d.parts {
		if i > 0 {
			whole = append(whole, token{kind: tokenSymbol, text: ","})
		}
		whole = append(whole, p...)
	}
	whole = normal(whole)
	out := [][]token{whole}
	if soft := soften(whole); len(soft) < len(whole) {
		out = append(out, soft)
	}
	return out
}

// normal leaves the name of a constraint out where a unique key has one of its own, which
// the parser forgets and the server takes.
func normal(tokens []token) (out []token) {
	for i := 0; i < len(tokens); i++ {
		if !tokens[i].is("CONSTRAINT") || i+3 >= len(tokens) || !tokens[i+2].is("UNIQUE") {
			out = append(out, tokens[i])
			continue
		}
		name := &tokens[i+3]
		if name.is("KEY", "INDEX") && i+4 < len(tokens) {
			name = &tokens[i+4]
		}
		if _, named := name.name(); named && !name.is("USING") {
			i++ // the constraint's name
			continue
		}
		out = append(out, tokens[i])
	}
	return out
}

// soften leaves words out that the parser does not know and that change neither columns
// nor values: whether a column or index is seen, and conditions on what is there, which
// the model asks by itself. Where such a word is a name, what remains is no statement.
func soften(tokens []token) (out []token) {
	for i := 0; i < len(tokens); i++ {
		t := &tokens[i]
		ends := i > 0 && (tokens[i-1].symbol(")") || tokens[i-1].kind == tokenText || tokens[i-1].kind == tokenWord &&
			!tokens[i-1].is("ADD", "COLUMN", "DROP", "MODIFY", "CHANGE", "AFTER", "TO", "RENAME", "EXISTS", "KEY", "INDEX"))
		switch {
		case ends && t.is("INVISIBLE", "VISIBLE", "IGNORED"):
		case ends && t.is("NOT") && i+1 < len(tokens) && tokens[i+1].is("IGNORED"):
			i++
		case i > 0 && tokens[i-1].is("CONSTRAINT", "COLUMN") && t.is("IF") && i+1 < len(tokens) && tokens[i+1].is("EXISTS"):
			i++
		default:
			out = append(out, *t)
		}
	}
	return out
}
