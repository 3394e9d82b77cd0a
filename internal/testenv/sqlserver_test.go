package testenv_test

import (
	"testing"

	"github.com/millrace/millrace/internal/testenv"
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
