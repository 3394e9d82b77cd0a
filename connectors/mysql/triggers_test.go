package mysql

import (
	"database/sql"
	"log/slog"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

func TestWhoIsShownTriggers(t *testing.T) {
	for _, c := range []struct {
		grants string // a line each
		shown  bool   // those of shop.a
	}{
		{"GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO `r`@`%`", false},
		{"GRANT ALL PRIVILEGES ON *.* TO `root`@`%` WITH GRANT OPTION", true},
		{"GRANT SELECT, TRIGGER, CREATE ROLE ON *.* TO `r`@`%`", true},
		{"GRANT SELECT ON *.* TO `r`@`%`\nGRANT TRIGGER ON `shop`.* TO `r`@`%`", true},
		{"GRANT TRIGGER ON `sh%`.* TO `r`@`%`", true},
		{"GRANT TRIGGER ON `s__p`.* TO `r`@`%`", true},
		{"GRANT TRIGGER ON `s\\__p`.* TO `r`@`%`", false},
		{"GRANT TRIGGER ON `other`.* TO `r`@`%`", false},
		{"GRANT TRIGGER ON `shop`.`a` TO `r`@`%`", true},
		{"GRANT TRIGGER ON `shop`.`b` TO `r`@`%`", false},
		{"GRANT SELECT (`trigger`) ON `shop`.`a` TO `r`@`%`", false},
		{"GRANT TRIGGER ON *.* TO `r`@`%`\nREVOKE TRIGGER ON `shop`.* FROM `r`@`%`", false},
		{"GRANT `TRIGGER`@`%` TO `r`@`%`", false},
	} {
		if got := showsTriggers(strings.Split(c.grants, "\n"), tableA); got != c.shown {
			t.Errorf("%s: %t", c.grants, got)
		}
	}
}

// TestTriggersThatAreNotShown has an account that is not shown triggers: that is said at the
// start and by the preflight, and a statement that writes to a table whose triggers it would
// not see pauses every table with the grant that helps. With the grant one is paused alone.
func TestTriggersThatAreNotShown(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop", "CREATE DATABASE other", "CREATE TABLE shop.a (id INT PRIMARY KEY)",
			"CREATE TABLE shop.b (id INT PRIMARY KEY)",
			"CREATE TABLE other.log (id INT PRIMARY KEY)", "CREATE TRIGGER other.t AFTER INSERT ON other.log FOR EACH ROW INSERT INTO shop.b VALUES (NEW.id)",
			"CREATE USER reader@'%'", "GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO reader@'%'")
		cfg := testConfig(srv, "shop.*")
		cfg.User, cfg.AllowStatementFormat = "reader", true
		c := newSession(t, db)
		for i, want := range []string{"a b", "b"} {
			var logged lockedBuffer
			s, err := New(cfg, slog.New(slog.NewTextHandler(&logged, nil)), nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			found, err := s.Preflight(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var warned bool
			for _, p := range found {
				warned = warned || p.Thing == "privilege TRIGGER" && !p.Fatal && strings.Contains(p.Remedy, "GRANT TRIGGER ON *.* TO reader")
			}
			openSource(t, s, pipeline.Resume{})
			if said := strings.Contains(logged.String(), "GRANT TRIGGER ON *.* TO reader"); warned != (i == 0) || said != (i == 0) {
				t.Errorf("warned: %t, said: %t", warned, said)
			}
			c.run("SET SESSION binlog_format='STATEMENT'")
			if _, err := c.conn.ExecContext(t.Context(), "INSERT INTO other.log VALUES (?)", i); err != nil {
				t.Fatal(err)
			}
			exec(t, db, "CREATE TABLE shop.end (id INT PRIMARY KEY)", "INSERT INTO shop.end VALUES (4711)")
			var paused []string
			for _, it := range collect(t, s, upTo("-> 4711")) {
				if it.Kind == event.KindPaused {
					paused = append(paused, it.Table.Name.Table)
					if i == 0 && !strings.Contains(it.Reason.Text, "GRANT TRIGGER ON `other`.*") {
						t.Errorf("paused without the remedy: %s", it.Reason.Text)
					}
				}
			}
			if got := strings.Join(paused, " "); got != want {
				t.Errorf("paused: %q, want %q", got, want)
			}
			s.Close()
			exec(t, db, "DROP TABLE shop.end", "GRANT TRIGGER ON *.* TO reader@'%'")
		}
	})
}
