package mysql

import (
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline/event"
)

func TestPreflightNamesEachSettingAndItsRemedy(t *testing.T) {
	for kind, start := range map[string]func(testing.TB, ...string) *testenv.Server{"mariadb": testenv.MariaDB, "mysql": testenv.MySQL} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			srv := start(t, "--binlog-row-image=MINIMAL", "--binlog-format=MIXED")
			db, err := srv.Open("")
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.nokey (v INT)",
				"CREATE TABLE shop.greek (id INT PRIMARY KEY, v VARCHAR(9) CHARACTER SET greek)",
				"CREATE TABLE shop.p (id INT PRIMARY KEY)", "CREATE TABLE shop.c (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES shop.p(id) ON DELETE CASCADE)",
				"CREATE USER poor@'%' IDENTIFIED BY 'pw'", "GRANT SELECT ON shop.p TO poor@'%'")
			exec(t, db, "CREATE TABLE shop.docs (id INT PRIMARY KEY, e ENUM('a','it''s'), j JSON, v LONGTEXT)")
			cfg := testConfig(srv, "shop.*")
			docs, err := newSource(t, cfg).Definition(t.Context(), event.TableName{DB: "shop", Table: "docs"})
			if err != nil || !slices.Equal(docs.Columns[1].Members, []string{"a", "it's"}) ||
				docs.Columns[2].Type != event.TypeJSON || docs.Columns[3].Type != event.TypeText {
				t.Errorf("the definition of shop.docs is %+v, %v", docs, err)
			}
			if none, err := newSource(t, cfg).Definition(t.Context(), event.TableName{DB: "shop", Table: "none"}); none != nil || err != nil {
				t.Errorf("the definition of a table that is not there is %+v, %v", none, err)
			}
			problems, err := newSource(t, cfg).Preflight(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var things []string
			for _, p := range problems {
				things = append(things, p.Thing)
				if p.Remedy == "" || p.Wanted == "" {
					t.Errorf("%s has no remedy", p.Thing)
				}
			}
			for _, want := range []string{"binlog_format", "binlog_row_image", "sync_binlog", "table shop.nokey"} {
				if !slices.Contains(things, want) {
					t.Errorf("%s is not named: %v", want, things)
				}
			}
			if slices.Contains(things, "table shop.c") != (kind == "mariadb") {
				t.Errorf("foreign key of shop.c: %v", things)
			}
			cfg.User, cfg.Password = "poor", "pw"
			problems, err = newSource(t, cfg).Preflight(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			text := ""
			for _, p := range problems {
				text += p.Thing + "\n"
			}
			if !strings.Contains(text, "REPLICATION SLAVE") || !strings.Contains(text, "REPLICATION CLIENT") &&
				!strings.Contains(text, "BINLOG MONITOR") {
				t.Errorf("missing privileges are not named:\n%s", text)
			}
		})
	}
}
