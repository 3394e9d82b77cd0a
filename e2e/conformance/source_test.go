package conformance

import (
	"database/sql"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/connectors/mysql"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/pipelinetest"
)

func TestMariaDBIsASource(t *testing.T) { mysqlSource(t, testenv.MariaDB(t)) }
func TestMySQLIsASource(t *testing.T)   { mysqlSource(t, testenv.MySQL(t)) }

// mysqlSource gives every test a database of its own on one server.
func mysqlSource(t *testing.T, server *testenv.Server) {
	db, err := server.Open("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	n := 0
	pipelinetest.Source(t, func(t testing.TB) pipelinetest.SourceUnderTest {
		n++
		name := fmt.Sprintf("shop%d", n)
		run(t, db, "CREATE DATABASE "+name, "CREATE TABLE "+name+".orders (id INT PRIMARY KEY, v VARCHAR(20))")
		cfg := mysql.DefaultConfig()
		cfg.Address, cfg.User, cfg.Tables = server.Addr, "root", []string{name + ".*"}
		cfg.Heartbeat, cfg.Snapshot.ChunkRows = 200*time.Millisecond, 3
		return pipelinetest.SourceUnderTest{
			New:   func() (pipeline.Source, error) { return mysql.New(cfg, slog.New(slog.DiscardHandler), nil) },
			Table: event.TableName{DB: name, Table: "orders"},
			Commit: func(ids ...int) error {
				var values []string
				for _, id := range ids {
					values = append(values, fmt.Sprintf("(%d, 'v')", id))
				}
				_, err := db.Exec("INSERT INTO " + name + ".orders VALUES " + strings.Join(values, ", "))
				return err
			},
			Purge: func() error { return purge(db) },
		}
	})
}

func run(t testing.TB, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// purge begins a new log and takes all others away. A log that a reader which has just
// gone still holds open is not taken: the server notices by and by.
func purge(db *sql.DB) error {
	deadline := time.NewTimer(2 * time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := db.Exec("FLUSH BINARY LOGS"); err != nil {
			return err
		}
		logs, err := binaryLogs(db)
		if err != nil {
			return err
		}
		if _, err := db.Exec("PURGE BINARY LOGS TO '" + logs[len(logs)-1] + "'"); err != nil {
			return err
		}
		if logs, err = binaryLogs(db); err != nil || len(logs) == 1 {
			return err
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return fmt.Errorf("the server keeps the logs %v", logs)
		}
	}
}

func binaryLogs(db *sql.DB) (names []string, err error) {
	rows, err := db.Query("SHOW BINARY LOGS")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		var name string
		dest := []any{&name}
		for range columns[1:] {
			dest = append(dest, new(sql.NullString))
		}
		if err := rows.Scan(dest...); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}
