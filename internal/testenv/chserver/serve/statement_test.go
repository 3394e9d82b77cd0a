package serve

import (
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testenv/chserver"
)

func TestStatementsAreUnderstood(t *testing.T) {
	const own = "(SELECT * REPLACE (Settings['log_comment'] AS query_id, Settings['log_comment'] AS initial_query_id, 'default' AS user, 'default' AS initial_user) FROM system.processes)"
	who := identity{user: "sink", uuid: "6ba7b810-9dad-41d1-80b4-00c04fd430c8"}
	for _, c := range []struct{ in, out string }{
		{"SELECT 1", "SELECT 1"},
		{"  -- why\n/* ; */ SELECT 1 ; ;", "  -- why\n/* ; */ SELECT 1 "},
		{"SELECT ';' ;", "SELECT ';' "},
		{"SELECT 1 FORMAT JSON", "SELECT 1 "},
		{"SELECT 1 AS format", "SELECT 1 AS format"},
		{"SELECT a, format x", "SELECT a, format x"},
		{"SELECT query_id FROM system.processes WHERE query_id LIKE 'a%'", "SELECT query_id FROM " + own + " WHERE query_id LIKE 'a%'"},
		{"SELECT p.query_id FROM `system`.processes AS p", "SELECT p.query_id FROM " + own + " AS p"},
		{"SELECT * FROM t, System.Processes", "SELECT * FROM t, " + own},
		{"SELECT 'system.processes', system.processes.x FROM t", "SELECT 'system.processes', system.processes.x FROM t"},
		{"KILL QUERY WHERE query_id = 'query_id' SYNC", "KILL QUERY WHERE Settings['log_comment'] = 'query_id' SYNC"},
		{"KILL QUERY WHERE user = user() AND query_id != queryID()", "KILL QUERY WHERE 'default' = 'sink' AND Settings['log_comment'] != getSetting('log_comment')"},
		{"SELECT queryID(), query_id", "SELECT getSetting('log_comment'), query_id"},
		{"SELECT serverUUID (  ), x.serverUUID()", "SELECT toUUID('6ba7b810-9dad-41d1-80b4-00c04fd430c8'), x.serverUUID()"},
		{"SELECT user(), currentUser(), user", "SELECT 'sink', 'sink', user"},
		{"SELECT version()", "SELECT version()"},
		{"SELECT 'it''s version()', `version`()", "SELECT 'it''s version()', `version`()"},
		{"SELECT 'without end", "SELECT 'without end"},
		{"", ""},
	} {
		if got := understand(c.in, who).text; got != c.out {
			t.Errorf("%q\n became %q,\n not %q", c.in, got, c.out)
		}
	}
	who.owners = map[string]string{"b'": "sink", "a": "reader"}
	if got, want := understand("KILL QUERY WHERE user = currentUser()", who).text,
		`KILL QUERY WHERE transform(Settings['log_comment'], ['a', 'b\''], ['reader', 'sink'], 'default') = 'sink'`; got != want {
		t.Errorf("%q\n is not %q", got, want)
	}
	who.version = "24.3.1.1"
	if got := understand("SELECT version()", who).text; got != "SELECT '24.3.1.1'" {
		t.Errorf("a pretended version: %q", got)
	}
}

func TestInsertsAreUnderstood(t *testing.T) {
	for _, c := range []struct {
		in, database, table, columns, text string
		data, foreign                      bool
	}{
		{in: "INSERT INTO t (a, b) FORMAT Native", table: "t", columns: "a b", text: "INSERT INTO t (a, b) ", data: true},
		{in: "insert into shop.orders (`a b`, c.d) SETTINGS async_insert = 0 FORMAT native", database: "shop", table: "orders", columns: "a b,c.d",
			text: "insert into shop.orders (`a b`, c.d) SETTINGS async_insert = 0 ", data: true},
		{in: "INSERT INTO TABLE `sh``op`.\"o\" FORMAT Native", database: "sh`op", table: "o", text: "INSERT INTO TABLE `sh``op`.\"o\" ", data: true},
		{in: "INSERT INTO t (a) VALUES", table: "t", columns: "a", text: "INSERT INTO t (a) ", data: true},
		{in: "INSERT INTO t (a)", table: "t", columns: "a", text: "INSERT INTO t (a)", data: true},
		{in: "INSERT INTO t (a) FORMAT CSV", table: "t", columns: "a", text: "INSERT INTO t (a) ", data: true, foreign: true},
		{in: "INSERT INTO t VALUES (1, 'x')", table: "t", text: "INSERT INTO t VALUES (1, 'x')"},
		{in: "INSERT INTO t SELECT 1", table: "t", text: "INSERT INTO t SELECT 1"},
		{in: "INSERT INTO FUNCTION null('a Int8') VALUES (1)", text: "INSERT INTO FUNCTION null('a Int8') VALUES (1)"},
		{in: "INSERT", text: "INSERT"},
	} {
		st := understand(c.in, identity{})
		columns := strings.Join(st.columns, ",")
		if c.columns == "a b" {
			columns = strings.Join(st.columns, " ")
		}
		if st.kind != chserver.Insert || st.table != (target{c.database, c.table}) || columns != c.columns || st.text != c.text ||
			st.data != c.data || st.foreign != c.foreign {
			t.Errorf("%q\n is %+v", c.in, st)
		}
	}
}

// What cannot end, or runs over the end, fails here: tokens lie in their text, in order.
func FuzzStatement(f *testing.F) {
	for _, s := range []string{"SELECT 'a\\'b' -- c", "INSERT INTO `a`.b (c, d.e) SETTINGS x = 1 FORMAT Native;", "KILL QUERY WHERE query_id = 'x'",
		"SELECT serverUUID() FROM system.processes /* x", "''", "`", "INSERT INTO t (", "SELECT '\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		tokens := tokenize(body)
		if !slices.IsSortedFunc(tokens, func(a, b token) int { return a.end - b.end }) {
			t.Fatal("tokens out of order")
		}
		for i, k := range tokens {
			if k.start >= k.end || k.end > len(body) || i > 0 && k.start < tokens[i-1].end {
				t.Fatalf("token %d is %+v in %d bytes", i, k, len(body))
			}
		}
		if st := understand(body, identity{user: "u", uuid: "i", version: "1"}); st.kind == chserver.Insert && st.data && st.text != body &&
			!strings.HasPrefix(body, st.text) {
			t.Fatalf("an insert became %q", st.text)
		}
		quoted := literal(body)
		if back := unquote(quoted); back != body {
			t.Fatalf("%q was quoted as %q, which is %q", body, quoted, back)
		}
	})
}
