package mysql

import (
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// TestWhatAStatementReachesIsPaused has sessions that log statements change rows through
// functions, triggers and views: the tables at their ends stand still, by name, and the
// others flow.
func TestWhatAStatementReachesIsPaused(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "SET GLOBAL log_bin_trust_function_creators=1", "CREATE DATABASE shop", "CREATE DATABASE other")
		names := []string{"flows", "fn", "deep", "trg", "vw", "proc"}
		for _, n := range names {
			exec(t, db, "CREATE TABLE shop."+n+" (id INT PRIMARY KEY, v INT)")
		}
		exec(t, db, "CREATE TABLE other.log (id INT PRIMARY KEY, v INT)",
			"CREATE FUNCTION other.addit(x INT) RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO shop.fn VALUES (x, x); RETURN x; END",
			"CREATE FUNCTION other.inner_one(x INT) RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO shop.deep VALUES (x, x); RETURN x; END",
			"CREATE FUNCTION other.outer_one(x INT) RETURNS INT MODIFIES SQL DATA RETURN inner_one(x)",
			"CREATE TRIGGER other.t1 AFTER INSERT ON other.log FOR EACH ROW INSERT INTO shop.trg VALUES (NEW.id, 1)",
			"CREATE VIEW other.vw AS SELECT id, v FROM shop.vw",
			"CREATE PROCEDURE other.p(x INT) INSERT INTO shop.proc VALUES (x, other.addit(x))")
		for _, c := range []struct {
			statements []string
			paused     string
		}{
			{[]string{"SELECT addit(7)"}, "fn"},
			{[]string{"DO addit(8)"}, "fn"},
			{[]string{"SELECT other.outer_one(9)"}, "deep"},
			{[]string{"INSERT INTO log VALUES (1, 1)"}, "trg"},
			{[]string{"INSERT INTO vw VALUES (1, 1)"}, "vw"},
			{[]string{"CALL p(20)"}, "fn proc"},
			{[]string{"BEGIN", "SELECT addit(30)", "INSERT INTO shop.flows VALUES (30, 1)", "COMMIT"}, "flows fn"},
			{[]string{"SELECT 1", "SET @a = 2"}, ""},
		} {
			s := newSource(t, testConfig(srv, "shop.*"))
			openSource(t, s, pipeline.Resume{})
			conn, err := db.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, q := range slices.Concat([]string{"USE other", "SET SESSION binlog_format='STATEMENT'"}, c.statements, []string{"SET SESSION binlog_format='ROW'", "REPLACE INTO shop.flows VALUES (99, 0)", "DELETE FROM shop.flows WHERE id=99"}) {
				if _, err := conn.ExecContext(t.Context(), q); err != nil {
					t.Fatalf("%s: %v", q, err)
				}
			}
			conn.Close()
			exec(t, db, "CREATE TABLE shop.end (id INT PRIMARY KEY)", "INSERT INTO shop.end VALUES (4711)")
			paused := map[string]bool{}
			for _, it := range collect(t, s, upTo("-> 4711")) {
				if it.Kind == event.KindPaused {
					paused[it.Table.Name.Table] = true
					if it.Reason.Code != event.PauseStatement {
						t.Error(it.text)
					}
				}
			}
			if got := strings.Join(slices.Sorted(maps.Keys(paused)), " "); got != c.paused {
				t.Errorf("%s: paused %q, want %q", strings.Join(c.statements, "; "), got, c.paused)
			}
			s.Close()
			exec(t, db, "DROP TABLE shop.end")
		}
	})
}

// TestWhatCannotBeReadIsTakenToReachEverything hides the body of what a statement calls.
func TestWhatCannotBeReadIsTakenToReachEverything(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "SET GLOBAL log_bin_trust_function_creators=1", "CREATE DATABASE shop", "CREATE DATABASE other",
			"CREATE TABLE shop.a (id INT PRIMARY KEY)", "CREATE TABLE shop.b (id INT PRIMARY KEY)",
			"CREATE FUNCTION other.addit(x INT) RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO shop.b VALUES (x); RETURN x; END",
			"CREATE USER reader@'%'", "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO reader@'%'", "GRANT SELECT ON shop.* TO reader@'%'")
		cfg := testConfig(srv, "shop.*")
		cfg.User = "reader"
		s := newSource(t, cfg)
		openSource(t, s, pipeline.Resume{})
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for _, q := range []string{"SET SESSION binlog_format='STATEMENT'", "SELECT other.addit(1)"} {
			if _, err := conn.ExecContext(t.Context(), q); err != nil {
				t.Fatal(err)
			}
		}
		paused := map[string]bool{}
		collect(t, s, func(it seen) bool {
			if it.Kind == event.KindPaused {
				paused[it.Table.Name.Table] = true
			}
			return len(paused) == 2
		})
	})
}

// TestPlainStatementsAreAskedForOnce: a session that logs statements writes the same table over
// and over; the server is asked once what that reaches, and again behind a definition.
func TestPlainStatementsAreAskedForOnce(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop", "CREATE DATABASE other", "CREATE TABLE shop.a (id INT PRIMARY KEY)",
			"CREATE TABLE shop.z (id INT PRIMARY KEY)", "CREATE TABLE other.log (id INT AUTO_INCREMENT PRIMARY KEY)")
		s := newSource(t, testConfig(srv, "shop.*"))
		openSource(t, s, pipeline.Resume{})
		session := newSession(t, db)
		asked := func() (n int) {
			if err := db.QueryRow("SHOW GLOBAL STATUS LIKE 'Com_show_grants'").Scan(new(string), &n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		mark := 9000
		write := func(statements ...string) []seen {
			mark++
			session.run("SET SESSION binlog_format='STATEMENT'")
			session.run(statements...)
			session.run("SET SESSION binlog_format='ROW'", fmt.Sprintf("INSERT INTO shop.z VALUES (%d)", mark))
			return collect(t, s, upTo(strconv.Itoa(mark)))
		}
		const insert = "INSERT INTO other.log VALUES ()"
		write(insert)
		if len(s.o.tables.plain.until) != 1 {
			t.Fatalf("%d answers", len(s.o.tables.plain.until))
		}
		for key := range s.o.tables.plain.until {
			s.o.tables.plain.until[key] = time.Now().Add(time.Hour)
		}
		before := asked()
		write(slices.Repeat([]string{insert}, 20)...)
		if n := asked() - before; n != 0 {
			t.Errorf("20 statements asked for grants %d times", n)
		}
		all := write("CREATE TRIGGER other.t1 AFTER INSERT ON other.log FOR EACH ROW INSERT INTO shop.a VALUES (NEW.id)", insert)
		if !slices.ContainsFunc(all, func(it seen) bool { return it.Kind == event.KindPaused && it.Table.Name == tableA }) {
			t.Error("a trigger that was made meanwhile is not seen")
		}
	})
}
