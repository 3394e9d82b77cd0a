package mysql

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

var tableA = event.TableName{DB: "shop", Table: "a"}

// TestWhatCannotBeReadPausesItsTableOnly covers every reason that a server can give.
func TestWhatCannotBeReadPausesItsTableOnly(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v VARCHAR(20))",
			"CREATE TABLE shop.m (id INT PRIMARY KEY, v INT)", "CREATE TABLE shop.greek (id INT PRIMARY KEY, v VARCHAR(9) CHARACTER SET greek)")
		s := newSource(t, testConfig(srv, "shop.*"))
		openSource(t, s, pipeline.Resume{})
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for _, q := range []string{
			"INSERT INTO shop.a VALUES (1,'between')", "SET SESSION binlog_row_image='MINIMAL'", "INSERT INTO shop.m VALUES (1,1)", "UPDATE shop.m SET v=2",
			"INSERT INTO shop.greek VALUES (1,'x')", "SET SESSION binlog_row_image='FULL'", "INSERT INTO shop.a VALUES (99,'end')",
		} {
			if _, err := conn.ExecContext(t.Context(), q); err != nil {
				t.Fatalf("%s: %v", q, err)
			}
		}
		paused := map[string]string{}
		rows, image := 0, event.PauseReason{}
		for _, it := range collect(t, s, upTo("99,end")) {
			switch it.Kind {
			case event.KindPaused:
				paused[it.Table.Name.Table] = string(it.Reason.Code)
				image = *it.Reason
			case event.KindRow:
				if it.Table.Name == tableA {
					rows++
				}
			}
		}
		want := "map[m:row_image]"
		if got := fmt.Sprint(paused); got != want || rows != 2 {
			t.Errorf("paused %s, want %s; %d rows of the table that flows", got, want, rows)
		}
		for _, w := range []string{"table shop.m", "partial rows", "binlog_row_image", "new snapshot"} {
			if !strings.Contains(image.Text, w) {
				t.Errorf("%q is not in %q", w, image.Text)
			}
		}
		// Resumed, a table flows again behind a new snapshot.
		s.SetPaused(event.TableName{DB: "shop", Table: "m"}, false)
		g := newTarget(t)
		drive(t, s, g, func(it *event.Item) bool { return g.ends == 1 })
		sameRows(t, g.texts(), serverRows(t, db, "SELECT * FROM shop.m"))
	})
}

// TestCompressedLogsGiveTheSameItems compares a compressed log with a plain one.
func TestCompressedLogsGiveTheSameItems(t *testing.T) {
	for kind, arg := range map[string]string{"mariadb": "--log-bin-compress=ON", "mysql": "--binlog-transaction-compression=ON"} {
		t.Run(kind, func(t *testing.T) {
			var texts [2]string
			var last [2]event.Seq
			for i, args := range [][]string{nil, {arg}} {
				srv := servers[kind](t, args...)
				db, err := srv.Open("")
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
				prepare(t, db)
				s := newSource(t, testConfig(srv, "shop.*"))
				opened := openSource(t, s, pipeline.Resume{})
				workload(t, db, 20000)
				var b strings.Builder
				mid := 0
				all := collect(t, s, upTo("99,end"))
				for k, it := range all {
					if it.Kind == event.KindRow || it.Kind == event.KindDDL {
						fmt.Fprintln(&b, it.text, it.Seq.Counter()-all[0].Seq.Counter())
						last[i] = it.Seq - all[0].Seq
					}
					if k < len(all)/2 && it.Kind == event.KindRow {
						mid = k
					}
				}
				texts[i] = b.String()
				it := all[mid]
				at := it.Tx.Start
				at.Done, at.DoneID = it.Seq, it.Identity()
				first, order := numbers(all)
				checkFrom(t, srv, at, schemasOf(all[:mid+1], opened), after(order, first, it.Seq), first, "shop.*")
			}
			if texts[0] != texts[1] || last[0] != last[1] {
				t.Errorf("a compressed log gives other items: %d and %d bytes of text", len(texts[0]), len(texts[1]))
			}
		})
	}
}

// TestStatementsBesideASnapshot changes the table between the reading of a chunk and its
// place.
func TestStatementsBesideASnapshot(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v VARCHAR(20))")
		var vals []string
		for k := range 2000 {
			vals = append(vals, fmt.Sprintf("(%d,'v')", k))
		}
		exec(t, db, "INSERT INTO shop.a VALUES "+strings.Join(vals, ","))
		cfg := testConfig(srv, "shop.*")
		cfg.Snapshot.ChunkRows = 100
		s := newSource(t, cfg)
		openSource(t, s, pipeline.Resume{})
		g := newTarget(t)
		chunks := 0
		s.RequestSnapshot([]event.TableName{tableA}, "test")
		drive(t, s, g, func(it *event.Item) bool {
			if it.Kind == event.KindChunkEnd {
				switch chunks++; chunks {
				case 3:
					exec(t, db, "ALTER TABLE shop.a ADD COLUMN w INT NOT NULL DEFAULT 5")
				case 6:
					exec(t, db, "DELETE FROM shop.a WHERE id % 3 = 0", "TRUNCATE TABLE shop.a", "INSERT INTO shop.a (id,v) VALUES (7,'x'),(3000,'y')")
				}
			}
			return g.ends == 1
		})
		exec(t, db, "INSERT INTO shop.a VALUES (9999,'end',1)")
		found := false
		drive(t, s, g, func(it *event.Item) bool {
			found = found || it.Kind == event.KindRow && strings.Contains(describe(it), "9999,end")
			return found && it.Kind == event.KindCommit
		})
		sameRows(t, g.texts(), serverRows(t, db, "SELECT * FROM shop.a"))
	})
}

// TestSnapshotGoesOnAtItsCursor stops in the middle of an attempt.
func TestSnapshotGoesOnAtItsCursor(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (g CHAR(3) CHARACTER SET latin1 COLLATE latin1_swedish_ci, d DATETIME(2), u DECIMAL(6,2), id INT, PRIMARY KEY (g, d, u, id))")
		for k := range 20 {
			var vals []string
			for i := range 50 {
				vals = append(vals, fmt.Sprintf("('%c%c','2024-01-%02d 00:00:00.%02d',%d.5,%d)", 'a'+i%4, "éEeA"[i%4], 1+i%7, i, i%3, k*50+i))
			}
			exec(t, db, "INSERT INTO shop.a VALUES "+strings.Join(vals, ","))
		}
		cfg := testConfig(srv, "shop.*")
		cfg.Snapshot.ChunkRows = 33
		s := newSource(t, cfg)
		opened := openSource(t, s, pipeline.Resume{})
		g := newTarget(t)
		s.RequestSnapshot([]event.TableName{tableA}, "test")
		var at event.Position
		var attempt event.Attempt
		drive(t, s, g, func(it *event.Item) bool {
			if it.Kind == event.KindChunkEnd && attempt.Chunk < 7 {
				at, attempt = *it.Commit, *it.Attempt
			}
			return attempt.Chunk == 7
		})
		s.Close()
		begun := g.begin
		s = newSource(t, cfg)
		// What was handed over behind the position is not part of it.
		exec(t, db, "DELETE FROM shop.a WHERE id % 7 = 0", "INSERT INTO shop.a VALUES ('zz','2024-01-01',1,5000)")
		openSource(t, s, pipeline.Resume{Position: at, Epoch: at.Epoch, Schemas: schemasOf(nil, opened), Attempts: []event.Attempt{attempt}})
		g.last = event.MakeSeq(at.Epoch, at.Counter-1)
		drive(t, s, g, func(it *event.Item) bool { return g.ends == 1 })
		if g.begin != begun {
			t.Error("the attempt began anew")
		}
		exec(t, db, "INSERT INTO shop.a VALUES ('end','2024-01-01',1,9999)")
		found := false
		drive(t, s, g, func(it *event.Item) bool {
			found = found || it.Kind == event.KindRow && strings.Contains(describe(it), "end,")
			return found && it.Kind == event.KindCommit
		})
		sameRows(t, g.texts(), serverRows(t, db, "SELECT * FROM shop.a"))
	})
}

// TestReservedNumbersAreJumpedOver reads a log again in which chunks took numbers.
func TestReservedNumbersAreJumpedOver(t *testing.T) {
	srv := testenv.MariaDB(t)
	db, err := srv.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	prepare(t, db)
	s := newSource(t, testConfig(srv, "shop.*"))
	opened := openSource(t, s, pipeline.Resume{})
	exec(t, db, "INSERT INTO shop.a VALUES (1,'one')")
	var all []seen
	keepAll := func(stop func(seen) bool) {
		all = append(all, collect(t, s, func(it seen) bool {
			if it.Commit != nil {
				s.Resolved(*it.Commit)
			}
			return stop(it)
		})...)
	}
	keepAll(upTo("1,one"))
	s.RequestSnapshot([]event.TableName{tableA}, "test")
	keepAll(func(it seen) bool { return it.Kind == event.KindEnd })
	exec(t, db, "INSERT INTO shop.a VALUES (99,'end')")
	keepAll(upTo("99,end"))
	s.Close()
	var reserved []event.Reservation
	stream := map[string]event.Seq{}
	for _, it := range all {
		switch {
		case it.Kind == event.KindBegin || it.Kind == event.KindEnd || it.Op == event.OpRead:
			reserved = append(reserved, event.Reservation{At: it.Seq.Counter(), Count: 2})
		case it.Kind == event.KindRow:
			stream[it.text] = it.Seq
		}
	}
	again := newSource(t, testConfig(srv, "shop.*"))
	openSource(t, again, pipeline.Resume{Position: opened.Position, Epoch: 1, Reserved: reserved, Schemas: schemasOf(nil, opened)})
	for _, it := range collect(t, again, upTo("99,end")) {
		if it.Kind == event.KindRow && stream[it.text] != it.Seq {
			t.Errorf("%s has number %d, had %d", it.text, it.Seq, stream[it.text])
		}
	}
}

// TestAnotherServerGoesOnByGTID moves to a server that has the same transactions.
func TestAnotherServerGoesOnByGTID(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		prepare(t, db)
		s := newSource(t, testConfig(srv, "shop.*"))
		opened := openSource(t, s, pipeline.Resume{})
		exec(t, db, "INSERT INTO shop.a VALUES (1,'one')", "INSERT INTO shop.a VALUES (2,'two')")
		all := collect(t, s, upTo("2,two"))
		s.Close()
		exec(t, db, "INSERT INTO shop.a VALUES (99,'end')")
		at := *all[len(all)-1].Commit
		at.Server, at.File, at.Pos = "another", "other-bin.000042", 4711 // the same history under another name
		again := newSource(t, testConfig(srv, "shop.*"))
		if _, err := again.Open(t.Context(), pipeline.Resume{Position: at, Epoch: 1}); !errors.Is(err, pipeline.ErrOtherServer) {
			t.Fatal("another server was not noticed:", err)
		}
		openSource(t, again, pipeline.Resume{Position: at, Epoch: 2, NewServer: true, Schemas: schemasOf(nil, opened)})
		rows := ""
		for _, it := range collect(t, again, upTo("99,end")) {
			if it.Kind == event.KindRow {
				rows += it.text + ";"
				if it.Seq.Epoch() != 2 {
					t.Errorf("epoch %d", it.Seq.Epoch())
				}
			}
		}
		if rows != "c shop.a -> 99,end;" {
			t.Errorf("rows %s", rows)
		}
	})
}

// TestForeignKeysOfMariaDBMakeASnapshotDue: the server changes rows and logs nothing.
func TestForeignKeysOfMariaDBMakeASnapshotDue(t *testing.T) {
	srv := testenv.MariaDB(t)
	db, err := srv.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.p (id INT PRIMARY KEY)",
		"CREATE TABLE shop.a (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES shop.p(id) ON DELETE CASCADE)",
		"INSERT INTO shop.p VALUES (1),(2),(3)", "INSERT INTO shop.a VALUES (1,1),(2,2)",
		"CREATE USER reader@'%'", "GRANT SELECT, REPLICATION SLAVE, BINLOG MONITOR ON *.* TO reader@'%'")
	cfg := testConfig(srv, "shop.*")
	cfg.User = "reader"
	s := newSource(t, cfg)
	openSource(t, s, pipeline.Resume{})
	exec(t, db, "DELETE FROM shop.p WHERE id=1")
	g := newTarget(t)
	drive(t, s, g, func(it *event.Item) bool { return g.ends == 1 })
	// A key that is made while the log is read does it too.
	exec(t, db, "CREATE TABLE shop.child (id INT PRIMARY KEY, p INT)",
		"ALTER TABLE shop.child ADD FOREIGN KEY (p) REFERENCES shop.p(id) ON DELETE CASCADE",
		"INSERT INTO shop.child VALUES (7,3)", "DELETE FROM shop.p WHERE id=3")
	drive(t, s, newTarget(t), func(it *event.Item) bool { return it.Kind == event.KindEnd && it.Table.Name.Table == "child" })
	delete(g.rows, "")
	var rows []string
	for _, r := range g.texts() {
		if strings.Contains(r, ",") {
			rows = append(rows, r)
		}
	}
	sameRows(t, rows, serverRows(t, db, "SELECT * FROM shop.a"))
}

// TestSnapshotWithoutGTID runs on a MySQL that has none.
func TestSnapshotWithoutGTID(t *testing.T) {
	srv := testenv.MySQL(t, "--gtid-mode=OFF", "--enforce-gtid-consistency=OFF")
	db, err := srv.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	prepare(t, db)
	exec(t, db, "INSERT INTO shop.a VALUES (1,'one'),(2,'two'),(3,'three')")
	s := newSource(t, testConfig(srv, "shop.a"))
	openSource(t, s, pipeline.Resume{})
	s.RequestSnapshot([]event.TableName{tableA}, "test")
	g := newTarget(t)
	drive(t, s, g, func(it *event.Item) bool { return g.ends == 1 })
	exec(t, db, "UPDATE shop.a SET id=9 WHERE id=1", "INSERT INTO shop.a VALUES (99,'end')")
	found := false
	drive(t, s, g, func(it *event.Item) bool {
		found = found || it.Kind == event.KindRow && strings.Contains(describe(it), "99,end")
		return found && it.Kind == event.KindCommit
	})
	sameRows(t, g.texts(), serverRows(t, db, "SELECT * FROM shop.a"))
}
