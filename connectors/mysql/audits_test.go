package mysql

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// unlogged runs statements in a session that writes no log.
func unlogged(t testing.TB, db *sql.DB, statements ...string) {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, s := range append([]string{"SET SESSION sql_log_bin=0"}, append(statements, "SET SESSION sql_log_bin=1")...) {
		if _, err := conn.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// TestADefinitionThatIsNotTheServersIsFound changes tables behind the log's back: the
// audit finds it, says in what they differ, and has the table read anew.
func TestADefinitionThatIsNotTheServersIsFound(t *testing.T) {
	cases := []struct{ name, alter, difference string }{
		{"order", "ALTER TABLE shop.a MODIFY x INT NOT NULL AFTER y", "the columns are id, x, y, on the server id, y, x"},
		{"charset", "ALTER TABLE shop.a ADD COLUMN z VARCHAR(9) CHARACTER SET latin1", "on the server id, x, y, z"},
		{"key", "ALTER TABLE shop.a DROP PRIMARY KEY, ADD PRIMARY KEY (id, x)", "the key is (id), on the server (id, x)"},
		{"nullable", "ALTER TABLE shop.a MODIFY y INT NOT NULL", "column y may be NULL, on the server it may not"},
		{"type", "ALTER TABLE shop.a MODIFY y DECIMAL(9,2)", "column y is int"},
		{"sign", "ALTER TABLE shop.a MODIFY x INT UNSIGNED NOT NULL", "column x is int"},
	}
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		for _, c := range cases {
			if !t.Run(c.name, func(t *testing.T) { unloggedIsFound(t, srv, db, c.alter, c.difference) }) {
				t.FailNow() // each other would wait as long for what does not come
			}
		}
	})
}

func unloggedIsFound(t *testing.T, srv *testenv.Server, db *sql.DB, alter, difference string) {
	exec(t, db, "DROP DATABASE IF EXISTS shop", "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, x INT NOT NULL, y INT)",
		"INSERT INTO shop.a VALUES (1,10,20)")
	cfg := testConfig(srv, "shop.*")
	cfg.AuditEvery = 100 * time.Millisecond
	s := newSource(t, cfg)
	openSource(t, s, pipeline.Resume{})
	unlogged(t, db, alter)
	g := newTarget(t)
	due := ""
	drive(t, s, g, func(it *event.Item) bool {
		if it.Kind == event.KindDDL {
			due = it.DDL.Due
		}
		return g.ends == 1
	})
	if !strings.Contains(due, difference) {
		t.Errorf("due for %q, which is not %q", due, difference)
	}
	exec(t, db, "UPDATE shop.a SET x=11, y=21", "INSERT INTO shop.a (id,x,y) VALUES (99,1,2)")
	found := false
	drive(t, s, g, func(it *event.Item) bool {
		found = found || it.Kind == event.KindRow && strings.Contains(describe(it), "99")
		return found && it.Kind == event.KindCommit
	})
	sameRows(t, g.texts(), serverRows(t, db, "SELECT * FROM shop.a"))
}

// TestDefinitionsAreComparedAtEachConnection goes on from a position whose schemas are not
// the server's any more, though no statement of the log says so.
func TestDefinitionsAreComparedAtEachConnection(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, x INT, y INT)",
			"CREATE TABLE shop.gone (id INT PRIMARY KEY)", "INSERT INTO shop.a VALUES (1,10,20)")
		s := newSource(t, testConfig(srv, "shop.*"))
		opened := openSource(t, s, pipeline.Resume{})
		s.Close()
		unlogged(t, db, "ALTER TABLE shop.a MODIFY x INT AFTER y", "DROP TABLE shop.gone", "CREATE TABLE shop.made (id INT PRIMARY KEY)",
			"INSERT INTO shop.made VALUES (7)")
		next := newSource(t, testConfig(srv, "shop.*"))
		openSource(t, next, pipeline.Resume{Position: opened.Position, Schemas: schemasOf(nil, opened)})
		gone, g := false, newTarget(t)
		drive(t, next, g, func(it *event.Item) bool {
			gone = gone || it.Kind == event.KindDDL && it.Table.Name.Table == "gone" && it.DDL.New == nil
			return gone && g.ends == 1
		})
		sameRows(t, g.texts(), serverRows(t, db, "SELECT * FROM shop.a"))
	})
}

// TestARowOfATableThatIsNotKnownIsNotDropped has rows come of a table that no statement
// of the log made: it is captured with an attempt, and nothing of it is missing.
func TestARowOfATableThatIsNotKnownIsNotDropped(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop", "CREATE DATABASE other")
		s := newSource(t, testConfig(srv, "shop.*", "!shop.out"))
		openSource(t, s, pipeline.Resume{})
		unlogged(t, db, "CREATE TABLE shop.a (id INT PRIMARY KEY, v VARCHAR(9))", "INSERT INTO shop.a VALUES (1,'before')",
			"CREATE TABLE shop.out (id INT PRIMARY KEY)", "CREATE TABLE other.a (id INT PRIMARY KEY)")
		exec(t, db, "INSERT INTO shop.out VALUES (1)", "INSERT INTO other.a VALUES (1)", "INSERT INTO shop.a VALUES (2,'live')",
			"UPDATE shop.a SET v='x' WHERE id=1")
		g := newTarget(t)
		made := false
		drive(t, s, g, func(it *event.Item) bool {
			made = made || it.Kind == event.KindDDL && it.DDL.Old == nil && it.DDL.New != nil
			if it.Table != nil && it.Table.Name != tableA {
				t.Errorf("of another table: %s", describe(it))
			}
			return g.ends == 1
		})
		if !made {
			t.Error("the table was not made known")
		}
		exec(t, db, "INSERT INTO shop.a VALUES (99,'end')")
		drive(t, s, g, func(it *event.Item) bool { return it.Kind == event.KindRow && strings.Contains(describe(it), "99,end") })
		sameRows(t, g.texts(), serverRows(t, db, "SELECT * FROM shop.a"))
	})
}

// TestRowsThatDoNotFitHaveTheDefinitionRead adds a column behind the log's back: the rows
// do not fit, and the table goes on under the server's definition instead of standing.
func TestRowsThatDoNotFitHaveTheDefinitionRead(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v INT)", "INSERT INTO shop.a VALUES (1,1)")
		s := newSource(t, testConfig(srv, "shop.*"))
		openSource(t, s, pipeline.Resume{})
		exec(t, db, "INSERT INTO shop.a VALUES (2,2)")
		collect(t, s, upTo("2,2"))
		unlogged(t, db, "ALTER TABLE shop.a ADD COLUMN w INT")
		exec(t, db, "INSERT INTO shop.a VALUES (3,3,3)", "UPDATE shop.a SET w=4 WHERE id=1")
		g := newTarget(t)
		drive(t, s, g, func(it *event.Item) bool {
			if it.Kind == event.KindPaused {
				t.Error(describe(it))
			}
			return g.ends == 1
		})
		exec(t, db, "INSERT INTO shop.a VALUES (99,9,9)")
		drive(t, s, g, func(it *event.Item) bool { return it.Kind == event.KindRow && strings.Contains(describe(it), "99,9,9") })
		sameRows(t, g.texts(), serverRows(t, db, "SELECT * FROM shop.a"))
	})
}

// TestATableThatWasJustMadeIsThere makes tables whose definition only the server knows,
// one behind the other, with rows at once: none is missed, and none needs anybody.
func TestATableThatWasJustMadeIsThere(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.end (id INT PRIMARY KEY)")
		s := newSource(t, testConfig(srv, "shop.*"))
		openSource(t, s, pipeline.Resume{})
		const tables = 40
		made := make(chan error, 1)
		go func() {
			for i := range tables {
				for _, q := range []string{"CREATE TABLE shop.t%d (id INT PRIMARY KEY, v VARCHAR(9))", "INSERT INTO shop.t%d VALUES (1,'x')", "ALTER TABLE shop.t%d CONVERT TO CHARACTER SET latin1", "INSERT INTO shop.t%d VALUES (2,'é')"} {
					if _, err := db.Exec(fmt.Sprintf(q, i)); err != nil {
						made <- err
						return
					}
				}
			}
			_, err := db.Exec("INSERT INTO shop.end VALUES (99)")
			made <- err
		}()
		rows := map[string]bool{}
		for len(rows) < 2*tables {
			for _, it := range collect(t, s, func(seen) bool { return true }) {
				switch {
				case it.Kind == event.KindPaused:
					t.Fatal(it.text)
				case it.Kind == event.KindRow && it.Table.Name.Table != "end":
					rows[it.Table.Name.Table+imageText(it.After, it.Table.Schema)] = true
				}
				if it.Commit != nil {
					s.Resolved(*it.Commit)
				}
			}
		}
		if err := <-made; err != nil {
			t.Fatal(err)
		}
		for i := range tables {
			if !rows[fmt.Sprintf("t%d1,x", i)] || !rows[fmt.Sprintf("t%d2,é", i)] {
				t.Errorf("table t%d: not all of its rows came", i)
			}
		}
	})
}
