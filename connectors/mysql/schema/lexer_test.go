package schema

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/pipeline/event"
)

// lexAll gives the tokens up to the end or the first error.
func lexAll(s *Statement) (tokens []token, err error) {
	l := s.lexer()
	for {
		at := l.at
		t, err := l.next()
		if err != nil {
			return tokens, err
		}
		if l.at <= at || t.text == "" {
			panic(fmt.Sprintf("BUG: the lexer stands still at %d", at))
		}
		tokens = append(tokens, t)
	}
}

func FuzzLexer(f *testing.F) {
	for _, s := range []string{"ALTER TABLE `a``b` /*!40000 ADD /* x */ c INT */ -- y\n, ADD d INT DEFAULT 'it''s \\' # z", "SELECT \"a\\\"b\" /*M!100100 x */ /*! y", "a /*!99999 /*! b */ c */ d*/"} {
		f.Add(s, uint64(0), true, 101119)
		f.Add(s, uint64(ANSIQuotes|NoBackslashEscapes), false, 90704)
	}
	f.Fuzz(func(t *testing.T, sql string, mode uint64, maria bool, version int) {
		s := &Statement{SQL: sql, Mode: Mode(mode), MariaDB: maria, Version: version}
		tokens, err := lexAll(s)
		at := 0
		for _, tok := range tokens {
			k := strings.Index(sql[at:], tok.text)
			if k < 0 {
				t.Fatalf("%q: token %q is not there", sql, tok.text)
			}
			at += k + len(tok.text)
		}
		if !errors.Is(err, errEnd) {
			return
		}
		// What is rewritten reads as the statement did, without anything left out.
		again, err := lexAll(&Statement{SQL: text(tokens), Mode: s.Mode, MariaDB: maria, Version: version})
		if err != nil && !errors.Is(err, errEnd) || len(again) != len(tokens) && !joined(tokens) {
			t.Fatalf("%q: read again as %q: %d tokens, were %d: %v", sql, text(tokens), len(again), len(tokens), err)
		}
		prefix(t, s, tokens)
	})
}

// joined reports whether signs that stand side by side become another thing without what
// stood between them: only the parser's own lexer could tell, and servers take neither.
func joined(tokens []token) bool {
	all := text(tokens)
	return strings.Contains(all, "/*") || strings.Contains(all, "*/") || strings.Contains(all, "--") || strings.Contains(all, "#")
}

// prefix holds that a statement that is cut short has the tokens of the whole one, but
// for the last.
func prefix(t *testing.T, s *Statement, tokens []token) {
	for cut := 0; cut < len(s.SQL); cut += 1 + len(s.SQL)/16 {
		short := *s
		short.SQL = s.SQL[:cut]
		got, _ := lexAll(&short)
		for i := 0; i < len(got)-1; i++ {
			if i >= len(tokens) || got[i] != tokens[i] {
				t.Fatalf("%q cut at %d: token %d is %q", s.SQL, cut, i, got[i].text)
			}
		}
	}
}

func TestLargeAndDeepStatementsAreBounded(t *testing.T) {
	deep := "ALTER TABLE t ADD x INT DEFAULT " + strings.Repeat("(", 100000) + "1" + strings.Repeat(")", 100000)
	signs := "ALTER TABLE t ADD x INT DEFAULT " + strings.Repeat("- ", 100000) + "1"
	large := "ALTER TABLE t ADD x INT COMMENT '" + strings.Repeat("x", maxRead) + "'"
	for name, sql := range map[string]string{"deep": deep, "signs": signs, "large": large} {
		if ch := statement(sql); len(ch) != 1 || ch[0].Kind != Unclear || ch[0].Table.String() != "d.t" {
			t.Errorf("%s: %+v", name, ch)
		}
	}
	if ch := statement("INSERT INTO t VALUES ('" + strings.Repeat("x", maxRead) + "')"); len(ch) != 1 || ch[0].Kind != Written {
		t.Errorf("%+v", ch)
	}
}

func TestVersionsAreReadAsCommentsNameThem(t *testing.T) {
	for text, want := range map[string]int{"10.11.19-MariaDB-0+deb12u1-log": 101119, "9.7.4-2": 90704, "8.0.45": 80045, "12.3.1-MariaDB": 120301, "": 0, "MySQL": 0} {
		if got := VersionID(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

func TestTemporaryTablesAreBoundedAndReadAgain(t *testing.T) {
	var tt Temporary
	name := func(i int) event.TableName { return event.TableName{DB: "d", Table: fmt.Sprint(i)} }
	tt.create(1, name(0), 10)
	tt.create(1, name(0), 10) // read again
	if !tt.is(1, name(0), 11) || tt.is(1, name(0), 10) || tt.is(2, name(0), 11) || len(tt.tables) != 1 {
		t.Fatalf("%+v", tt.tables)
	}
	if !tt.drop(1, name(0), 20) || !tt.is(1, name(0), 20) || !tt.is(1, name(0), 15) || tt.is(1, name(0), 21) {
		t.Error("a statement that is read again must find what it found the first time")
	}
	for i := range 3 * maxTemporary {
		tt.create(uint32(i), name(i), uint64(100+i))
		if i%3 == 0 {
			tt.drop(uint32(i), name(i), uint64(101+i))
		}
	}
	if len(tt.tables) > maxTemporary || !tt.is(3*maxTemporary-1, name(3*maxTemporary-1), 1<<40) {
		t.Errorf("%d tables", len(tt.tables))
	}
	tt.Restart()
	if len(tt.tables) != 0 {
		t.Error("a restart ends the sessions")
	}
}

func TestDifferencesSayWhatDiffers(t *testing.T) {
	column := func(name, native, charset string, null bool) event.Column {
		c, err := Column(name, native, charset, "", null)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	name := event.TableName{DB: "d", Table: "t"}
	base := func() []event.Column {
		return []event.Column{column("id", "int", "", false), column("v", "varchar(9)", "utf8mb4", true),
			column("e", "enum('a')", "utf8mb4", true)}
	}
	old := event.NewSchema(name, base(), []int{0})
	for want, change := range map[string]func(c []event.Column) ([]event.Column, []int){
		"": func(c []event.Column) ([]event.Column, []int) { return c, []int{0} },
		"the columns are id, v, e, on the server id, v, f": func(c []event.Column) ([]event.Column, []int) { c[2].Name = "f"; return c, []int{0} },
		"the columns are id, v, e, on the server id, v":    func(c []event.Column) ([]event.Column, []int) { return c[:2], []int{0} },
		"column id is int, on the server bigint": func(c []event.Column) ([]event.Column, []int) {
			c[0] = column("id", "bigint", "", false)
			return c, []int{0}
		},
		`column v has charset "utf8mb4", on the server "latin1"`: func(c []event.Column) ([]event.Column,
			[]int) {
			c[1].Charset = "latin1"
			return c, []int{0}
		},
		"column v may be NULL, on the server it may not":  func(c []event.Column) ([]event.Column, []int) { c[1].Nullable = false; return c, []int{0} },
		"column id may not be NULL, on the server it may": func(c []event.Column) ([]event.Column, []int) { c[0].Nullable = true; return c, []int{0} },
		`column e has members ["a"], on the server ["a" "b"]`: func(c []event.Column) ([]event.Column,
			[]int) {
			c[2].Members = []string{"a", "b"}
			return c, []int{0}
		},
		"column v is not generated, on the server it is": func(c []event.Column) ([]event.Column, []int) { c[1].Generated = true; return c, []int{0} },
		"the key is (id), on the server (id, v)":         func(c []event.Column) ([]event.Column, []int) { return c, []int{0, 1} },
		"the key is (id), on the server ()":              func(c []event.Column) ([]event.Column, []int) { return c, nil },
		"column v is varchar(9), on the server tinytext": func(c []event.Column) ([]event.Column, []int) {
			c[1] = column("v", "tinytext", "utf8mb4", true)
			return c, []int{0}
		},
	} {
		columns, key := change(base())
		if got := Difference(old, event.NewSchema(name, columns, key)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if Difference(nil, nil) != "" || Difference(old, nil) == "" || Difference(nil, old) == "" {
		t.Error("tables that are not there")
	}
}
