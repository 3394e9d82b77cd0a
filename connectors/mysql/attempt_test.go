package mysql

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// TestAStatementThatConvertsBeginsTheAttemptAnew changes stored values after a part of the
// table was read: what was read before is not part of the attempt that ends.
func TestAStatementThatConvertsBeginsTheAttemptAnew(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v DECIMAL(8,4))")
		var vals []string
		for k := range 2000 {
			vals = append(vals, fmt.Sprintf("(%d,1.2345)", k))
		}
		exec(t, db, "INSERT INTO shop.a VALUES "+strings.Join(vals, ","))
		cfg := testConfig(srv, "shop.*")
		cfg.Snapshot.ChunkRows = 100
		s := newSource(t, cfg)
		openSource(t, s, pipeline.Resume{})
		g := newTarget(t)
		var begins []event.Seq
		chunks := 0
		s.RequestSnapshot([]event.TableName{tableA}, "test")
		drive(t, s, g, func(it *event.Item) bool {
			switch it.Kind {
			case event.KindBegin:
				begins = append(begins, it.Seq)
			case event.KindChunkEnd:
				if chunks++; chunks == 3 {
					exec(t, db, "ALTER TABLE shop.a MODIFY v DECIMAL(8,1)")
				}
			}
			return g.ends == 1
		})
		if len(begins) != 2 {
			t.Errorf("attempts began at %v", begins)
		}
		sameRows(t, g.texts(), serverRows(t, db, "SELECT * FROM shop.a"))
	})
}

// TestWithoutAKeyEachRowCountsOnce inserts into a table without a key until its snapshot
// is through: no row is both in the snapshot and behind BEGIN.
func TestWithoutAKeyEachRowCountsOnce(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (v INT)", "INSERT INTO shop.a VALUES (1),(1),(2)")
		s := newSource(t, testConfig(srv, "shop.*"))
		openSource(t, s, pipeline.Resume{})
		stop, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			for i := 10; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := db.Exec(fmt.Sprintf("INSERT INTO shop.a VALUES (%d)", i)); err != nil {
					t.Error(err)
					return
				}
			}
		}()
		g := newTarget(t)
		s.RequestSnapshot([]event.TableName{tableA}, "test")
		drive(t, s, g, func(*event.Item) bool { return g.ends == 1 })
		close(stop)
		<-done
		exec(t, db, "INSERT INTO shop.a VALUES (-9999)")
		found := false
		drive(t, s, g, func(it *event.Item) bool {
			found = found || it.Kind == event.KindRow && strings.Contains(describe(it), "-9999")
			return found && it.Kind == event.KindCommit
		})
		sameRows(t, g.texts(), serverRows(t, db, "SELECT * FROM shop.a"))
	})
}

// TestATableTakenInLater captures a table from a position behind which its definition was
// changed: rows under the older definition are no reason to stop, the snapshot has them.
func TestATableTakenInLater(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		b := event.TableName{DB: "shop", Table: "b"}
		exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v INT)",
			"CREATE TABLE shop.b (id INT PRIMARY KEY, w VARCHAR(9), v INT)")
		s := newSource(t, testConfig(srv, "shop.a"))
		opened := openSource(t, s, pipeline.Resume{})
		at := opened.Position
		s.Close()
		exec(t, db, "INSERT INTO shop.b VALUES (1,'x',1),(2,'y',2)", "ALTER TABLE shop.b DROP COLUMN w", "INSERT INTO shop.b VALUES (3,3)",
			"DELETE FROM shop.b WHERE id=1")
		next := newSource(t, testConfig(srv, "shop.*"))
		openSource(t, next, pipeline.Resume{Position: at, Epoch: at.Epoch, Schemas: schemasOf(nil, opened)})
		next.RequestSnapshot([]event.TableName{b}, "new table")
		g := newTarget(t)
		drive(t, next, g, func(it *event.Item) bool { return it.Kind == event.KindEnd && it.Table.Name == b })
		exec(t, db, "INSERT INTO shop.b VALUES (4,4)")
		drive(t, next, g, func(it *event.Item) bool { return it.Kind == event.KindRow && strings.Contains(describe(it), "4,4") })
		sameRows(t, g.texts(), serverRows(t, db, "SELECT * FROM shop.b"))
	})
}

// TestAKeyThatIsGoneStopsItsTableAlone takes the configured key's column out of a table:
// it pauses by name, with the queues that it has.
func TestAKeyThatIsGoneStopsItsTableAlone(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, region INT)", "CREATE TABLE shop.b (id INT PRIMARY KEY)")
		cfg := testConfig(srv, "shop.*")
		cfg.Keys, cfg.TableQueues = map[string][]string{"shop.a": {"region"}}, map[string]int{"shop.a": 7}
		s := newSource(t, cfg)
		openSource(t, s, pipeline.Resume{})
		exec(t, db, "INSERT INTO shop.a VALUES (1,1)", "ALTER TABLE shop.a DROP COLUMN region", "INSERT INTO shop.a VALUES (2)",
			"INSERT INTO shop.b VALUES (99)")
		var why *event.PauseReason
		for _, it := range collect(t, s, upTo("-> 99")) {
			if it.Table != nil && it.Table.Name == tableA && it.Table.Queues != 7 {
				t.Errorf("%s: %d queues", it.text, it.Table.Queues)
			}
			if it.Kind == event.KindPaused {
				why = it.Reason
			}
		}
		if why == nil || why.Code != "key" || !strings.Contains(why.Text, "shop.a has no column region") ||
			!strings.Contains(why.Text, "tables.shop.a.key") {
			t.Errorf("paused: %+v", why)
		}
	})
}
