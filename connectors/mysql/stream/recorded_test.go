package stream

import (
	"database/sql"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
)

var record = flag.Bool("record", false, "record new logs and what is read from them in testdata")

// servers are started with what makes events of every kind: compressed ones above all.
var servers = map[string]func(t testing.TB) *testenv.Server{
	"mariadb": func(t testing.TB) *testenv.Server {
		return testenv.MariaDB(t, "--log-bin-compress=ON", "--log-bin-compress-min-len=10", "--binlog-alter-two-phase=ON")
	},
	"mysql": func(t testing.TB) *testenv.Server {
		return testenv.MySQL(t, "--binlog-transaction-compression=ON", "--binlog-rows-query-log-events=ON")
	},
}

// recordedScript is what the recorded logs hold; statements that a server does not know are
// left out of its log.
var recordedScript = []string{
	"CREATE DATABASE s", "CREATE TABLE s.t (id INT PRIMARY KEY, v VARCHAR(200) CHARACTER SET utf8mb4)",
	"INSERT INTO s.t VALUES (1,'one'),(2,REPEAT('x',200))", "UPDATE s.t SET v='zwei' WHERE id=2", "DELETE FROM s.t WHERE id=1",
	"ALTER TABLE s.t ADD COLUMN w INT", "SET NAMES latin1", "INSERT INTO s.t VALUES (3,'drei',3)",
	"XA START 'a','b',7", "INSERT INTO s.t VALUES (4,'vier',4)", "XA END 'a','b',7", "XA PREPARE 'a','b',7", "XA COMMIT 'a','b',7",
	"XA START 'c'", "INSERT INTO s.t VALUES (5,'fünf',5)", "XA END 'c'", "XA COMMIT 'c' ONE PHASE",
	"BEGIN", "INSERT INTO s.t VALUES (6,'sechs',6)", "SAVEPOINT `s`", "CREATE TEMPORARY TABLE s.tt (a INT)", "INSERT INTO s.t VALUES (7,'sieben',7)", "ROLLBACK TO `s`", "COMMIT",
	"SET gtid_next='AUTOMATIC:tag'", "INSERT INTO s.t VALUES (8,'acht',8)", "INSERT INTO s.t VALUES (9,'neun',9)",
}

// TestRecordedLogs reads logs of both servers and compares what is found in them, event by
// event.
func TestRecordedLogs(t *testing.T) {
	for kind, start := range servers {
		t.Run(kind, func(t *testing.T) {
			log, want := filepath.Join("testdata", kind+".binlog"), filepath.Join("testdata", kind+".txt")
			if *record {
				srv := start(t)
				raw := recordLog(t, srv)
				if err := os.MkdirAll("testdata", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(log, raw, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			raw, err := os.ReadFile(log)
			if err != nil {
				t.Fatal(err)
			}
			events, err := ParseFile("binlog.000002", raw)
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			for i := range events {
				b.WriteString(eventText(t, &events[i]))
			}
			if *record {
				if err := os.WriteFile(want, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			text, err := os.ReadFile(want)
			if err != nil {
				t.Fatal(err)
			}
			if b.String() != string(text) {
				t.Errorf("got\n%s\nwant\n%s", b.String(), text)
			}
		})
	}
}

// recordLog runs the script on one connection and returns the log file that holds it.
func recordLog(t *testing.T, srv *testenv.Server) []byte {
	t.Helper()
	db, err := srv.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	run := func(q string) {
		if _, err := conn.ExecContext(t.Context(), q); err != nil {
			t.Logf("%s: %v", q, err)
		}
	}
	run("FLUSH BINARY LOGS")
	file := logs(t, db)
	for _, q := range recordedScript {
		run(q)
	}
	run("SET gtid_next='AUTOMATIC'")
	run("FLUSH BINARY LOGS")
	raw, err := os.ReadFile(filepath.Join(srv.Data, file[len(file)-1]))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// logs are the names of the server's log files.
func logs(t *testing.T, db *sql.DB) (names []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SHOW BINARY LOGS")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	cols, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		name := ""
		dest := []any{&name}
		for range cols[1:] {
			dest = append(dest, new(sql.RawBytes))
		}
		if err := rows.Scan(dest...); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	return names
}

// eventText is an event in a line: its place, and what the package knows of its kind.
func eventText(t *testing.T, e *Event) string {
	t.Helper()
	text := fmt.Sprintf("%d-%d type %d, %d bytes", e.Place.Start, e.Place.End, e.Type, len(e.Body))
	if e.Packed {
		text += ", packed"
	}
	switch e.Type {
	case MariaGTIDEvent, GTIDEvent, GTIDTaggedEvent:
		g, err := ParseGTID(e)
		if err != nil {
			t.Fatal(err)
		}
		text += " gtid " + string(g.AppendText(nil))
		for _, flag := range []struct {
			on   bool
			name string
		}{{g.Standalone, "standalone"}, {g.Prepared, "prepared"}, {g.Completed, "completed"}, {g.Alter == AlterStarts, "alter starts"},
			{g.Alter == AlterCommits, "alter commits"}, {g.Micros != 0, "dated"}} {
			if flag.on {
				text += " " + flag.name
			}
		}
	case QueryEvent, MariaQueryCompressed:
		q, err := ParseQuery(e)
		if err != nil {
			t.Fatal(err)
		}
		only, err := QueryText(e)
		if err != nil || string(only) != string(q.SQL) {
			t.Fatalf("the text alone is %q, %v; the whole query has %q", only, err, q.SQL)
		}
		text += fmt.Sprintf(" %q in %q, mode %d, charset %d", q.SQL, q.DB, q.SQLMode, q.ClientSet)
	case FormatEvent:
		text += " of " + Version(e)
	case MariaWriteCompressed, MariaUpdateCompressed, MariaDeleteCompressed:
		const head = 8 + 1 + 1 // without the bitmaps, which differ
		if len(e.Body) < head {
			t.Fatal(text)
		}
	}
	return text + "\n"
}
