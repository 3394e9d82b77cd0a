package mysql

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/connectors/mysql/account"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// TestAnswersOfAnotherServerAreNotUsed has an address lead to another server while some
// connections of before go on, as a virtual address or a service does. The other one holds
// the same table with other rows under another definition, and a log that goes further.
// Nothing of it is handed over, no time is proven by it, and the opening ends with the
// sentinel that makes the runner look for the place there.
func TestAnswersOfAnotherServerAreNotUsed(t *testing.T) {
	for _, c := range []struct {
		name        string
		log, others bool // cut
		until       func(s *Source)
	}{
		{"the log goes on", false, true, func(s *Source) { s.RequestSnapshot([]event.TableName{tableA}, "test") }},
		{"the log goes on and a table is resumed", false, true, func(s *Source) { s.SetPaused(tableA, true); s.SetPaused(tableA, false) }},
		{"nothing is asked but the pulse", false, true, func(*Source) {}},
		{"questions go on", true, false, func(*Source) {}},
		{"nothing goes on", true, true, func(*Source) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
				other := servers[serverKind(t)](t)
				elsewhere, err := other.Open("")
				if err != nil {
					t.Fatal(err)
				}
				defer elsewhere.Close()
				exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v VARCHAR(40))", "INSERT INTO shop.a VALUES (1,'here')")
				exec(t, elsewhere, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v VARCHAR(40), w INT)",
					"INSERT INTO shop.a VALUES (1,'elsewhere',1)",
					"FLUSH BINARY LOGS", "FLUSH BINARY LOGS", "INSERT INTO shop.a VALUES (2,'elsewhere',2)")
				r := newRoad(t, srv.Addr)
				cfg := testConfig(srv, "shop.*")
				cfg.Address, cfg.TLS.Mode = r.l.Addr().String(), account.Disabled // the road reads the commands
				s := newSource(t, cfg)
				openSource(t, s, pipeline.Resume{})
				exec(t, db, "INSERT INTO shop.a VALUES (99,'end')")
				collect(t, s, upTo("99,end"))
				r.turn(other.Addr)
				r.cutThose(c.log, c.others)
				turned := time.Now().UnixMicro()
				c.until(s)
				ctx, cancel := context.WithTimeout(t.Context(), patience(t))
				defer cancel()
				for err == nil {
					var items []event.Item
					items, err = s.Next(ctx)
					for i := range items {
						it := &items[i]
						if it.Kind == event.KindRow || it.Kind == event.KindDDL {
							t.Errorf("handed over: %s", describe(it))
						}
						if it.Commit != nil && c.others && it.Commit.Time > turned {
							t.Errorf("%s proves a time %d µs behind the switch", describe(it), it.Commit.Time-turned)
						}
					}
				}
				if !errors.Is(err, pipeline.ErrOtherServer) || !errors.Is(err, pipeline.ErrStrayed) {
					t.Errorf("the opening ended with %v", err)
				}
			})
		})
	}
}

// serverKind is the kind of server of a test that onServers runs.
func serverKind(t *testing.T) string {
	for kind := range servers {
		if strings.HasSuffix(t.Name(), "/"+kind) {
			return kind
		}
	}
	t.Fatal("no kind of server in the test's name")
	return ""
}
