package mysql

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// TestTablesThatChangeTheirNameConverge covers what schema-change tools do, and
// statements that are not understood: the target must end equal to the table.
func TestTablesThatChangeTheirNameConverge(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop CHARACTER SET utf8mb4", "CREATE TABLE shop.a (id INT PRIMARY KEY, v VARCHAR(20))",
			"INSERT INTO shop.a VALUES (1,'one'),(2,'two')")
		s := newSource(t, testConfig(srv, "shop.a"))
		openSource(t, s, pipeline.Resume{})
		g := newTarget(t)
		ends := 0
		until := func(stop func(it *event.Item) bool) {
			t.Helper()
			drive(t, s, g, func(it *event.Item) bool {
				if it.Kind == event.KindDDL && it.DDL.Due != "" && !s.o.attempts.wants(it.Table.Name) {
					s.RequestSnapshot([]event.TableName{it.Table.Name}, it.DDL.Due) // as the runner does
				}
				return stop(it)
			})
		}
		s.RequestSnapshot([]event.TableName{tableA}, "test")
		until(func(it *event.Item) bool { return g.ends > ends })
		for _, script := range [][]string{
			{ // a copy takes the table's place
				"CREATE TABLE shop._a_gho LIKE shop.a", "ALTER TABLE shop._a_gho ADD COLUMN w INT NOT NULL DEFAULT 4", "INSERT INTO shop._a_gho (id,v) SELECT * FROM shop.a",
				"INSERT INTO shop._a_gho VALUES (3,'three',5)", "RENAME TABLE shop.a TO shop._a_del, shop._a_gho TO shop.a", "DROP TABLE shop._a_del",
			},
			{"ALTER TABLE shop.a ADD COLUMN p POINT", "UPDATE shop.a SET p=ST_GeomFromText('POINT(1 1)')", "ALTER TABLE shop.a DROP COLUMN p"},
			{"RENAME TABLE shop.a TO shop.away", "INSERT INTO shop.away (id,v) VALUES (4,'four')", "RENAME TABLE shop.away TO shop.a"},
			{"DROP TABLE shop.a", "CREATE TABLE shop.a (v VARCHAR(5), id BIGINT PRIMARY KEY) DEFAULT CHARSET=latin1", "INSERT INTO shop.a VALUES ('é',7)"},
		} {
			ends = g.ends
			exec(t, db, script...)
			exec(t, db, "INSERT INTO shop.a (id,v) VALUES (9999,'end')")
			found := false
			until(func(it *event.Item) bool {
				// The row's deletion at the end of the script before is not it.
				found = found || it.Kind == event.KindRow && it.Op != event.OpDelete && strings.Contains(describe(it), "9999")
				return found && len(s.o.attempts.all) == 0 && (it.Kind == event.KindCommit || it.Kind == event.KindEnd)
			})
			if strings.HasPrefix(script[0], "DROP TABLE") {
				// The old table's rows go with the DDL, which is the sink's business.
				g.rows = map[string]version{}
				s.RequestSnapshot([]event.TableName{tableA}, "test")
				until(func(it *event.Item) bool { return it.Kind == event.KindEnd })
			}
			present := serverRows(t, db, "SELECT * FROM shop.a")
			var got []string
			for _, r := range g.texts() {
				got = append(got, lastColumns(r, present))
			}
			sameRows(t, got, present)
			exec(t, db, "DELETE FROM shop.a WHERE id=9999")
		}
	})
}

// lastColumns shows a row of an older schema as it would be now: the script's new
// columns have their default.
func lastColumns(row string, present []string) string {
	for _, p := range present {
		if strings.HasPrefix(p, row+",") {
			return p
		}
	}
	return row
}

// TestFewestPrivileges runs with what the preflight asks for, and a password.
func TestFewestPrivileges(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		prepare(t, db)
		monitor := "REPLICATION CLIENT"
		if srv.Kind == "mariadb" {
			monitor = "BINLOG MONITOR"
		}
		exec(t, db, "CREATE USER millrace@'%' IDENTIFIED BY 'a secret'", "GRANT REPLICATION SLAVE, "+monitor+" ON *.* TO millrace@'%'",
			"GRANT SELECT, LOCK TABLES ON shop.* TO millrace@'%'",
			"INSERT INTO shop.a VALUES (1,'one')", "INSERT INTO shop.k VALUES (5)")
		cfg := testConfig(srv, "shop.*")
		cfg.User, cfg.Password = "millrace", "a secret"
		s := newSource(t, cfg)
		problems, err := s.Preflight(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			if p.Fatal {
				t.Errorf("%+v", p)
			}
		}
		openSource(t, s, pipeline.Resume{})
		s.RequestSnapshot([]event.TableName{tableA, {DB: "shop", Table: "k"}}, "test")
		exec(t, db, "INSERT INTO shop.a VALUES (2,'two')")
		g := newTarget(t)
		drive(t, s, g, func(it *event.Item) bool { return g.ends == 2 })
	})
}
