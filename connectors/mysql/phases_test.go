package mysql

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// TestAnAlterInTwoPhasesChangesItsTableWhereItCommits writes beside ALTERs that MariaDB
// logs before they run and behind them, one of which is taken back.
func TestAnAlterInTwoPhasesChangesItsTableWhereItCommits(t *testing.T) {
	srv := testenv.MariaDB(t)
	db, err := srv.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY AUTO_INCREMENT, a INT, b INT, p VARCHAR(200))",
		"INSERT INTO shop.a (a,b,p) SELECT 1, 2, REPEAT('x',150) FROM shop.seq_1_to_40000", "CREATE TABLE shop.e (id INT PRIMARY KEY)")
	s := newSource(t, testConfig(srv, "shop.*"))
	openSource(t, s, pipeline.Resume{})
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	done := make(chan error, 1)
	go func() {
		var err error
		for _, q := range []string{"SET SESSION binlog_alter_two_phase=1", "ALTER TABLE shop.a MODIFY a INT AFTER b, FORCE, ALGORITHM=INPLACE, LOCK=NONE"} {
			if _, e := conn.ExecContext(t.Context(), q); e != nil {
				err = e
			}
		}
		// This one fails behind its start: the copied rows break the new key.
		if _, e := conn.ExecContext(t.Context(), "ALTER TABLE shop.a MODIFY b INT AFTER p, ADD UNIQUE KEY (a), ALGORITHM=COPY"); e == nil {
			err = fmt.Errorf("a key over equal values was made")
		}
		done <- err
	}()
	n := 0
	for finished := false; !finished || n < 20; n++ {
		exec(t, db, "INSERT INTO shop.a (a,b,p) VALUES (1,2,'during')")
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			finished = true
		default:
		}
	}
	exec(t, db, "INSERT INTO shop.a (a,b,p) VALUES (1,2,'after')", "INSERT INTO shop.e VALUES (99)")
	rows := 0
	for _, it := range collect(t, s, upTo("-> 99")) {
		switch {
		case it.Kind == event.KindPaused || it.Kind == event.KindDDL && it.DDL.Due != "":
			t.Error(it.text)
		case it.Kind == event.KindRow && it.Table.Name == tableA:
			rows++
			c := it.Table.Schema.Columns
			vals, err := event.Values(it.After, it.Table.Schema, nil)
			if err != nil {
				t.Fatal(err)
			}
			for i := range c {
				if text := string(event.AppendValueText(nil, &c[i], vals[i])); c[i].Name == "a" && text != "1" || c[i].Name == "b" && text != "2" {
					t.Fatalf("column %s is %s: %s", c[i].Name, text, it.text)
				}
			}
		}
	}
	if rows != n+1 {
		t.Errorf("%d rows of %d", rows, n+1)
	}
	var started int
	if err := db.QueryRow("SELECT COUNT(*) FROM information_schema.SYSTEM_VARIABLES WHERE VARIABLE_NAME = 'BINLOG_ALTER_TWO_PHASE'").Scan(&started); err != nil || started == 0 {
		t.Error("the server has no ALTER in two phases", err)
	}
}

// TestLoadDataOfASessionThatLogsStatementsPausesItsTable: such a LOAD DATA is in the log as
// an event of its own kind.
func TestLoadDataOfASessionThatLogsStatementsPausesItsTable(t *testing.T) {
	for kind, start := range servers {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			srv := start(t, "--secure-file-priv=")
			db, err := srv.Open("")
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.ld (id INT PRIMARY KEY, v INT)", "CREATE TABLE shop.b (id INT PRIMARY KEY)",
				"INSERT INTO shop.ld VALUES (1,1),(2,2)")
			file := strings.ReplaceAll(t.TempDir(), "'", "") + "/rows.csv"
			exec(t, db, "SELECT * INTO OUTFILE '"+file+"' FIELDS TERMINATED BY ',' FROM shop.ld", "DELETE FROM shop.ld")
			s := newSource(t, testConfig(srv, "shop.*"))
			openSource(t, s, pipeline.Resume{})
			conn, err := db.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for _, q := range []string{"USE shop", "SET SESSION binlog_format='STATEMENT'", "LOAD DATA INFILE '" + file + "' INTO TABLE ld FIELDS TERMINATED BY ','",
				"SET SESSION binlog_format='ROW'", "INSERT INTO b VALUES (99)"} {
				if _, err := conn.ExecContext(t.Context(), q); err != nil {
					t.Fatalf("%s: %v", q, err)
				}
			}
			paused := ""
			for _, it := range collect(t, s, upTo("-> 99")) {
				if it.Kind == event.KindPaused {
					paused += it.Table.Name.Table + " " + string(it.Reason.Code) + ";"
				}
			}
			if paused != "ld statement;" {
				t.Errorf("paused: %q", paused)
			}
		})
	}
}
