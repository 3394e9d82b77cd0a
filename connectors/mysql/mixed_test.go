package mysql

import (
	"fmt"
	"testing"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// TestWhatAFailedStatementLeftBehindIsNotMissed: a trigger writes to a table without
// transactions, whose rows stay when the statement fails or is rolled back. Where a session
// logs rows they come; where it logs the statement the tables are paused by name.
func TestWhatAFailedStatementLeftBehindIsNotMissed(t *testing.T) {
	scripts := map[string][]string{
		"fails alone":                     {"INSERT INTO shop.a VALUES (1),(2),(1)"},
		"fails in a transaction":          {"BEGIN", "INSERT INTO shop.a VALUES (10)", "INSERT INTO shop.a VALUES (11),(10)", "COMMIT"},
		"fails and is rolled back":        {"BEGIN", "INSERT INTO shop.a VALUES (20)", "INSERT INTO shop.a VALUES (21),(20)", "ROLLBACK"},
		"behind a savepoint":              {"BEGIN", "INSERT INTO shop.a VALUES (30)", "SAVEPOINT s", "INSERT INTO shop.a VALUES (31),(30)", "ROLLBACK TO s", "COMMIT"},
		"with a temporary table":          {"BEGIN", "CREATE TEMPORARY TABLE shop.tt (a INT)", "INSERT INTO shop.a VALUES (40)", "INSERT INTO shop.a VALUES (41),(40)", "ROLLBACK", "DROP TEMPORARY TABLE shop.tt"},
		"the rows of others come between": {"BEGIN", "INSERT INTO shop.a VALUES (50),(50)", "INSERT INTO shop.m VALUES (NULL,1)", "INSERT INTO shop.a VALUES (51)", "ROLLBACK"},
	}
	for kind, start := range servers {
		for _, sets := range []string{"binlog_format='MIXED'", "binlog_format='MIXED', SESSION binlog_direct_non_transactional_updates=1", "binlog_format='STATEMENT'"} {
			t.Run(sets+" "+kind, func(t *testing.T) {
				t.Parallel()
				var args []string
				if kind == "mysql" { // under GTIDs it refuses such statements
					args = []string{"--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"}
				}
				srv := start(t, args...)
				db, err := srv.Open("")
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
				mixed, err := srv.Open("") // whose connections keep what they set
				if err != nil {
					t.Fatal(err)
				}
				defer mixed.Close()
				for i, body := range []string{"INSERT INTO shop.m (v) VALUES (NEW.id)", "INSERT INTO shop.m (v) VALUES (LENGTH(UUID())+NEW.id)"} {
					for name, script := range scripts {
						t.Run(fmt.Sprintf("%s/trigger %d", name, i+1), func(t *testing.T) {
							exec(t, db, "DROP DATABASE IF EXISTS shop", "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY)",
								"CREATE TABLE shop.z (id INT PRIMARY KEY)",
								"CREATE TABLE shop.m (id INT AUTO_INCREMENT PRIMARY KEY, v INT) ENGINE=MyISAM", "CREATE TRIGGER shop.before_a BEFORE INSERT ON shop.a FOR EACH ROW "+body)
							s := newSource(t, testConfig(srv, "shop.*"))
							openSource(t, s, pipeline.Resume{})
							c := newSession(t, mixed)
							c.run("SET SESSION " + sets)
							c.run(script...)
							exec(t, db, "INSERT INTO shop.z VALUES (9001)")
							got := map[string]*target{"a": newTarget(t), "m": newTarget(t), "z": newTarget(t)}
							paused := map[string]bool{}
							for _, it := range collect(t, s, upTo("9001")) {
								if it.Kind == event.KindPaused || it.Kind == event.KindDDL && it.DDL.Due != "" {
									paused[it.Table.Name.Table] = true
								}
								if it.Table != nil {
									got[it.Table.Name.Table].apply(&it.Item)
								}
							}
							for _, table := range []string{"a", "m"} {
								if !paused[table] {
									sameRows(t, got[table].texts(), serverRows(t, db, "SELECT * FROM shop."+table))
								}
							}
						})
					}
				}
			})
		}
	}
}
