package testenv_test

import (
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/testenv/chserver"
)

func TestServersAnswerAndLogRows(t *testing.T) {
	for name, start := range map[string]func(testing.TB, ...string) *testenv.Server{"mariadb": testenv.MariaDB, "mysql": testenv.MySQL} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			t.Log(s.Version)
			db, err := s.Open("")
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			var format string
			if err := db.QueryRow("SELECT @@binlog_format").Scan(&format); err != nil || format != "ROW" {
				t.Fatalf("binlog_format %q, %v", format, err)
			}
			if _, err := db.Exec("CREATE DATABASE a; CREATE TABLE a.t (id INT PRIMARY KEY); INSERT INTO a.t VALUES (1)"); err != nil {
				t.Fatal(err)
			}
			if err := s.Stop(); err != nil {
				t.Fatal(err)
			}
			if err := s.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			var n int
			if err := db.QueryRow("SELECT COUNT(*) FROM a.t").Scan(&n); err != nil || n != 1 {
				t.Fatalf("%d rows, %v", n, err)
			}
		})
	}
}

// A server that is named stands for a real one: a test has a database of its own there.
func TestADatabaseOfItsOwnOnANamedClickHouse(t *testing.T) {
	s := testenv.ClickHouseWithFaults(t, chserver.Options{})
	t.Setenv("MILLRACE_TEST_CLICKHOUSE", s.DSN)
	const databases = "SELECT count() FROM system.databases WHERE name LIKE 'millrace_test_%'"
	t.Run("test", func(t *testing.T) {
		d := testenv.ClickHouse(t)
		conn, err := d.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		var current string
		if err := conn.QueryRow(t.Context(), "SELECT currentDatabase()").Scan(&current); err != nil || current != d.Name {
			t.Errorf("database %q, %v; its own is %q", current, err, d.Name)
		}
		if n, err := s.Admin(t.Context(), databases); err != nil || n != "1\n" {
			t.Errorf("%q databases, %v", n, err)
		}
	})
	if n, err := s.Admin(t.Context(), databases); err != nil || n != "0\n" {
		t.Errorf("%q databases are left, %v", n, err)
	}
}
