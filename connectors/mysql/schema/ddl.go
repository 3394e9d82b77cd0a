package schema

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/pingcap/tidb/pkg/parser"
	"github.com/pingcap/tidb/pkg/parser/ast"
	"github.com/pingcap/tidb/pkg/parser/mysql"
	_ "github.com/pingcap/tidb/pkg/parser/test_driver" // the parser's own value nodes

	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline/event"
)

// Apply says what the statement does to captured tables. A statement that is known to
// concern none gives nothing; one that is not known to be harmless and is not understood
// gives an Audit of every table that it may concern.
func Apply(s Statement) []Change {
	if s.Temporary == nil {
		s.Temporary = &Temporary{}
	}
	r := s.read()
	var out []Change
	switch {
	case len(r.tokens) == 0 && r.refused == "":
		return nil // a comment
	case len(r.tokens) > 0 && !r.broken && isHarmless(r.tokens):
		return nil
	case seeded.On(seeded.LogTakenAtItsWord) && !strings.ContainsRune("CADRT", rune(s.SQL[0])):
		return nil
	case len(r.tokens) > 0 && writes(r.tokens):
		out = s.written(&r)
	default:
		var ok bool
		if out, ok = s.moved(&r); !ok {
			out = s.define(&r)
		}
	}
	return publishable(out)
}

// publishable leaves out tables with names that are not UTF-8, which no server has: the
// statement's text was not converted. Their rows name them right.
func publishable(changes []Change) []Change {
	out := changes[:0]
	for _, c := range changes {
		if utf8.ValidString(c.Table.DB) && utf8.ValidString(c.Table.Table) {
			out = append(out, c)
		}
	}
	return out
}

// define applies the statements that define tables and indexes: those that the parser
// takes exactly, the others as far as their subject.
func (s *Statement) define(r *reading) []Change {
	why := r.refused
	if why == "" {
		why = r.unsure
	}
	d := s.definition(r.tokens)
	if d.table.Table == "" {
		return s.unknown(r, why)
	}
	if d.create && d.temporary {
		s.Temporary.create(s.Thread, d.table, s.Number)
		return nil
	}
	if is, unsure := s.temporary(d.table); !d.create && (is || unsure) {
		if is {
			s.temporaryAltered(&d)
			return nil
		}
		return []Change{{Kind: Unclear, Table: d.table, Due: "the statement may be about a temporary table of the same name"}}
	}
	if why == "" {
		for _, tokens := range d.variants() {
			if node := s.parse(text(tokens)); node != nil {
				return s.apply(node, &d)
			}
		}
		why = "the statement could not be understood"
	}
	return s.refuse(r, &d, why)
}

// parse is the statement as the parser knows it, nil when it does not. The parser is
// somebody else's and has failed by panic before; its input comes from the log, and a
// statement must not end the process.
func (s *Statement) parse(sql string) (node ast.StmtNode) {
	defer func() {
		if recover() != nil {
			node = nil
		}
	}()
	teachCharsets()
	p := parser.New()
	p.SetSQLMode(s.Mode.parser())
	nodes, _, err := p.ParseSQL(sql)
	if err != nil || len(nodes) != 1 {
		return nil
	}
	return nodes[0]
}

// parser is the mode as the parser knows it.
func (m Mode) parser() (mode mysql.SQLMode) {
	for _, x := range [...]struct {
		ours   Mode
		theirs mysql.SQLMode
	}{
		{RealAsFloat, mysql.ModeRealAsFloat}, {PipesAsConcat, mysql.ModePipesAsConcat}, {ANSIQuotes, mysql.ModeANSIQuotes},
		{IgnoreSpace, mysql.ModeIgnoreSpace}, {NoBackslashEscapes, mysql.ModeNoBackslashEscapes},
		{HighNotPrecedence, mysql.ModeHighNotPrecedence},
	} {
		if m&x.ours != 0 {
			mode |= x.theirs
		}
	}
	return mode
}

func (s *Statement) apply(node ast.StmtNode, d *definition) []Change {
	switch n := node.(type) {
	case *ast.AlterTableStmt:
		return s.alter(n, d)
	case *ast.CreateTableStmt:
		return s.create(n, d)
	case *ast.CreateIndexStmt:
		return s.createIndex(n, d)
	case *ast.DropIndexStmt:
		return s.alterTable(s.name(n.Table), func(b *build) { b.dropIndex(n.IndexName, n.IfExists) })
	}
	panic(fmt.Sprintf("BUG: a definition was parsed as %T", node))
}

func (s *Statement) createIndex(n *ast.CreateIndexStmt, d *definition) []Change {
	return s.alterTable(s.name(n.Table), func(b *build) {
		if d.replace {
			b.dropIndex(n.IndexName, true)
		}
		b.added = append(b.added, newIndex{name: n.IndexName, unique: n.KeyType == ast.IndexKeyTypeUnique,
			parts: n.IndexPartSpecifications, ifNotExists: n.IfNotExists})
	})
}

func (s *Statement) name(t *ast.TableName) event.TableName {
	db := t.Schema.O
	if db == "" {
		db = s.DB
	}
	return event.TableName{DB: s.fold(db), Table: s.fold(t.Name.O)}
}

// temporary reports whether a name in the statement is a temporary table of its session,
// or may be one that is not known: made before the reader's start, or forgotten.
func (s *Statement) temporary(n event.TableName) (is, unsure bool) {
	if !s.ThreadSpecific || seeded.On(seeded.LogTakenAtItsWord) {
		return false, false
	}
	if s.Temporary.is(s.Thread, n, s.Number) {
		return true, false
	}
	return false, s.Table(n) != nil
}

// temporaryAltered follows a temporary table's new name.
func (s *Statement) temporaryAltered(d *definition) {
	for _, p := range d.parts {
		if to, ok := s.renamePart(p); ok {
			s.Temporary.rename(s.Thread, d.table, to, s.Number)
		}
	}
}

func (s *Statement) fold(name string) string {
	if s.LowerCase {
		return strings.ToLower(name)
	}
	return name
}
