package readback

import (
	"database/sql"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/connectors/mysql/account"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// texts are values of every class: how a column is made, what is put in, what is read.
var texts = []struct{ column, value, want string }{
	{"TINYINT", "-128", "-128"},
	{"BIGINT UNSIGNED", "18446744073709551615", "18446744073709551615"},
	{"DECIMAL(12,3)", "-0.5", "-0.500"},
	{"FLOAT", "0.1", "0.1"},
	{"DOUBLE", "1e300", "1e+300"},
	{"DATE", "'2026-08-21'", "2026-08-21"},
	{"DATE", "'0000-00-00'", "0000-00-00"},
	{"DATETIME", "'2026-08-21 01:02:03'", "2026-08-21 01:02:03.000000"},
	{"DATETIME(3)", "'2026-08-21 01:02:03.25'", "2026-08-21 01:02:03.250000"},
	{"TIMESTAMP(6)", "'2026-08-21 01:02:03.000001'", "2026-08-20 23:02:03.000001"},
	{"TIME(2)", "'-838:59:58.75'", "-3020398750000"},
	{"YEAR", "2026", "2026"},
	{"VARCHAR(9) CHARACTER SET latin1", "'Zoë'", "Zoë"},
	{"TEXT CHARACTER SET utf8mb4", "'🐎 a'", "🐎 a"},
	{"VARBINARY(4)", "x'00ff'", "00ff"},
	{"BINARY(3)", "x'01'", "010000"},
	{"BLOB", "''", ""},
	{"ENUM('a','b')", "'b'", "b"},
	{"SET('x','y','z')", "'x,z'", "x,z"},
	{"BIT(12)", "b'100000000001'", "2049"},
	{"VARCHAR(9) CHARACTER SET utf16", "'π'", "π"},
	{"VARCHAR(9) CHARACTER SET cp1251", "CONVERT(X'4198' USING cp1251)", "A\uFFFD"},
	{"TEXT CHARACTER SET gbk", "CONVERT(X'a2a041' USING gbk)", "\uFFFDA"},
	{"CHAR(9) CHARACTER SET big5", "'許?'", "許?"},
	{"POINT", "ST_GeomFromText('POINT(1 2)')", "000000000101000000000000000000f03f0000000000000040"},
}

func TestEveryClassOfValueAsText(t *testing.T) {
	for kind, server := range map[string]*testenv.Server{"mariadb": testenv.MariaDB(t), "mysql": testenv.MySQL(t)} {
		t.Run(kind, func(t *testing.T) {
			var columns, values, want []string
			for i, c := range texts {
				name := "c" + string(rune('a'+i))
				columns = append(columns, name+" "+c.column+" NULL")
				values = append(values, c.value)
				want = append(want, c.want)
			}
			db := open(t, server)
			exec(t, db, "SET SESSION time_zone='+02:00', sql_mode=''", "CREATE DATABASE shop",
				"CREATE TABLE shop.`odd ``name` ("+strings.Join(columns, ", ")+", id INT PRIMARY KEY)",
				"INSERT INTO shop.`odd ``name` VALUES ("+strings.Join(values, ", ")+", 1)", "INSERT INTO shop.`odd ``name` (id) VALUES (2)")
			r := reader(t, server)
			name := event.TableName{DB: "shop", Table: "odd `name"}
			names, rows := read(t, r, name)
			if k := names[len(names)-1]; !k.Key || k.Name != "id" || names[0].Key {
				t.Errorf("columns %+v", names)
			}
			if len(rows) != 2 {
				t.Fatalf("%d rows", len(rows))
			}
			for i, c := range texts {
				if got := rows[0][i]; got != "="+c.want {
					t.Errorf("%s %s is read as %q, not %q", c.column, c.value, got, "="+c.want)
				}
				if rows[1][i] != "NULL" {
					t.Errorf("NULL in %s is read as %q", c.column, rows[1][i])
				}
			}
		})
	}
}

func TestKeysAndTables(t *testing.T) {
	server := testenv.MariaDB(t)
	db := open(t, server)
	exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.pk (a INT, b INT, v INT, PRIMARY KEY (b, a))",
		"CREATE TABLE shop.uk (a INT NOT NULL, b INT NULL, UNIQUE KEY x (b), UNIQUE KEY y (a))", "CREATE TABLE shop.nokey (a INT, UNIQUE KEY (a))",
		"CREATE VIEW shop.view AS SELECT 1")
	r := reader(t, server)
	names, err := r.Tables(t.Context())
	if want := []event.TableName{{DB: "shop", Table: "nokey"}, {DB: "shop", Table: "pk"}, {DB: "shop", Table: "uk"}}; err != nil ||
		!slices.Equal(names, want) {
		t.Errorf("%v, %v", names, err)
	}
	for table, want := range map[string]string{"pk": "a b", "uk": "a", "nokey": ""} {
		columns, _ := read(t, r, event.TableName{DB: "shop", Table: table})
		var keys []string
		for _, c := range columns {
			if c.Key {
				keys = append(keys, c.Name)
			}
		}
		if got := strings.Join(keys, " "); got != want {
			t.Errorf("key of %s: %q, want %q", table, got, want)
		}
	}
	none := func([]pipeline.ReadColumn) error { return nil }
	err = r.Read(t.Context(), event.TableName{DB: "shop", Table: "gone"}, none, nil)
	if err == nil || !strings.Contains(err.Error(), "columns of shop.gone: there is no such table") {
		t.Errorf("%v", err)
	}
}

func TestMariaDBsAddressesAreTheirBytes(t *testing.T) {
	server := testenv.MariaDB(t)
	exec(t, open(t, server), "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, u UUID, i4 INET4, i6 INET6)",
		"INSERT INTO shop.a VALUES (1, '79a95763-e5c0-11f1-9645-02fc00000001', '10.1.0.0', '::ffff:1.2.3.4')")
	_, rows := read(t, reader(t, server), event.TableName{DB: "shop", Table: "a"})
	if want := []string{"=1", "=79a95763e5c011f1964502fc00000001", "=0a010000", "=00000000000000000000ffff01020304"}; !slices.Equal(rows[0], want) {
		t.Errorf("%q, not %q", rows[0], want)
	}
}

func TestTimesThatAreNone(t *testing.T) {
	for _, s := range []string{"", "1", "1:2", "a:b:c", "1:2:3.x"} {
		if us, err := microseconds(s); err == nil {
			t.Errorf("%q is %d", s, us)
		}
	}
}

// open is one session, so that SET SESSION holds.
func open(t *testing.T, s *testenv.Server) *sql.DB {
	db, err := s.Open("")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db
}

func exec(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func reader(t *testing.T, s *testenv.Server) *Reader {
	r, err := New(Config{Account: account.Account{Address: s.Addr, User: "root"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func read(t *testing.T, r *Reader, name event.TableName) (columns []pipeline.ReadColumn, rows [][]string) {
	t.Helper()
	err := r.Read(t.Context(), name, func(c []pipeline.ReadColumn) error {
		columns = append(columns, c...)
		return nil
	}, func(cells []pipeline.Cell) error {
		var row []string
		for _, c := range cells {
			if c.Null {
				row = append(row, "NULL")
			} else {
				row = append(row, "="+string(c.Text))
			}
		}
		rows = append(rows, row)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return columns, rows
}

// TestAReaderReadsOneServer: bound to another server than the one that answers it reads
// nothing.
func TestAReaderReadsOneServer(t *testing.T) {
	srv := testenv.MariaDB(t)
	r := reader(t, srv)
	if _, err := r.Tables(t.Context()); err != nil {
		t.Fatal(err)
	}
	var one pipeline.OneServer = reader(t, srv)
	one.Of(r.server.Identity())
	if _, err := one.(*Reader).Tables(t.Context()); err != nil {
		t.Errorf("the server itself is refused: %v", err)
	}
	one = reader(t, srv)
	one.Of("another/1")
	if _, err := one.(*Reader).Tables(t.Context()); !errors.Is(err, pipeline.ErrStrayed) {
		t.Errorf("another server is read: %v", err)
	}
}
