package mysql

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// TestALargeRowCanBeChanged changes rows of which a message holds one image and not two:
// they come as a deletion and a creation with two numbers, the same on every reading.
func TestALargeRowCanBeChanged(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "SET GLOBAL max_allowed_packet=67108864")
		db.SetMaxIdleConns(0)
		exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, n INT, d LONGBLOB)")
		s := newSource(t, testConfig(srv, "shop.*"))
		opened := openSource(t, s, pipeline.Resume{})
		problems, err := s.Preflight(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		said := false
		for _, p := range problems {
			said = said || p.Thing == "table shop.a" && strings.Contains(p.Found, "d longblob") && strings.Contains(p.Wanted, "maxMessageSize")
		}
		if !said {
			t.Errorf("the preflight has no word about the column: %+v", problems)
		}
		exec(t, db, "INSERT INTO shop.a VALUES (1,0,REPEAT('x',3000000)),(2,0,REPEAT('x',1000000))", "UPDATE shop.a SET n=1",
			"INSERT INTO shop.a VALUES (99,9,'end')")
		ops := func(s *Source) (out string) {
			for _, it := range collect(t, s, upTo("99,9,")) {
				if it.Kind == event.KindRow {
					if len(it.Before) > 0 && len(it.After) > 0 && len(it.Before)+len(it.After) > largeUpdate {
						t.Errorf("one item of %d and %d bytes", len(it.Before), len(it.After))
					}
					out += string(it.Op)
				}
			}
			return out
		}
		if got := ops(s); got != "ccdcuc" {
			t.Errorf("came as %s", got)
		}
		s.Close()
		again := newSource(t, testConfig(srv, "shop.*"))
		openSource(t, again, pipeline.Resume{Position: opened.Position, Schemas: schemasOf(nil, opened)})
		if got := ops(again); got != "ccdcuc" {
			t.Errorf("read again, came as %s", got)
		}
	})
}
