package mysql

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// TestRowsOfXATransactionsAreNotLost commits XA transactions after what was read of their
// tables: one whose table was resumed too early, and one that was prepared before the
// reader began. Each brings its tables a snapshot; one that is rolled back does not, nor
// does one of tables that are not captured.
func TestRowsOfXATransactionsAreNotLost(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY)", "CREATE TABLE shop.b (id INT PRIMARY KEY)", "CREATE TABLE shop.foreign_t (id INT PRIMARY KEY)")
		prepare := func(name, statement string) (decide func(how string)) {
			conn, err := db.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			run := func(q string) {
				t.Helper()
				if _, err := conn.ExecContext(t.Context(), q); err != nil {
					t.Fatal(q, err)
				}
			}
			for _, q := range []string{"XA START '" + name + "'", statement, "XA END '" + name + "'", "XA PREPARE '" + name + "'"} {
				run(q)
			}
			return func(how string) { run("XA " + how + " '" + name + "'") }
		}
		before := prepare("before", "INSERT INTO shop.b VALUES (1)")
		s := newSource(t, testConfig(srv, "shop.*", "!shop.foreign_t"))
		openSource(t, s, pipeline.Resume{})
		g := map[string]*target{"a": newTarget(t), "b": newTarget(t)}
		due := map[string]int{}
		all := newTarget(t)
		until := func(stop func(it *event.Item) bool) {
			t.Helper()
			drive(t, s, all, func(it *event.Item) bool {
				all.last = 0 // one statement may be a mark of two tables
				if it.Table != nil {
					g[it.Table.Name.Table].apply(it)
					if it.Kind == event.KindDDL && it.DDL.Due != "" {
						due[it.Table.Name.Table]++
					}
				}
				return stop(it)
			})
		}
		mark := func(id string) {
			t.Helper()
			exec(t, db, "INSERT INTO shop.a VALUES ("+id+")", "INSERT INTO shop.b VALUES ("+id+")")
			found := false
			until(func(it *event.Item) bool {
				found = found || it.Kind == event.KindRow && it.Table.Name.Table == "b" && strings.Contains(describe(it), id)
				return found && len(s.o.attempts.all) == 0
			})
			sameRows(t, g["a"].texts(), serverRows(t, db, "SELECT * FROM shop.a"))
			sameRows(t, g["b"].texts(), serverRows(t, db, "SELECT * FROM shop.b"))
		}
		s.RequestSnapshot([]event.TableName{tableA, {DB: "shop", Table: "b"}}, "test")
		mark("100")

		early := prepare("early", "INSERT INTO shop.a VALUES (2)")
		collect(t, s, func(it seen) bool { return it.Kind == event.KindPaused })
		s.SetPaused(tableA, false)
		ends := g["a"].ends
		until(func(*event.Item) bool { return g["a"].ends > ends })
		mark("101")

		early("COMMIT")
		mark("102")
		if due["a"] != 1 || due["b"] != 0 {
			t.Errorf("due after the commit of a: %v", due)
		}
		elsewhere := prepare("elsewhere", "INSERT INTO shop.foreign_t VALUES (1)")
		elsewhere("COMMIT")
		mark("103")
		undone := prepare("undone", "INSERT INTO shop.foreign_t VALUES (2)")
		undone("ROLLBACK")
		mark("104")
		if due["a"] != 1 || due["b"] != 0 {
			t.Errorf("due after what concerns no table: %v", due)
		}
		before("COMMIT")
		mark("105")
		if due["a"] != 2 || due["b"] != 1 {
			t.Errorf("due after the commit of what was prepared unseen: %v", due)
		}
	})
}

func FuzzPreparedID(f *testing.F) {
	f.Add([]byte("\x00\x01\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00one"))
	f.Fuzz(func(t *testing.T, b []byte) {
		id, _, ok := preparedID(b)
		if ok != (id != "") {
			t.Errorf("%q, %v", id, ok)
		}
	})
}

func TestPreparedIDs(t *testing.T) {
	whole := []byte("\x00\x01\x00\x00\x00\x03\x00\x00\x00\x01\x00\x00\x00one2")
	if id, onePhase, ok := preparedID(whole); id != "X'6f6e65',X'32',1" || onePhase || !ok {
		t.Errorf("%q, %v, %v", id, onePhase, ok)
	}
	for n := range whole {
		if _, _, ok := preparedID(whole[:n]); ok {
			t.Errorf("%d bytes of %d are taken", n, len(whole))
		}
	}
}
