package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// numbers are the items of all by identity, and their order.
func numbers(all []seen) (byID map[string]event.Seq, order []string) {
	byID = map[string]event.Seq{}
	for _, it := range all {
		if it.Kind == event.KindRow || it.Kind == event.KindDDL || it.Kind == event.KindTruncate {
			id := it.Table.Name.String() + " " + it.Identity().String()
			byID[id] = it.Seq
			order = append(order, id)
		}
	}
	return byID, order
}

// workload fills a log with all kinds of things; the last row has v = 'end'.
func workload(t *testing.T, db *sql.DB, rows int) {
	var big []string
	for i := range rows {
		big = append(big, fmt.Sprintf("(%d,'%s')", i+100, strings.Repeat("x", 30+i%20)))
	}
	exec(t, db, "INSERT INTO shop.a VALUES (1,'one'),(2,'two')", "INSERT INTO shop.other VALUES (1),(2)",
		"INSERT INTO shop.a VALUES "+strings.Join(big, ","), "UPDATE shop.a SET v=CONCAT(v,'y') WHERE id<20000",
		"UPDATE shop.a SET id=id+100000 WHERE id BETWEEN 600 AND 700", "ALTER TABLE shop.a ADD COLUMN w INT DEFAULT 3",
		"DELETE FROM shop.a WHERE id BETWEEN 800 AND 900", "TRUNCATE shop.other", "INSERT INTO shop.k VALUES (1),(2),(3)", "UPDATE shop.k SET v=v+1",
		"FLUSH BINARY LOGS", "INSERT INTO shop.a (id,v) VALUES (99,'end')")
}

func prepare(t *testing.T, db *sql.DB) {
	exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v VARCHAR(60))",
		"CREATE TABLE shop.other (id INT PRIMARY KEY)", "CREATE TABLE shop.k (v INT)")
}

func schemasOf(all []seen, opened pipeline.Opened) map[event.TableName]*event.Schema {
	out := map[event.TableName]*event.Schema{}
	for _, tb := range opened.Tables {
		out[tb.Name] = tb.Schema
	}
	for _, it := range all {
		if it.Kind == event.KindDDL {
			out[it.Table.Name] = it.DDL.New
		}
	}
	return out
}

// TestEveryRestartGivesTheSameNumbers reads a log once, and again from every position
// that was handed over, under another table list as well.
func TestEveryRestartGivesTheSameNumbers(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		prepare(t, db)
		s := newSource(t, testConfig(srv, "shop.*"))
		opened := openSource(t, s, pipeline.Resume{})
		workload(t, db, 2000)
		all := collect(t, s, upTo("99,end"))
		s.Close()
		first, order := numbers(all)
		for i, at := range all {
			if at.Commit == nil || i == len(all)-1 {
				continue
			}
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				checkFrom(t, srv, *at.Commit, schemasOf(all[:i+1], opened), after(order, first, at.Seq), first, "shop.*")
			})
		}
		// In the middle of a transaction, and with fewer tables.
		for _, i := range []int{len(all) / 3, len(all) / 2} {
			it := all[i]
			for it.Kind != event.KindRow {
				i++
				it = all[i]
			}
			at := it.Tx.Start
			at.Done, at.DoneID = it.Seq, it.Identity()
			checkFrom(t, srv, at, schemasOf(all[:i+1], opened), after(order, first, it.Seq), first, "shop.*")
			only := slices.DeleteFunc(slices.Clone(order), func(id string) bool { return !strings.HasPrefix(id, "shop.a ") || first[id] <= it.Seq })
			checkFrom(t, srv, at, schemasOf(all[:i+1], opened), only, first, "shop.a")
		}
	})
}

func after(order []string, first map[string]event.Seq, seq event.Seq) []string {
	return slices.DeleteFunc(slices.Clone(order), func(id string) bool { return first[id] <= seq })
}

func checkFrom(t *testing.T, srv *testenv.Server, at event.Position, schemas map[event.TableName]*event.Schema, want []string,
	first map[string]event.Seq, tables string) {
	t.Helper()
	s := newSource(t, testConfig(srv, tables))
	openSource(t, s, pipeline.Resume{Position: at, Epoch: at.Epoch, Schemas: schemas})
	all := collect(t, s, upTo("99,end"))
	s.Close()
	again, order := numbers(all)
	if !slices.Equal(order, want) {
		t.Fatalf("from %s:%d done %d: %d items, want %d", at.File, at.Pos, at.Done, len(order), len(want))
	}
	for id, seq := range again {
		if first[id] != seq {
			t.Fatalf("from %s:%d: %s has number %d, had %d", at.File, at.Pos, id, seq, first[id])
		}
	}
}

// TestLostConnectionsRepeatNothing drops the connection again and again, in the middle
// of transactions too.
func TestLostConnectionsRepeatNothing(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		prepare(t, db)
		calm, torn := newSource(t, testConfig(srv, "shop.*")), newSource(t, testConfig(srv, "shop.*"))
		openSource(t, calm, pipeline.Resume{})
		openSource(t, torn, pipeline.Resume{})
		workload(t, db, 40000)
		want, order := numbers(collect(t, calm, upTo("99,end")))
		n := 0
		got, gotOrder := numbers(collect(t, torn, func(it seen) bool {
			n++
			if n%7000 == 0 {
				torn.o.rd.Drop()
			}
			return it.Kind == event.KindCommit && strings.Contains(it.text, "commit") && n > 100 &&
				torn.o.tables.all[event.TableName{DB: "shop", Table: "a"}].rows > 0 && endSeen(want, order, it.Seq)
		}))
		if torn.Status().Reconnects == 0 {
			t.Error("no connection was lost")
		}
		if !slices.Equal(gotOrder, order) || !maps.Equal(got, want) {
			t.Errorf("%d items over torn connections, %d over a calm one", len(gotOrder), len(order))
		}
	})
}

func endSeen(want map[string]event.Seq, order []string, seq event.Seq) bool {
	return seq > want[order[len(order)-1]]
}

func TestRestoredServerIsFound(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		prepare(t, db)
		if err := srv.Stop(); err != nil {
			t.Fatal(err)
		}
		backup := t.TempDir() + "/backup"
		copyDir(t, srv.Data, backup)
		start := func() {
			t.Helper()
			if err := srv.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		start()
		s := newSource(t, testConfig(srv, "shop.*"))
		openSource(t, s, pipeline.Resume{})
		exec(t, db, "INSERT INTO shop.a VALUES (1,'one')", "INSERT INTO shop.a VALUES (99,'end')")
		all := collect(t, s, upTo("99,end"))
		s.Close()
		at := *all[len(all)-1].Commit
		reopen := func(at event.Position, patience time.Duration) error {
			t.Helper()
			s := newSource(t, testConfig(srv, "shop.*"))
			_, err := s.Open(t.Context(), pipeline.Resume{Position: at})
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			for err == nil {
				// The comparison comes with the first events.
				if _, err = s.Next(ctx); errors.Is(err, context.DeadlineExceeded) {
					return nil
				}
			}
			s.Close()
			return err
		}
		if err := reopen(at, cfgHeartbeats); err != nil {
			t.Fatal("the same server:", err)
		}
		if err := srv.Stop(); err != nil {
			t.Fatal(err)
		}
		restoreDir(t, backup, srv.Data)
		start()
		if err := reopen(at, patience(t)); !errors.Is(err, pipeline.ErrHistory) {
			t.Fatal("a shorter log:", err)
		}
		exec(t, db, "INSERT INTO shop.a VALUES (2,'two')", "INSERT INTO shop.a VALUES (3,'end')", "INSERT INTO shop.a VALUES (4,'more')")
		if err := reopen(at, patience(t)); !errors.Is(err, pipeline.ErrHistory) {
			t.Fatal("a rewritten log:", err)
		}
		exec(t, db, "FLUSH BINARY LOGS", "INSERT INTO shop.a VALUES (5,'x')", "FLUSH BINARY LOGS")
		_, logs := lastLog(t, db)
		for n := 2; n > 1; n, _ = lastLog(t, db) { // a server keeps a log while somebody reads it
			exec(t, db, "PURGE BINARY LOGS TO '"+logs+"'")
		}
		if err := reopen(at, patience(t)); !errors.Is(err, pipeline.ErrHistory) {
			t.Fatal("a purged log:", err)
		}
		other := at
		other.Server = "another"
		if err := reopen(other, patience(t)); !errors.Is(err, pipeline.ErrOtherServer) {
			t.Fatal("another server:", err)
		}
	})
}

// A server that nobody writes to may rotate its log, be restarted and remove the old file:
// the place follows, or the next opening would miss a file that held nothing.
func TestTheIdlePlaceFollowsTheLog(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v VARCHAR(20))")
		s := newSource(t, testConfig(srv, "shop.*"))
		openSource(t, s, pipeline.Resume{})
		exec(t, db, "INSERT INTO shop.a VALUES (1,'end')")
		all := collect(t, s, upTo("1,end"))
		s.Close()
		at := *all[len(all)-1].Commit
		follow := func(s *Source, what string) {
			t.Helper()
			_, end := lastLog(t, db)
			all := collect(t, s, func(it seen) bool { return it.Kind == event.KindHeartbeat && it.Commit.File == end })
			at = *all[len(all)-1].Commit
			if read := s.Status().Read; read.File != end {
				t.Errorf("%s: the status shows %s, the log is at %s", what, read.File, end)
			}
		}

		s = newSource(t, testConfig(srv, "shop.*"))
		openSource(t, s, pipeline.Resume{Position: at})
		exec(t, db, "FLUSH BINARY LOGS")
		follow(s, "rotated")
		srv.Kill()
		if err := srv.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		follow(s, "restarted")
		s.Close()

		_, end := lastLog(t, db)
		for n := 2; n > 1; n, _ = lastLog(t, db) { // a server keeps a log while somebody reads it
			exec(t, db, "PURGE BINARY LOGS TO '"+end+"'")
		}
		s = newSource(t, testConfig(srv, "shop.*"))
		openSource(t, s, pipeline.Resume{Position: at})
		exec(t, db, "INSERT INTO shop.a VALUES (2,'end')")
		rows := 0
		for _, it := range collect(t, s, upTo("2,end")) {
			if it.Kind == event.KindRow {
				rows++
			}
		}
		if rows != 1 {
			t.Errorf("%d rows behind the place", rows)
		}
	})
}
