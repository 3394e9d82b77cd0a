package schema

import (
	"fmt"
	"strings"

	"github.com/pingcap/tidb/pkg/parser"
	"github.com/pingcap/tidb/pkg/parser/ast"
	"github.com/pingcap/tidb/pkg/parser/mysql"
	_ "github.com/pingcap/tidb/pkg/parser/test_driver" // the parser's own value nodes

	"github.com/millrace/millrace/pipeline/event"
)

// Apply says what the statement does to captured tables. Statements that concern none
// give nothing.
func Apply(s Statement) []Change {
	switch verb(s.SQL) {
	case "ALTER", "CREATE", "DROP", "RENAME", "TRUNCATE":
	case "INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "WITH", "IMPORT":
		return s.unclear(Written, "")
	default:
		return nil
	}
	p := parser.New()
	p.SetSQLMode(s.Mode.parser())
	nodes, _, err := p.ParseSQL(s.SQL)
	if err != nil || len(nodes) != 1 {
		return s.unclear(Unclear, "the statement could not be understood")
	}
	return s.apply(nodes[0])
}

// parser is the mode as the parser knows it.
func (m Mode) parser() (mode mysql.SQLMode) {
	for _, x := range [...]struct {
		ours   Mode
		theirs mysql.SQLMode
	}{
		{RealAsFloat, mysql.ModeRealAsFloat}, {PipesAsConcat, mysql.ModePipesAsConcat}, {ANSIQuotes, mysql.ModeANSIQuotes},
		{IgnoreSpace, mysql.ModeIgnoreSpace}, {NoBackslashEscapes, mysql.ModeNoBackslashEscapes}, {HighNotPrecedence, mysql.ModeHighNotPrecedence},
	} {
		if m&x.ours != 0 {
			mode |= x.theirs
		}
	}
	return mode
}

func (s *Statement) apply(node ast.StmtNode) []Change {
	switch n := node.(type) {
	case *ast.AlterTableStmt:
		return s.alter(n)
	case *ast.CreateTableStmt:
		return s.create(n)
	case *ast.DropTableStmt:
		if n.IsView || n.TemporaryKeyword != ast.TemporaryNone {
			return nil
		}
		var out []Change
		for _, t := range n.Tables {
			if name := s.name(t); s.Table(name) != nil {
				out = append(out, Change{Kind: Dropped, Table: name})
			}
		}
		return out
	case *ast.DropDatabaseStmt:
		var out []Change
		for _, name := range s.Tables() {
			if name.DB == s.fold(n.Name.O) {
				out = append(out, Change{Kind: Dropped, Table: name})
			}
		}
		return out
	case *ast.TruncateTableStmt:
		if name := s.name(n.Table); s.Table(name) != nil {
			return []Change{{Kind: Truncated, Table: name}}
		}
	case *ast.RenameTableStmt:
		var moves [][2]event.TableName
		for _, m := range n.TableToTables {
			moves = append(moves, [2]event.TableName{s.name(m.OldTable), s.name(m.NewTable)})
		}
		return s.rename(moves)
	case *ast.CreateIndexStmt:
		return s.createIndex(n)
	case *ast.DropIndexStmt:
		return s.alterTable(s.name(n.Table), func(b *build) { b.dropIndex(n.IndexName) })
	}
	return nil
}

// createIndex matters when the table has no key yet.
func (s *Statement) createIndex(n *ast.CreateIndexStmt) []Change {
	if n.KeyType != ast.IndexKeyTypeUnique {
		return nil
	}
	return s.alterTable(s.name(n.Table), func(b *build) { b.addUnique(n.IndexName, n.IndexPartSpecifications) })
}

func (s *Statement) name(t *ast.TableName) event.TableName {
	db := t.Schema.O
	if db == "" {
		db = s.DB
	}
	return event.TableName{DB: s.fold(db), Table: s.fold(t.Name.O)}
}

func (s *Statement) fold(name string) string {
	if s.LowerCase {
		return strings.ToLower(name)
	}
	return name
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
		now[m[1]] = at(m[0])
		now[m[0]] = nil
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
			out = append(out, Change{Kind: Created, Table: name, New: event.NewSchema(name, c.Schema.Columns, c.Schema.PrimaryKey), From: e.from,
				Charset: c.Charset, Collation: c.Collation, Key: c.Key, Due: fmt.Sprintf("table %s was renamed to %s", e.from, name)})
		}
	}
	return out
}

// unclear finds the captured tables that a statement names without understanding it.
func (s *Statement) unclear(kind ChangeKind, due string) []Change {
	var out []Change
	seen := map[event.TableName]bool{}
	names := identifiers(s.SQL)
	for i, id := range names {
		for _, n := range []event.TableName{{DB: s.fold(s.DB), Table: s.fold(id)}, {DB: s.fold(id)}} {
			if n.Table == "" {
				if i+1 >= len(names) {
					continue
				}
				n.Table = s.fold(names[i+1])
			}
			known := s.Table(n) != nil || kind == Unclear && s.Captures(n) && createdName(names, i, n)
			if known && !seen[n] {
				seen[n] = true
				out = append(out, Change{Kind: kind, Table: n, Due: due})
			}
		}
	}
	return out
}

// createdName reports whether the words before the identifier at i create a table.
func createdName(names []string, i int, _ event.TableName) bool {
	if len(names) == 0 || !strings.EqualFold(names[0], "CREATE") && !strings.EqualFold(names[0], "RENAME") && !strings.EqualFold(names[0], "ALTER") {
		return false
	}
	for k := i - 1; k >= 0 && k >= i-4; k-- {
		switch strings.ToUpper(names[k]) {
		case "TABLE", "TO", "RENAME":
			return true
		case "IF", "NOT", "EXISTS":
		default:
			return false
		}
	}
	return false
}

// verb is the first word of a statement behind comments, in upper case.
func verb(sql string) string {
	s := strings.TrimSpace(sql)
	for {
		switch {
		case strings.HasPrefix(s, "/*!"), strings.HasPrefix(s, "/*M!"):
			s = strings.TrimLeft(s[2:], "M!0123456789 \t\r\n")
		case strings.HasPrefix(s, "/*"):
			_, rest, ok := strings.Cut(s, "*/")
			if !ok {
				return ""
			}
			s = strings.TrimSpace(rest)
			continue
		case strings.HasPrefix(s, "--"), strings.HasPrefix(s, "#"):
			_, rest, _ := strings.Cut(s, "\n")
			s = strings.TrimSpace(rest)
			if s == "" {
				return ""
			}
			continue
		}
		break
	}
	end := strings.IndexFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') })
	if end < 0 {
		end = len(s)
	}
	return strings.ToUpper(s[:end])
}

// identifiers are the words and quoted names of a statement, in order.
func identifiers(sql string) []string {
	var out []string
	for i := 0; i < len(sql); {
		c := sql[i]
		switch {
		case c == '\'' || c == '"':
			i = skipQuoted(sql, i)
		case c == '`':
			end := skipQuoted(sql, i)
			out = append(out, strings.ReplaceAll(strings.Trim(sql[i:end], "`"), "``", "`"))
			i = end
		case wordByte(c):
			k := i
			for k < len(sql) && wordByte(sql[k]) {
				k++
			}
			out = append(out, sql[i:k])
			i = k
		default:
			i++
		}
	}
	return out
}

func wordByte(c byte) bool {
	return c == '_' || c == '$' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func skipQuoted(s string, i int) int {
	q := s[i]
	for k := i + 1; k < len(s); k++ {
		switch {
		case s[k] == '\\' && q != '`':
			k++
		case s[k] == q:
			if k+1 < len(s) && s[k+1] == q {
				k++
				continue
			}
			return k + 1
		}
	}
	return len(s)
}
