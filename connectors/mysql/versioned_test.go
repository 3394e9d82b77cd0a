package mysql

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

const (
	implicitHistory = " WITH SYSTEM VERSIONING"
	explicitHistory = ", s TIMESTAMP(6) GENERATED ALWAYS AS ROW START, e TIMESTAMP(6) GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING"
)

// TestSystemVersionedTablesAreNamed captures tables that keep their former rows, however
// they came to do so: each stands still, by name and with the way out, and no row of one is
// handed over; the others flow. Without the versioning a table is captured.
func TestSystemVersionedTablesAreNamed(t *testing.T) {
	srv := testenv.MariaDB(t)
	db, err := srv.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.b (id INT PRIMARY KEY, v VARCHAR(20))",
		"CREATE TABLE shop.altered (id INT PRIMARY KEY, v INT)",
		"CREATE TABLE shop.a (id INT PRIMARY KEY, v VARCHAR(20))"+implicitHistory, "CREATE TABLE shop.explicit (id INT PRIMARY KEY, v INT"+explicitHistory,
		"CREATE TABLE shop.keyless (id INT, v INT)"+implicitHistory, "INSERT INTO shop.a VALUES (1,'old')")
	names := []string{"a", "explicit", "keyless", "altered", "created", "alike", "renamed"}
	s := newSource(t, testConfig(srv, "shop.*"))
	opened := openSource(t, s, pipeline.Resume{})
	exec(t, db, "UPDATE shop.a SET v = 'new'", "INSERT INTO shop.explicit (id, v) VALUES (1,1)", "UPDATE shop.explicit SET v = 2",
		"INSERT INTO shop.keyless VALUES (1,1)",
		"ALTER TABLE shop.altered ADD SYSTEM VERSIONING", "INSERT INTO shop.altered VALUES (1,1)",
		"CREATE TABLE shop.created (id INT PRIMARY KEY, v INT"+explicitHistory, "INSERT INTO shop.created (id, v) VALUES (1,1)",
		"CREATE TABLE shop.alike LIKE shop.explicit", "INSERT INTO shop.alike (id, v) VALUES (1,1)",
		"CREATE TABLE shop.first LIKE shop.a", "RENAME TABLE shop.first TO shop.renamed", "INSERT INTO shop.renamed VALUES (1,'x')",
		"INSERT INTO shop.b VALUES (99,'end')")
	all := collect(t, s, upTo("99,end"))
	said := map[string]string{}
	for _, it := range all {
		switch {
		case it.Kind == event.KindPaused:
			said[it.Table.Name.Table] = string(it.Reason.Code) + ": " + it.Reason.Text
		case it.Kind == event.KindRow && it.Table.Name.Table != "b", it.Kind == event.KindBegin:
			t.Errorf("handed over: %s", it.text)
		}
	}
	for _, n := range names {
		if why := said[n]; !strings.HasPrefix(why, "versioned: table shop."+n+": system-versioned tables") ||
			!strings.Contains(why, `"!shop.`+n+`"`) {
			t.Errorf("table %s: %q", n, why)
		}
	}
	// After a restart, and when somebody resumes a table that is as it was.
	at, schemas := *all[len(all)-1].Commit, schemasOf(all, opened)
	s.Close()
	s = newSource(t, testConfig(srv, "shop.*"))
	openSource(t, s, pipeline.Resume{Position: at, Schemas: schemas, Attempts: []event.Attempt{{Table: tableA, Cause: "new table"}}})
	s.SetPaused(tableA, false)
	exec(t, db, "UPDATE shop.a SET v = 'newer'", "INSERT INTO shop.b VALUES (100,'end')")
	for _, it := range collect(t, s, upTo("100,end")) {
		if it.Kind == event.KindResumed || it.Kind == event.KindBegin || it.Kind == event.KindRow && it.Table.Name.Table != "b" {
			t.Errorf("of a table that is as it was: %s", it.text)
		}
	}
	exec(t, db, "ALTER TABLE shop.a DROP SYSTEM VERSIONING", "INSERT INTO shop.a VALUES (2,'plain')")
	s.SetPaused(tableA, false)
	g := newTarget(t)
	for g.ends == 0 {
		for _, it := range collect(t, s, func(seen) bool { return true }) {
			if it.Table != nil && it.Table.Name == tableA {
				g.apply(&it.Item)
			}
			if it.Commit != nil {
				s.Resolved(*it.Commit)
			}
		}
	}
	sameRows(t, g.texts(), serverRows(t, db, "SELECT * FROM shop.a"))
}

// TestBothTablesOfAnExchangedPartitionAreReadAnew exchanges a partition's rows for a
// table's, which the log has no rows for: both tables owe a snapshot, and one of them does
// when the other is not captured.
func TestBothTablesOfAnExchangedPartitionAreReadAnew(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		const parts = " PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN MAXVALUE)"
		exec(t, db, "CREATE DATABASE shop", "CREATE DATABASE other", "CREATE TABLE shop.parts (id INT PRIMARY KEY, v INT)"+parts,
			"CREATE TABLE other.parts (id INT PRIMARY KEY, v INT)"+parts,
			"CREATE TABLE shop.a (id INT PRIMARY KEY, v INT)", "CREATE TABLE shop.b (id INT PRIMARY KEY, v VARCHAR(20))")
		s := newSource(t, testConfig(srv, "shop.*"))
		openSource(t, s, pipeline.Resume{})
		for i, step := range []struct{ sql, due string }{
			{"ALTER TABLE shop.parts EXCHANGE PARTITION p0 WITH TABLE shop.a", "a parts"},
			{"ALTER TABLE other.parts EXCHANGE PARTITION p0 WITH TABLE shop.a", "a"},
			{"ALTER TABLE shop.parts EXCHANGE PARTITION p0 WITH TABLE other.a", "parts"},
		} {
			if i == 2 {
				exec(t, db, "CREATE TABLE other.a (id INT PRIMARY KEY, v INT)")
			}
			exec(t, db, step.sql, "INSERT INTO shop.b VALUES ("+string(rune('1'+i))+"0,'end')")
			due := map[string]bool{}
			for _, it := range collect(t, s, upTo(string(rune('1'+i))+"0,end")) {
				if it.Kind == event.KindDDL && it.DDL.Due != "" {
					due[it.Table.Name.Table] = true
				}
			}
			for _, n := range []string{"a", "parts"} {
				if due[n] != strings.Contains(" "+step.due+" ", " "+n+" ") {
					t.Errorf("%s: a snapshot of %s is due: %v", step.sql, n, due[n])
				}
			}
		}
	})
}
