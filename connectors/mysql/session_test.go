package mysql

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/connectors/mysql/readback"
	"github.com/millrace/millrace/connectors/mysql/schema"
	"github.com/millrace/millrace/connectors/mysql/snapshot"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// TestNoSettingOfTheServerCutsASnapshot reads tables of a server whose own settings leave
// rows out, hide columns, keep views open and read statements otherwise.
func TestNoSettingOfTheServerCutsASnapshot(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v CHAR(5))", "CREATE TABLE shop.k (v INT)",
			"CREATE TABLE shop.z (id INT PRIMARY KEY)")
		rows := make([]string, 320)
		for i := range rows {
			rows[i] = fmt.Sprintf("(%d,'x ')", i)
		}
		exec(t, db, "INSERT INTO shop.a VALUES "+strings.Join(rows, ","), "INSERT INTO shop.k SELECT id FROM shop.a",
			"INSERT INTO shop.z VALUES (1)")
		want := map[string][]string{}
		for _, n := range []string{"a", "k", "z"} {
			want[n] = serverRows(t, db, "SELECT * FROM shop."+n)
		}
		exec(t, db, "SET GLOBAL sql_select_limit=1", "SET GLOBAL max_join_size=2", "SET GLOBAL completion_type=2", "SET GLOBAL autocommit=0",
			"SET GLOBAL sql_mode='ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH'", "SET GLOBAL time_zone='+05:00'")
		cfg := testConfig(srv, "shop.*")
		cfg.Snapshot.ChunkRows = 50
		s := newSource(t, cfg)
		opened := openSource(t, s, pipeline.Resume{})
		if len(opened.Tables) != 3 {
			t.Fatalf("%d tables of 3", len(opened.Tables))
		}
		for _, x := range opened.Tables {
			s.RequestSnapshot([]event.TableName{x.Name}, "test")
			g := newTarget(t)
			drive(t, s, g, func(*event.Item) bool { return g.ends == 1 })
			sameRows(t, g.texts(), want[x.Name.Table])
		}
		r, err := readback.New(readback.Config{Account: cfg.Account()})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		n := 0
		err = r.Read(t.Context(), tableA, func([]pipeline.ReadColumn) error { return nil }, func([]pipeline.Cell) error { n++; return nil })
		if err != nil || n != 320 {
			t.Errorf("read back: %d rows of 320, %v", n, err)
		}
	})
}

// TestAChunkThatWasCutIsNoChunk has the session itself leave rows out: the bounds of what
// came tell, and nothing is taken for the range.
func TestAChunkThatWasCutIsNoChunk(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY)", "INSERT INTO shop.a VALUES (1),(2),(3),(4),(5),(6)")
		cfg := testConfig(srv, "shop.*")
		l, err := schema.Load(t.Context(), db, tableA, srv.Kind == "mariadb")
		if err != nil {
			t.Fatal(err)
		}
		plan, err := snapshot.NewPlan(l.Schema, srv.Kind == "mariadb", nil)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := snapshot.Dial(t.Context(), snapshot.Options{Account: cfg.Account()})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for _, c := range []struct {
			limit    int
			lo, hi   snapshot.Key
			complete bool
		}{
			{3, nil, nil, false}, {0, nil, nil, false}, {0, nil, snapshot.Key{[]byte("2")}, false}, {3, snapshot.Key{[]byte("1")}, snapshot.Key{[]byte("5")}, false},
			{3, nil, snapshot.Key{[]byte("3")}, true}, {3, snapshot.Key{[]byte("3")}, nil, true}, {0, snapshot.Key{[]byte("6")}, nil, true}, {6, nil, nil, true},
		} {
			if err := conn.Exec(t.Context(), fmt.Sprintf("SET SESSION sql_select_limit=%d", c.limit)); err != nil {
				t.Fatal(err)
			}
			j, ch := chunkJob{plan: plan, lo: c.lo, maxBytes: maxChunkBytes}, &chunk{}
			err := errors.Join(conn.Exec(t.Context(), "START TRANSACTION"), j.read(t.Context(), conn, c.hi, "", ch))
			if errors.Is(err, errCut) == c.complete {
				t.Errorf("limit %d behind %s up to %s: %d rows, %v", c.limit, c.lo, c.hi, len(ch.images), err)
			}
		}
	})
}
