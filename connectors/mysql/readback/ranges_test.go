package readback

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// keyTypes are types of keys, and five values of each.
var keyTypes = map[string][]string{
	"INT":                               {"-5", "0", "3", "70", "100000"},
	"BIGINT UNSIGNED":                   {"0", "1", "9", "10", "18446744073709551615"},
	"DECIMAL(20,4)":                     {"-1.5", "0", "0.0001", "10", "9999999999.5"},
	"VARCHAR(20) CHARACTER SET utf8mb4": {"''", "'a'", "'B'", "'it''s \\\\ \"x\"'", "'🐎'"},
	"VARCHAR(20) CHARACTER SET latin1":  {"'a'", "'B'", "'é'", "'z'", "'a b'"},
	"CHAR(4) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin": {"'a'", "'A'", "'ab'", "'b'", "'ö'"},
	"VARBINARY(8)": {"x''", "x'00'", "x'0001'", "x'ff'", "x'61'"},
	"DATE":         {"'2020-01-01'", "'1999-12-31'", "'0000-00-00'", "'2020-01-02'", "'9999-12-31'"},
	"DATETIME(6)":  {"'2020-01-01 00:00:00.000001'", "'2020-01-01'", "'1999-01-01'", "'2020-01-01 00:00:01'", "'0000-00-00'"},
	"TIMESTAMP(3)": {"'2020-01-01 01:00:00.001'", "'2020-01-01 01:00:00'", "'1999-01-01'", "'2020-01-02'", "'2030-01-01'"},
	"TIME(2)":      {"'-838:59:59'", "'-00:00:00.5'", "'00:00:00'", "'00:00:00.01'", "'100:00:00'"},
	"YEAR":         {"1901", "1970", "2000", "2026", "2155"},
	"BIT(12)":      {"0", "1", "9", "10", "4095"},
}

var mariaKeys = map[string][]string{
	"UUID":  {"'79a95763-e5c0-11f1-9645-02fc00000001'", "'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'", "'79a95763-e5c0-41f1-9645-02fc00000001'", "'00000000-0000-1000-8000-000000000001'"},
	"INET6": {"'::'", "'::1'", "'::ffff:1.2.3.4'", "'fe80::1'", "'2001:db8::1'"},
	"INET4": {"'0.0.0.0'", "'1.2.3.4'", "'10.0.0.1'", "'9.0.0.1'", "'255.255.255.255'"},
}

func TestTablesAreReadInPartsByKeysOfEveryType(t *testing.T) {
	for kind, server := range map[string]*testenv.Server{"mariadb": testenv.MariaDB(t), "mysql": testenv.MySQL(t)} {
		t.Run(kind, func(t *testing.T) {
			db, r := open(t, server), reader(t, server)
			exec(t, db, "SET SESSION sql_mode='', time_zone='+00:00'", "CREATE DATABASE shop")
			types := []map[string][]string{keyTypes}
			if kind == "mariadb" {
				types = append(types, mariaKeys)
			}
			for _, set := range types {
				for typ, values := range set {
					exec(t, db, "DROP TABLE IF EXISTS shop.t", "CREATE TABLE shop.t (v INT, k "+typ+" NOT NULL, n INT, PRIMARY KEY (n, k))")
					for i, v := range values {
						exec(t, db, "INSERT INTO shop.t VALUES (1, "+v+", 1), (2, "+v+", 2)")
						_ = i
					}
					parts(t, r, typ, 10)
					exec(t, db, "ALTER TABLE shop.t DROP PRIMARY KEY, ADD PRIMARY KEY (k, n)")
					parts(t, r, typ, 10)
				}
			}
		})
	}
}

// parts reads shop.t three rows at a time and each row by its key.
func parts(t *testing.T, r *Reader, typ string, want int) {
	t.Helper()
	name := event.TableName{DB: "shop", Table: "t"}
	_, whole := read(t, r, name)
	var got [][]string
	var keys [][]pipeline.Cell
	none := func([]pipeline.ReadColumn) error { return nil }
	take := func(cells []pipeline.Cell) error {
		var row []string
		var key []pipeline.Cell
		for i, c := range cells {
			row = append(row, "="+string(c.Text))
			if i > 0 {
				key = append(key, pipeline.Cell{Text: slices.Clone(c.Text)})
			}
		}
		got, keys = append(got, row), append(keys, key)
		return nil
	}
	var after []pipeline.Cell
	for n := -1; len(got) != n; {
		n = len(got)
		if err := r.ReadAfter(t.Context(), name, after, 3, none, take); err != nil {
			t.Fatalf("%s: %v", typ, err)
		}
		after = keys[len(keys)-1]
		if len(got) > 2*want {
			t.Fatalf("%s: rows come again: %q", typ, got)
		}
	}
	sort := func(rows [][]string) []string {
		var out []string
		for _, r := range rows {
			out = append(out, strings.Join(r, " "))
		}
		slices.Sort(out)
		return out
	}
	if len(whole) != want || !slices.Equal(sort(got), sort(whole)) {
		t.Errorf("%s: in parts %q\nas a whole %q", typ, got, whole)
	}
	all := keys
	got, keys = nil, nil
	if err := r.ReadKeys(t.Context(), name, append(all, []pipeline.Cell{all[0][0], all[0][1]}), none, take); err != nil ||
		!slices.Equal(sort(got), sort(whole)) {
		t.Errorf("%s: by key %q, %v\nas a whole %q", typ, got, err, whole)
	}
}

func TestKeysThatGiveNoOrderAreSaid(t *testing.T) {
	server := testenv.MariaDB(t)
	exec(t, open(t, server), "CREATE DATABASE shop", "CREATE TABLE shop.e (k ENUM('b','a') PRIMARY KEY)",
		"CREATE TABLE shop.f (k FLOAT PRIMARY KEY)",
		"CREATE TABLE shop.p (k TEXT NOT NULL, UNIQUE KEY (k(3)))", "CREATE TABLE shop.n (k INT)", "INSERT INTO shop.e VALUES ('a'), ('b')")
	r := reader(t, server)
	none := func([]pipeline.ReadColumn) error { return nil }
	for table, finds := range map[string]bool{"e": true, "f": false, "p": true, "n": false} {
		name := event.TableName{DB: "shop", Table: table}
		if err := r.ReadAfter(t.Context(), name, nil, 10, none, nil); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("ranges of %s: %v", table, err)
		}
		found := 0
		err := r.ReadKeys(t.Context(), name, [][]pipeline.Cell{{{Text: []byte("b")}}}, none, func([]pipeline.Cell) error { found++; return nil })
		if finds != (err == nil) || !finds && !errors.Is(err, errors.ErrUnsupported) || table == "e" && found != 1 {
			t.Errorf("keys of %s: %d, %v", table, found, err)
		}
	}
}

// TestWhatTheServerIsSetToDoesNotCutWhatIsRead sets what limits a session, for all new ones.
func TestWhatTheServerIsSetToDoesNotCutWhatIsRead(t *testing.T) {
	for kind, server := range map[string]*testenv.Server{"mariadb": testenv.MariaDB(t), "mysql": testenv.MySQL(t)} {
		t.Run(kind, func(t *testing.T) {
			exec(t, open(t, server), "CREATE DATABASE shop", "CREATE TABLE shop.t (id INT PRIMARY KEY, c CHAR(4))", "CREATE TABLE shop.u (v INT)",
				"INSERT INTO shop.t VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')", "INSERT INTO shop.u VALUES (1), (2), (3)",
				"SET GLOBAL sql_select_limit = 1", "SET GLOBAL max_join_size = 1", "SET GLOBAL sql_mode = 'PAD_CHAR_TO_FULL_LENGTH,ANSI_QUOTES'",
				"SET GLOBAL TRANSACTION ISOLATION LEVEL READ UNCOMMITTED")
			other := open(t, server)
			exec(t, other, "BEGIN", "INSERT INTO shop.u VALUES (4)")
			r := reader(t, server)
			names, err := r.Tables(t.Context())
			if err != nil || len(names) != 2 {
				t.Errorf("%v, %v", names, err)
			}
			columns, rows := read(t, r, event.TableName{DB: "shop", Table: "t"})
			if len(rows) != 4 || len(columns) != 2 || !columns[0].Key || rows[0][1] != "=a" {
				t.Errorf("%v %q", columns, rows)
			}
			if _, rows := read(t, r, event.TableName{DB: "shop", Table: "u"}); len(rows) != 3 {
				t.Errorf("%q", rows)
			}
			exec(t, other, "ROLLBACK")
		})
	}
}

// TestIndexesOverExpressionsAndVectors are MySQL's own.
func TestIndexesOverExpressionsAndVectors(t *testing.T) {
	server := testenv.MySQL(t)
	exec(t, open(t, server), "CREATE DATABASE shop",
		"CREATE TABLE shop.fn (s VARCHAR(10) NOT NULL, id INT NOT NULL, hidden INT INVISIBLE DEFAULT 7, g INT AS (id + 1) VIRTUAL)",
		"CREATE UNIQUE INDEX a ON shop.fn ((CONCAT(s, id)))", "CREATE UNIQUE INDEX b ON shop.fn (s, (id + 1))", "INSERT INTO shop.fn (s, id) VALUES ('x', 1)",
		"CREATE TABLE shop.v (id INT PRIMARY KEY, v VECTOR(2))", "INSERT INTO shop.v VALUES (1, STRING_TO_VECTOR('[1,2]')), (2, NULL)")
	r := reader(t, server)
	columns, rows := read(t, r, event.TableName{DB: "shop", Table: "fn"})
	if want := []string{"=x", "=1", "=7", "=2"}; len(rows) != 1 || !slices.Equal(rows[0], want) {
		t.Errorf("%q", rows)
	}
	if slices.ContainsFunc(columns, func(c pipeline.ReadColumn) bool { return c.Key }) {
		t.Errorf("an index over expressions is a key: %+v", columns)
	}
	exec(t, open(t, server), "ALTER TABLE shop.fn ADD UNIQUE INDEX c (id)")
	if columns, _ = read(t, r, event.TableName{DB: "shop", Table: "fn"}); !columns[1].Key || columns[0].Key {
		t.Errorf("%+v", columns)
	}
	_, rows = read(t, r, event.TableName{DB: "shop", Table: "v"})
	if want := [][]string{{"=1", "=0000803f00000040"}, {"=2", "NULL"}}; len(rows) != 2 || !slices.Equal(rows[0], want[0]) ||
		!slices.Equal(rows[1], want[1]) {
		t.Errorf("%q", rows)
	}
}

func TestThePlaceIsBehindWhatWasRead(t *testing.T) {
	for kind, server := range map[string]*testenv.Server{"mariadb": testenv.MariaDB(t, "--log-bin"), "mysql": testenv.MySQL(t)} {
		t.Run(kind, func(t *testing.T) {
			db, r := open(t, server), reader(t, server)
			before, err := r.Place(t.Context())
			if err != nil || before.File == "" || before.Pos == 0 || time.Since(before.Time).Abs() > time.Hour {
				t.Fatalf("%+v, %v", before, err)
			}
			exec(t, db, "CREATE DATABASE shop")
			after, err := r.Place(t.Context())
			if err != nil || after.File != before.File || after.Pos <= before.Pos || after.Time.Before(before.Time) {
				t.Errorf("%+v, then %+v, %v", before, after, err)
			}
		})
	}
}
