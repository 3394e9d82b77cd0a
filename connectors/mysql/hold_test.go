package mysql

import (
	"database/sql"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// TestATablePausedByRequestStaysPaused pauses a table, changes it, and goes on with
// another source from what the first one handed over: no row of the table may slip by
// unseen between the two.
func TestATablePausedByRequestStaysPaused(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v VARCHAR(20))",
			"CREATE TABLE shop.b (id INT PRIMARY KEY, v VARCHAR(20))")
		s := newSource(t, testConfig(srv, "shop.*"))
		opened := openSource(t, s, pipeline.Resume{})
		s.SetPaused(tableA, true)
		all := collect(t, s, func(it seen) bool { return it.Kind == event.KindPaused })
		why := all[len(all)-1].Reason
		exec(t, db, "INSERT INTO shop.a VALUES (1,'missed')", "INSERT INTO shop.b VALUES (99,'end')")
		all = append(all, collect(t, s, upTo("99,end"))...)
		for _, it := range all {
			if it.Kind == event.KindRow && it.Table.Name == tableA {
				t.Errorf("handed over while paused: %s", it.text)
			}
		}
		at := *all[len(all)-1].Commit
		schemas := schemasOf(all, opened)
		s.Close()

		next := newSource(t, testConfig(srv, "shop.*"))
		openSource(t, next, pipeline.Resume{Position: at, Schemas: schemas, Paused: map[event.TableName]event.PauseReason{tableA: *why}})
		exec(t, db, "INSERT INTO shop.a VALUES (2,'missed too')", "INSERT INTO shop.b VALUES (100,'end')")
		for _, it := range collect(t, next, upTo("100,end")) {
			if it.Kind == event.KindRow && it.Table.Name == tableA {
				t.Errorf("handed over while paused: %s", it.text)
			}
		}
		next.SetPaused(tableA, false)
		g := newTarget(t)
		drive(t, next, g, func(*event.Item) bool { return g.ends == 1 })
		sameRows(t, g.texts(), serverRows(t, db, "SELECT * FROM shop.a"))
	})
}

// TestBeginningAnewReadsDefinitions opens without a position, but with the schemas of one
// that was given up: what was changed meanwhile is in no log, so the server is asked.
// Columns that are still there keep their identity, new ones get one of their own.
func TestBeginningAnewReadsDefinitions(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, old INT, v VARCHAR(20))",
			"CREATE TABLE shop.gone (id INT PRIMARY KEY)")
		s := newSource(t, testConfig(srv, "shop.*"))
		opened := openSource(t, s, pipeline.Resume{})
		before := schemasOf(nil, opened)
		s.Close()
		exec(t, db, "ALTER TABLE shop.a DROP COLUMN old, ADD COLUMN fresh INT FIRST", "DROP TABLE shop.gone",
			"INSERT INTO shop.a VALUES (7, 1, 'x')")

		next := newSource(t, testConfig(srv, "shop.*"))
		opened = openSource(t, next, pipeline.Resume{Epoch: 2, Schemas: before, Attempts: []event.Attempt{{Table: tableA, Cause: "test"}}})
		now := schemasOf(nil, opened)
		if len(now) != 1 {
			t.Fatalf("captured: %v", now)
		}
		was, is := before[tableA], now[tableA]
		id := func(s *event.Schema, name string) uint32 { return s.Columns[s.ColumnByName(name)].ID }
		if id(was, "id") != id(is, "id") || id(was, "v") != id(is, "v") {
			t.Errorf("columns changed their identity: %+v, then %+v", was.Columns, is.Columns)
		}
		for _, c := range was.Columns {
			if c.ID == id(is, "fresh") {
				t.Errorf("the new column has the identity of %s", c.Name)
			}
		}
		exec(t, db, "INSERT INTO shop.a VALUES (8, 2, 'y')")
		g := newTarget(t)
		drive(t, next, g, func(*event.Item) bool { return g.ends == 1 })
		sameRows(t, g.texts(), serverRows(t, db, "SELECT * FROM shop.a"))
	})
}
