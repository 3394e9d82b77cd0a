package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/connectors/mysql/stream"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
)

// session runs statements on one connection; those that a server refuses are part of the
// case.
type session struct {
	t    *testing.T
	conn *sql.Conn
}

func newSession(t *testing.T, db *sql.DB) *session {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &session{t: t, conn: conn}
}

func (s *session) run(statements ...string) {
	s.t.Helper()
	for _, q := range statements {
		if _, err := s.conn.ExecContext(context.Background(), q); err != nil {
			s.t.Logf("%s: %v", q, err)
		}
	}
}

// rolledBack are transactions of which the log holds more than becomes of them. What is in
// the tables afterwards is the server's word. MySQL leaves most of it out of its log, or
// refuses the statement under GTIDs.
var rolledBack = [][]string{
	// Tables made or dropped for the session: MariaDB cannot take the transaction back as a whole.
	{"BEGIN", "INSERT INTO r.b VALUES (10)", "CREATE TEMPORARY TABLE r.tt (a INT)", "INSERT INTO r.b VALUES (11)", "ROLLBACK"},
	{"BEGIN", "INSERT INTO r.b VALUES (20)", "DROP TEMPORARY TABLE r.tt", "INSERT INTO r.b VALUES (21)", "ROLLBACK"},
	{"BEGIN", "INSERT INTO r.d VALUES (30)", "SAVEPOINT s", "CREATE TEMPORARY TABLE r.t2 (a INT)", "INSERT INTO r.d VALUES (31)", "ROLLBACK TO s", "COMMIT"},
	{"BEGIN", "INSERT INTO r.b VALUES (40)", "DROP TEMPORARY TABLE IF EXISTS r.none", "INSERT INTO r.b VALUES (41)", "ROLLBACK"},
	{"BEGIN", "INSERT INTO r.b VALUES (42)", "DROP TEMPORARY TABLE IF EXISTS r.none", "INSERT INTO r.b VALUES (43)", "COMMIT"},
	// Tables without transactions in between: their rows stay.
	{"BEGIN", "INSERT INTO r.d VALUES (50)", "INSERT INTO r.m VALUES (50)", "UPDATE r.d SET id=51 WHERE id=50", "ROLLBACK"},
	{"BEGIN", "INSERT INTO r.d VALUES (60)", "SAVEPOINT s", "INSERT INTO r.m VALUES (60)", "INSERT INTO r.d VALUES (61)", "DELETE FROM r.d WHERE id=60",
		"ROLLBACK TO s", "INSERT INTO r.d VALUES (62)", "COMMIT"},
	{"BEGIN", "INSERT INTO r.d VALUES (70)", "SAVEPOINT s", "INSERT INTO r.ar VALUES (70)", "INSERT INTO r.d VALUES (71)", "ROLLBACK TO s", "INSERT INTO r.d VALUES (72)", "COMMIT"},
	{"BEGIN", "INSERT INTO r.d VALUES (75)", "SAVEPOINT s", "INSERT INTO r.fires VALUES (75)", "INSERT INTO r.d VALUES (76)", "ROLLBACK TO s", "COMMIT"},
	{"INSERT INTO r.fires VALUES (77),(78),(77)"},
	// Savepoints in savepoints, used again, released; names as they may be.
	{"BEGIN", "INSERT INTO r.m VALUES (80)", "INSERT INTO r.d VALUES (80)", "CREATE TEMPORARY TABLE r.t3 (a INT)", "SAVEPOINT a", "INSERT INTO r.d VALUES (81)", "SAVEPOINT b",
		"INSERT INTO r.d VALUES (82)", "ROLLBACK TO b", "INSERT INTO r.d VALUES (83)", "ROLLBACK TO a", "INSERT INTO r.d VALUES (84)", "SAVEPOINT b", "INSERT INTO r.d VALUES (85)",
		"ROLLBACK TO SAVEPOINT a", "INSERT INTO r.d VALUES (86)", "COMMIT"},
	{"BEGIN", "CREATE TEMPORARY TABLE r.t4 (a INT)", "SAVEPOINT a", "INSERT INTO r.d VALUES (90)", "SAVEPOINT A", "INSERT INTO r.d VALUES (91)", "ROLLBACK TO a", "INSERT INTO r.d VALUES (92)", "COMMIT"},
	{"BEGIN", "CREATE TEMPORARY TABLE r.t5 (a INT)", "SAVEPOINT a", "INSERT INTO r.d VALUES (100)", "SAVEPOINT b", "INSERT INTO r.d VALUES (101)", "RELEASE SAVEPOINT b",
		"INSERT INTO r.d VALUES (102)", "ROLLBACK TO b", "SAVEPOINT c", "INSERT INTO r.d VALUES (103)", "ROLLBACK TO c", "COMMIT"},
	{"BEGIN", "CREATE TEMPORARY TABLE r.t6 (a INT)", "SAVEPOINT `o``d d`", "INSERT INTO r.d VALUES (110)", "ROLLBACK WORK TO SAVEPOINT `O``D D`", "SAVEPOINT `é`", "INSERT INTO r.d VALUES (111)",
		"ROLLBACK TO `E`", "SET @m=@@sql_mode", "SET sql_mode=CONCAT(@@sql_mode,',ANSI_QUOTES')", `SAVEPOINT "q""r"`, "INSERT INTO r.d VALUES (112)", `ROLLBACK TO "q""r"`, "SET sql_mode=@m",
		"SAVEPOINT `ROLLBACK`", "INSERT INTO r.d VALUES (113)", "COMMIT"},
	// All kinds of changes, taken back; and the same rows once more, to stay.
	{"BEGIN", "INSERT INTO r.b VALUES (120),(121)", "CREATE TEMPORARY TABLE r.t7 (a INT)", "UPDATE r.b SET id=id+1000 WHERE id=120", "DELETE FROM r.b WHERE id=121", "INSERT INTO r.k VALUES (1),(1)", "UPDATE r.k SET v=2", "ROLLBACK"},
	{"BEGIN", "INSERT INTO r.b VALUES (120),(121)", "UPDATE r.b SET id=id+1000 WHERE id=120", "INSERT INTO r.k VALUES (1),(1)", "COMMIT"},
	// The format of replication that mixes statements and rows.
	{"SET SESSION binlog_format=MIXED", "BEGIN", "INSERT INTO r.d SELECT 130+FLOOR(RAND()*0)", "INSERT INTO r.d VALUES (131)", "INSERT INTO r.fires VALUES (132)", "ROLLBACK"},
}

func rolledBackTables(t *testing.T, db *sql.DB) {
	exec(t, db, "CREATE DATABASE r", "CREATE TABLE r.b (id INT PRIMARY KEY)", "CREATE TABLE r.d (id INT PRIMARY KEY)",
		"CREATE TABLE r.k (v INT)",
		"CREATE TABLE r.m (id INT PRIMARY KEY) ENGINE=MyISAM", "CREATE TABLE r.fires (id INT PRIMARY KEY)", "CREATE TABLE r.z (id INT PRIMARY KEY)",
		"CREATE TRIGGER r.x AFTER INSERT ON r.fires FOR EACH ROW INSERT INTO r.m VALUES (NEW.id+1000)")
	if _, err := db.Exec("CREATE TABLE r.ar (id INT PRIMARY KEY) ENGINE=Aria"); err != nil {
		exec(t, db, "CREATE TABLE r.ar (id INT PRIMARY KEY) ENGINE=MyISAM")
	}
}

// TestRolledBackRowsAreLeftOut runs transactions that are rolled back, wholly or in part,
// with enough memory to hold them and with none.
func TestRolledBackRowsAreLeftOut(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		rolledBackTables(t, db)
		sources := map[string]*Source{}
		for name, memory := range map[string]int64{"memory": 0, "disk": 1} {
			cfg := testConfig(srv, "r.*")
			cfg.Held = HeldConfig{Dir: t.TempDir(), Memory: memory}
			sources[name] = newSource(t, cfg)
			openSource(t, sources[name], pipeline.Resume{})
		}
		for _, statements := range rolledBack {
			newSession(t, db).run(statements...)
		}
		exec(t, db, "INSERT INTO r.z VALUES (999)")
		for name, s := range sources {
			states := map[string]*target{}
			for _, it := range collect(t, s, upTo("999")) {
				if it.Table == nil {
					continue
				}
				table := it.Table.Name.Table
				if states[table] == nil {
					states[table] = newTarget(t)
				}
				states[table].apply(&it.Item)
			}
			for _, table := range []string{"b", "d", "m", "ar", "fires", "k"} {
				rows := []string{}
				if states[table] != nil {
					rows = states[table].texts()
				}
				t.Run(name+"/"+table, func(t *testing.T) { sameRows(t, rows, serverRows(t, db, "SELECT * FROM r."+table)) })
			}
		}
	})
}

// TestALargeRolledBackTransaction rolls back more than is held in memory and more than one
// call of Next gives, and drops the connection while the reader is in it.
func TestALargeRolledBackTransaction(t *testing.T) {
	srv := testenv.MariaDB(t)
	db, err := srv.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rolledBackTables(t, db)
	exec(t, db, "CREATE TABLE r.big (id INT PRIMARY KEY, v VARCHAR(200))")
	cfg := testConfig(srv, "r.*")
	cfg.Held = HeldConfig{Dir: t.TempDir(), Memory: 1 << 20}
	s := newSource(t, cfg)
	openSource(t, s, pipeline.Resume{})
	fill := "INSERT INTO r.big SELECT seq, REPEAT('x', 150) FROM seq_1_to_40000"
	newSession(t, db).run("BEGIN", "INSERT INTO r.d VALUES (1)", "SAVEPOINT a", "CREATE TEMPORARY TABLE r.tt (a INT)", fill,
		"ROLLBACK TO a", "INSERT INTO r.d VALUES (2)", "COMMIT",
		"BEGIN", fill, "CREATE TEMPORARY TABLE r.tu (a INT)", "ROLLBACK", "BEGIN", fill, "UPDATE r.big SET v='y' WHERE id<10", "COMMIT")
	exec(t, db, "INSERT INTO r.z VALUES (999)")
	drops, items := 0, 0
	big, small := newTarget(t), newTarget(t)
	for _, it := range collect(t, s, func(it seen) bool {
		if items++; items%9000 == 0 && drops < 5 {
			drops++
			s.o.rd.Drop()
		}
		return upTo("999")(it) || it.Table != nil && it.Table.Name.Table == "z"
	}) {
		switch {
		case it.Table == nil:
		case it.Table.Name.Table == "big":
			big.apply(&it.Item)
		case it.Table.Name.Table == "d":
			small.apply(&it.Item)
		}
	}
	sameRows(t, big.texts(), serverRows(t, db, "SELECT * FROM r.big"))
	sameRows(t, small.texts(), serverRows(t, db, "SELECT * FROM r.d"))
	left, err := os.ReadDir(cfg.Held.Dir)
	if err != nil || len(left) > 0 {
		t.Errorf("files that hold transactions have names: %v, %v", left, err)
	}
	if memory, disk := s.o.store.Held(); memory != 0 || disk != 0 {
		t.Errorf("%d bytes of memory and %d in files are held when nothing is", memory, disk)
	}
}

// TestNoFlagTellsHowATransactionEnds is the proof behind the waiting: MariaDB writes the
// same GTID event, but for the number, in front of a transaction that it commits and of one
// that it rolls back.
func TestNoFlagTellsHowATransactionEnds(t *testing.T) {
	srv := testenv.MariaDB(t)
	db, err := srv.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rolledBackTables(t, db)
	exec(t, db, "FLUSH BINARY LOGS")
	s := newSession(t, db)
	for _, end := range []string{"COMMIT", "ROLLBACK"} {
		s.run("BEGIN", "INSERT INTO r.b VALUES (1)", "DROP TEMPORARY TABLE IF EXISTS r.none",
			"INSERT INTO r.b VALUES (2)", end, "DELETE FROM r.b")
	}
	exec(t, db, "FLUSH BINARY LOGS")
	_, file := lastLog(t, db)
	raw, err := os.ReadFile(filepath.Join(srv.Data, strings.TrimSuffix(file, file[len(file)-6:])+fmt.Sprintf("%06d", fileNumber(file)-1)))
	if err != nil {
		t.Fatal(err)
	}
	events, err := stream.ParseFile("f", raw)
	if err != nil {
		t.Fatal(err)
	}
	flags := map[string][]string{}
	last := ""
	for i := range events {
		switch e := &events[i]; e.Type {
		case stream.MariaGTIDEvent:
			last = fmt.Sprintf("%x", e.Body[8:])
		case stream.XIDEvent:
			flags["commit"] = append(flags["commit"], last)
		case stream.QueryEvent:
			if q, err := stream.QueryText(e); err == nil && string(q) == "ROLLBACK" {
				flags["rollback"] = append(flags["rollback"], last)
			}
		}
	}
	if len(flags["rollback"]) != 1 || len(flags["commit"]) == 0 || flags["commit"][0] != flags["rollback"][0] {
		t.Errorf("the flags differ: the end may be known earlier than at the end: %v", flags)
	}
}
