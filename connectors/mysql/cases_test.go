package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// lake is what a target makes of the items of all tables: rows of older definitions are
// shown under the newest one, by the identity of columns.
type lake struct {
	t      testing.TB
	tables map[event.TableName]*lakeTable
	begins int
	paused []string
}

type lakeTable struct {
	schema *event.Schema
	rows   map[string]lakeRow
	ops    string
}

type lakeRow struct {
	seq    event.Seq
	schema *event.Schema
	image  event.Image
}

func (l *lake) apply(it *event.Item) {
	if it.Table == nil {
		return
	}
	x := l.tables[it.Table.Name]
	if x == nil {
		x = &lakeTable{rows: map[string]lakeRow{}}
		l.tables[it.Table.Name] = x
	}
	below := func(s event.Seq) {
		for k, r := range x.rows {
			if r.seq < s {
				delete(x.rows, k)
			}
		}
	}
	switch it.Kind {
	case event.KindRow:
		img := it.After
		if img == nil {
			img = it.Before
		}
		x.schema = it.Table.Schema
		key := ""
		vals, err := event.Values(img, x.schema, nil)
		if err != nil {
			l.t.Fatal(err)
		}
		for _, k := range x.schema.PrimaryKey {
			key += string(event.AppendValueText(nil, &x.schema.Columns[k], vals[k])) + "|"
		}
		x.rows[key] = lakeRow{seq: it.Seq, schema: x.schema, image: slices.Clone(it.After)}
		if it.Op != event.OpRead {
			x.ops += string(it.Op)
		}
	case event.KindBegin:
		l.begins++
	case event.KindTruncate:
		below(it.Seq)
	case event.KindEnd:
		below(it.Attempt.Begin)
	case event.KindDDL:
		if x.schema = it.DDL.New; x.schema == nil {
			clear(x.rows)
		}
	case event.KindPaused:
		l.paused = append(l.paused, it.Table.Name.Table+": "+it.Reason.Text)
	}
}

// texts are a table's rows under its newest definition.
func (x *lakeTable) texts() (out []string) {
	for _, r := range x.rows {
		if r.image == nil {
			continue
		}
		vals, err := event.Values(r.image, r.schema, nil)
		if err != nil {
			return []string{err.Error()}
		}
		var b []byte
		for i := range x.schema.Columns {
			c := &x.schema.Columns[i]
			if i > 0 {
				b = append(b, ',')
			}
			k := slices.IndexFunc(r.schema.Columns, func(o event.Column) bool { return o.ID == c.ID })
			switch {
			case k >= 0:
				b = event.AppendValueText(b, c, vals[k])
			case c.HasDefault:
				b = event.AppendValueText(b, c, c.Default)
			default:
				b = event.AppendValueText(b, c, nil)
			}
		}
		out = append(out, string(b))
	}
	slices.Sort(out)
	return out
}

// run reads until stop, as a pipeline would: what is due is asked for.
func (l *lake) run(s *Source, stop func() bool) {
	l.t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !stop(); {
		if time.Now().After(deadline) {
			l.t.Fatalf("it does not come to rest: %+v", s.Status())
		}
		ctx, cancel := context.WithTimeout(l.t.Context(), time.Second)
		items, err := s.Next(ctx)
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			l.t.Fatal(err)
		}
		for i := range items {
			it := &items[i]
			l.apply(it)
			if it.Kind == event.KindDDL && it.DDL.New != nil && it.DDL.Due != "" && !s.o.attempts.wants(it.Table.Name) {
				s.RequestSnapshot([]event.TableName{it.Table.Name}, it.DDL.Due)
			}
			if it.Commit != nil && it.Kind != event.KindHeartbeat { // telling of one is a wish, and another comes at once
				s.Resolved(*it.Commit)
			}
		}
	}
}

// statementCases are what a session does to tables that are captured, and what must come
// of it beside that the target is equal: whether a table is read anew, and which changes
// of which tables are told one by one.
var statementCases = []struct {
	name    string
	maria   bool // MariaDB alone
	before  []string
	live    []string
	quiet   bool // no table is read anew
	changes map[string]string
}{
	{name: "03 a new table is noticed, whatever stands around its statement", maria: true,
		before: []string{"CREATE TABLE t (id INT PRIMARY KEY, v INT)"},
		live: []string{"CREATE TABLE u0 (id UUID PRIMARY KEY, v INT)", "INSERT INTO u0 VALUES (UUID(), 1)",
			"/* ApplicationName=DBeaver 24.1 - Main */ CREATE TABLE u1 (id UUID PRIMARY KEY, v INT)", "INSERT INTO u1 VALUES (UUID(), 1)",
			"CREATE TABLE /* new */ u2 (id UUID PRIMARY KEY, v INT)", "INSERT INTO u2 VALUES (UUID(), 1)",
			"CREATE /* Bob's */ TABLE u3 (id UUID PRIMARY KEY, v INT)", "INSERT INTO u3 VALUES (UUID(), 1)",
			"-- migration 42\nCREATE TABLE u7 (id UUID PRIMARY KEY, v INT)", "INSERT INTO u7 VALUES (UUID(), 1)",
			"/* x */ ALTER TABLE t RENAME TO t9, ADD COLUMN u UUID", "INSERT INTO t9 VALUES (5, 5, NULL)",
			"SET SESSION sql_mode = 'ANSI_QUOTES'", `CREATE TABLE "u4" ("id" UUID PRIMARY KEY, v INT)`, "INSERT INTO u4 VALUES (UUID(), 1)",
			"SET SESSION sql_mode = 'ORACLE'", `CREATE TABLE "u5" ("id" NUMBER(10) PRIMARY KEY, "n" VARCHAR2(20))`, "INSERT INTO u5 VALUES (1, 'x')",
			"SET SESSION sql_mode = ''", "/*M!100100 CREATE TABLE u6 (id INT PRIMARY KEY, v INT) */", "INSERT INTO u6 VALUES (1, 1)"}},
	{name: "05 what changes no table costs nothing",
		before: []string{"CREATE TABLE orders (id INT PRIMARY KEY, v INT)", "INSERT INTO orders VALUES (1, 1)", "CREATE TABLE audit (id INT AUTO_INCREMENT PRIMARY KEY, o INT)"},
		live: []string{"CREATE TRIGGER trg AFTER INSERT ON orders FOR EACH ROW INSERT INTO audit (o) VALUES (NEW.id)", "INSERT INTO orders VALUES (3, 3)",
			"UPDATE orders SET v = 33 WHERE id = 3", "CREATE PROCEDURE p() DELETE FROM orders", "UPDATE orders SET v = 34 WHERE id = 3", "INSERT INTO orders VALUES (4, 4)",
			"CREATE EVENT e ON SCHEDULE EVERY 1 YEAR STARTS '2035-01-01' DO UPDATE orders SET v = 0", "DELETE FROM orders WHERE id = 4"},
		quiet: true, changes: map[string]string{"orders": "cuucd", "audit": "cc"}},
	{name: "05 a definition that is the same costs nothing", maria: true,
		before: []string{"CREATE TABLE h (id INT PRIMARY KEY, v INT)", "INSERT INTO h VALUES (1, 0)"},
		live:   []string{"ALTER TABLE h ADD INDEX (v) IGNORED", "UPDATE h SET v = 2", "UPDATE h SET v = 3", "ALTER TABLE h ALTER INDEX v NOT IGNORED", "UPDATE h SET v = 4"},
		quiet:  true, changes: map[string]string{"h": "uuu"}},
	{name: "10 temporary tables are nobody's", maria: true,
		before: []string{"CREATE TABLE tru (id INT PRIMARY KEY, v INT)", "INSERT INTO tru VALUES (1, 1), (2, 2)", "CREATE TABLE alt (id INT PRIMARY KEY, v INT)", "INSERT INTO alt VALUES (1, 1)"},
		live: []string{"SET SESSION binlog_format = 'MIXED'", "CREATE TEMPORARY TABLE tru (x VARCHAR(10), y INT)", "TRUNCATE TABLE tru", "DROP TEMPORARY TABLE tru",
			"CREATE TEMPORARY TABLE alt (id INT, v INT)", "ALTER TABLE alt ADD COLUMN z INT DEFAULT 9", "DROP TABLE alt", "SET SESSION binlog_format = 'ROW'"},
		quiet: true},
	{name: "14 SET STATEMENT … FOR is the statement behind it", maria: true,
		before: []string{"CREATE TABLE tru (id INT PRIMARY KEY, v INT)", "INSERT INTO tru VALUES (1, 1), (2, 2)", "CREATE TABLE swp (id INT PRIMARY KEY, a INT, b INT)",
			"INSERT INTO swp VALUES (1, 1, 2)", "CREATE TABLE ad (id INT PRIMARY KEY, a INT)", "INSERT INTO ad VALUES (1, 1)", "CREATE TABLE rn (id INT PRIMARY KEY, a INT)",
			"CREATE TABLE par (id INT PRIMARY KEY, v INT) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20))", "INSERT INTO par VALUES (1, 1), (11, 11)"},
		live: []string{"SET STATEMENT max_statement_time=100 FOR TRUNCATE TABLE tru", "INSERT INTO tru VALUES (3, 3)", "SET STATEMENT lock_wait_timeout=10 FOR ALTER TABLE swp MODIFY a INT AFTER b",
			"INSERT INTO swp (id, a, b) VALUES (2, 100, 200)", "SET STATEMENT max_statement_time=100 FOR ALTER TABLE ad ADD COLUMN z INT DEFAULT 5",
			"SET STATEMENT max_statement_time=100 FOR RENAME TABLE rn TO rn2", "INSERT INTO rn2 VALUES (1, 1)", "SET STATEMENT max_statement_time=100 FOR ALTER TABLE par DROP PARTITION p0",
			"SET STATEMENT max_statement_time=100 FOR CREATE TABLE nw (id INT PRIMARY KEY, v INT)", "INSERT INTO nw VALUES (1, 1)"}},
	{name: "19 a column renamed onto the name of one that goes",
		before: []string{"CREATE TABLE w (id INT PRIMARY KEY, a INT, b INT, c INT)", "INSERT INTO w VALUES (1, 10, 20, 30)", "CREATE TABLE x LIKE w", "INSERT INTO x SELECT * FROM w", "CREATE TABLE y LIKE w", "INSERT INTO y SELECT * FROM w"},
		live: []string{"ALTER TABLE w RENAME COLUMN a TO b, DROP COLUMN b", "INSERT INTO w VALUES (2, 11, 31)", "ALTER TABLE x CHANGE a b INT, DROP COLUMN b",
			"INSERT INTO x VALUES (2, 11, 31)", "ALTER TABLE y RENAME COLUMN a TO b, CHANGE b a INT AFTER c", "INSERT INTO y VALUES (2, 11, 31, 21)"}},
}

// TestStatementsOfSessionsConverge gives each case a database that is gone behind it.
func TestStatementsOfSessionsConverge(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		for _, c := range statementCases {
			if c.maria && srv.Kind != "mariadb" {
				continue
			}
			t.Run(strings.ReplaceAll(c.name[:min(len(c.name), 30)], " ", "_"), func(t *testing.T) {
				converges(t, srv, c.before, c.live, c.quiet, c.changes)
			})
			exec(t, db, "DROP DATABASE shop")
		}
	})
}

func converges(t *testing.T, srv *testenv.Server, before, live []string, quiet bool, changes map[string]string) {
	db, err := srv.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.zz (id INT PRIMARY KEY)")
	inShop(t, db, before)
	s := newSource(t, testConfig(srv, "shop.*"))
	opened := openSource(t, s, pipeline.Resume{})
	l := &lake{t: t, tables: map[event.TableName]*lakeTable{}}
	for _, x := range opened.Tables {
		s.RequestSnapshot([]event.TableName{x.Name}, "test")
	}
	rest := func() bool { // heartbeats go on, and are acknowledged
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.o.attempts.all) == 0 && len(s.requests) == 0
	}
	l.run(s, func() bool { return l.begins == len(opened.Tables) && rest() })
	inShop(t, db, live)
	exec(t, db, "INSERT INTO shop.zz VALUES (99)")
	end := event.TableName{DB: "shop", Table: "zz"}
	l.run(s, func() bool {
		return len(l.tables[end].rows) == 1 && rest() && len(s.o.audits.open) == 0
	})
	if len(l.paused) > 0 {
		t.Errorf("paused: %q", l.paused)
	}
	if anew := l.begins - len(opened.Tables); quiet && anew != 0 {
		t.Errorf("%d tables were read anew", anew)
	}
	for table, want := range changes {
		if got := l.tables[event.TableName{DB: "shop", Table: table}].ops; got != want {
			t.Errorf("changes of %s: %s, want %s", table, got, want)
		}
	}
	for _, r := range serverRows(t, db, "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA='shop' AND TABLE_TYPE='BASE TABLE'") {
		x := l.tables[event.TableName{DB: "shop", Table: r}]
		if x == nil || x.schema == nil {
			t.Errorf("table %s is not captured", r)
			continue
		}
		columns := make([]string, len(x.schema.Columns))
		for i := range columns {
			columns[i] = "`" + x.schema.Columns[i].Name + "`"
			if strings.EqualFold(x.schema.Columns[i].Native, "uuid") {
				columns[i] = fmt.Sprintf("CONCAT('0x', LOWER(REPLACE(%s, '-', '')))", columns[i])
			}
		}
		if got, want := x.texts(), serverRows(t, db, "SELECT "+strings.Join(columns, ",")+" FROM shop."+r); !slices.Equal(got, want) {
			t.Errorf("table %s:\n%q, the server has\n%q", r, got, want)
		}
	}
}

// inShop runs statements in one session with shop as its database.
func inShop(t *testing.T, db *sql.DB, statements []string) {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, q := range append([]string{"USE shop"}, statements...) {
		if _, err := conn.ExecContext(t.Context(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}
