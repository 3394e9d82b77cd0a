package mysql

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// TestRowsAreReadUnderTheDefinitionOfTheirPlace opens behind statements that changed what
// bytes mean, for tables that the position does not know: one that was created meanwhile,
// one that was there and is taken in now, and one that was made like another.
func TestRowsAreReadUnderTheDefinitionOfTheirPlace(t *testing.T) {
	const columns = " (id INT PRIMARY KEY, e ENUM('x','y') CHARACTER SET latin1, v VARCHAR(9) CHARACTER SET latin1)"
	turn := func(table string) []string {
		return []string{
			"INSERT INTO shop." + table + " VALUES (1,'x','é')",
			"ALTER TABLE shop." + table + " MODIFY e ENUM('y','x') CHARACTER SET latin1, MODIFY v VARCHAR(9) CHARACTER SET utf8mb4",
			"INSERT INTO shop." + table + " VALUES (2,'x','é')",
		}
	}
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v INT)", "CREATE TABLE shop.there"+columns)
		s := newSource(t, testConfig(srv, "shop.a"))
		opened := openSource(t, s, pipeline.Resume{})
		s.Close()
		exec(t, db, "CREATE TABLE shop.made"+columns)
		exec(t, db, turn("made")...)
		exec(t, db, "CREATE TABLE shop.alike LIKE shop.there")
		exec(t, db, turn("there")...)
		exec(t, db, turn("alike")...)
		exec(t, db, "CREATE TABLE shop.plain (id INT PRIMARY KEY, v INT)", "INSERT INTO shop.plain VALUES (1,1),(2,2)")
		next := newSource(t, testConfig(srv, "shop.*"))
		openSource(t, next, pipeline.Resume{Position: opened.Position, Schemas: schemasOf(nil, opened)})
		exec(t, db, "INSERT INTO shop.a VALUES (99,1)")
		plain := 0
		for _, it := range collect(t, next, upTo("99,1")) {
			switch {
			case it.Kind == event.KindPaused:
				t.Error(it.text)
			case it.Kind == event.KindRow && it.Table.Name.Table == "plain":
				plain++
			case it.Kind == event.KindRow && it.Table.Name != tableA && !strings.Contains(it.text, ",x,é"):
				t.Errorf("read under another definition: %s", it.text)
			}
		}
		if plain != 2 {
			t.Errorf("%d rows of a table that was only created", plain)
		}
	})
}

// TestTheIndexThatIsTheKeyIsNotTakenForAnother goes on with a table whose key is a unique
// index, when the server, asked now, would name another one: dropping the first is noticed.
func TestTheIndexThatIsTheKeyIsNotTakenForAnother(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (x INT NOT NULL, y INT NOT NULL, UNIQUE KEY zz (x))",
			"CREATE TABLE shop.b (id INT PRIMARY KEY)")
		s := newSource(t, testConfig(srv, "shop.*"))
		opened := openSource(t, s, pipeline.Resume{})
		s.Close()
		exec(t, db, "ALTER TABLE shop.a ADD UNIQUE KEY aa (y)")
		next := newSource(t, testConfig(srv, "shop.*"))
		openSource(t, next, pipeline.Resume{Position: opened.Position, Schemas: schemasOf(nil, opened)})
		exec(t, db, "ALTER TABLE shop.a DROP INDEX zz", "INSERT INTO shop.b VALUES (99)")
		for _, it := range collect(t, next, upTo("-> 99")) {
			if it.Kind == event.KindDDL && it.DDL.New != nil && len(it.DDL.New.PrimaryKey) == 1 &&
				it.DDL.New.PrimaryKey[0] == 1 && it.DDL.Due != "" {
				return
			}
		}
		t.Error("rows are still told apart by a column that is unique no more")
	})
}

// TestATableIsResumedWhenTheServerAnswersAgain asks for a table to be resumed while its
// definition cannot be read: the wish stays, and the table's snapshot with it.
func TestATableIsResumedWhenTheServerAnswersAgain(t *testing.T) {
	srv := testenv.MariaDB(t)
	db, err := srv.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v INT)")
	s := newSource(t, testConfig(srv, "shop.*"))
	openSource(t, s, pipeline.Resume{})
	s.SetPaused(tableA, true)
	collect(t, s, func(it seen) bool { return it.Kind == event.KindPaused })
	exec(t, db, "INSERT INTO shop.a VALUES (1,1)")
	o := s.o
	away, cancel := context.WithCancel(t.Context())
	cancel()
	if err := o.tables.hold(away, o.tables.all[tableA], false); !errors.Is(err, context.Canceled) {
		t.Fatalf("resumed without the server's answer: %v", err)
	}
	s.SetPaused(tableA, false)
	g := newTarget(t)
	drive(t, s, g, func(*event.Item) bool { return g.ends == 1 })
	sameRows(t, g.texts(), serverRows(t, db, "SELECT * FROM shop.a"))
}

// TestALockedTableIsResumedWhenItIsFree resumes a table that somebody has locked: the
// others do not wait for it, and it goes on by itself behind the lock.
func TestALockedTableIsResumedWhenItIsFree(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v INT)", "CREATE TABLE shop.b (id INT PRIMARY KEY)",
			"INSERT INTO shop.a VALUES (1,1)")
		s := newSource(t, testConfig(srv, "shop.*"))
		openSource(t, s, pipeline.Resume{})
		s.SetPaused(tableA, true)
		collect(t, s, func(it seen) bool { return it.Kind == event.KindPaused })
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.ExecContext(t.Context(), "LOCK TABLES shop.a WRITE"); err != nil {
			t.Fatal(err)
		}
		s.SetPaused(tableA, false)
		exec(t, db, "INSERT INTO shop.b VALUES (99)")
		resumed := false
		for _, it := range collect(t, s, upTo("-> 99")) {
			resumed = resumed || it.Kind == event.KindResumed
		}
		if st := s.Status(); !resumed || st.Reconnects != 0 {
			t.Errorf("resumed: %v; status %+v", resumed, st)
		}
		for _, q := range []string{"INSERT INTO shop.a VALUES (2,2)", "UNLOCK TABLES"} {
			if _, err := conn.ExecContext(t.Context(), q); err != nil {
				t.Fatal(err)
			}
		}
		g := newTarget(t)
		drive(t, s, g, func(*event.Item) bool { return g.ends == 1 })
		sameRows(t, g.texts(), serverRows(t, db, "SELECT * FROM shop.a"))
	})
}
