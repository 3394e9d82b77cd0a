package mysql

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// TestATableThatMayNotBeReadIsNotTakenForDropped resumes a table while its reader may not
// see it: the server's lists leave it out as if it were gone. It stays paused, by name and
// with the remedy, the others flow, and when the privilege is there it is resumed.
func TestATableThatMayNotBeReadIsNotTakenForDropped(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v VARCHAR(20))",
			"CREATE TABLE shop.b (id INT PRIMARY KEY, v VARCHAR(20))",
			"CREATE USER 'reader'@'%' IDENTIFIED BY 'r'", "GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'reader'@'%'")
		cfg := testConfig(srv, "shop.*")
		cfg.User, cfg.Password = "reader", "r"
		s := newSource(t, cfg)
		openSource(t, s, pipeline.Resume{})
		s.SetPaused(tableA, true)
		collect(t, s, func(it seen) bool { return it.Kind == event.KindPaused })
		exec(t, db, "REVOKE SELECT ON *.* FROM 'reader'@'%'", "GRANT SELECT ON shop.b TO 'reader'@'%'", "INSERT INTO shop.a VALUES (1,'missed')")
		reconnect(s.o.db) // what is revoked for the whole server holds for new connections
		s.SetPaused(tableA, false)
		all := collect(t, s, func(it seen) bool { return it.Kind == event.KindPaused })
		if why := all[len(all)-1].Reason; why.Code != "privilege" || !strings.Contains(why.Text, "GRANT SELECT ON `shop`.*") {
			t.Errorf("paused for %s: %s", why.Code, why.Text)
		}
		exec(t, db, "INSERT INTO shop.b VALUES (99,'end')")
		for _, it := range collect(t, s, upTo("99,end")) {
			if it.Table != nil && it.Table.Name == tableA {
				t.Errorf("of the table that is not seen: %s", it.text)
			}
		}
		exec(t, db, "GRANT SELECT ON *.* TO 'reader'@'%'")
		s.SetPaused(tableA, false)
		g := newTarget(t)
		drive(t, s, g, func(*event.Item) bool { return g.ends == 1 })
		sameRows(t, g.texts(), serverRows(t, db, "SELECT * FROM shop.a"))
	})
}
