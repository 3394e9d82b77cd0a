package mysql

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/millrace/millrace/connectors/mysql/schema"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// ddlScript changes one table in many ways; each line's effect is what Due must name,
// "" for none.
var ddlScript = []struct{ sql, due string }{
	{"CREATE TABLE shop.t (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, name VARCHAR(50) NOT NULL DEFAULT 'x', note TEXT, price DECIMAL(10,2), kind ENUM('a','b')) DEFAULT CHARSET=utf8mb4", ""},
	{"INSERT INTO shop.t (name) VALUES ('one')", ""},
	{"ALTER TABLE shop.t ADD COLUMN channel VARCHAR(10) NOT NULL DEFAULT 'web' AFTER name", ""},
	{"INSERT INTO shop.t (name) VALUES ('two')", ""},
	{"ALTER TABLE shop.t ADD COLUMN (n INT NOT NULL, m SMALLINT UNSIGNED DEFAULT 7), ADD INDEX (n)", ""},
	{"ALTER TABLE shop.t CHANGE COLUMN note remark TEXT", ""},
	{"ALTER TABLE shop.t MODIFY COLUMN name VARCHAR(80) NOT NULL FIRST", ""},
	{"INSERT INTO shop.t (name) VALUES ('three')", ""},
	{"ALTER TABLE shop.t ADD COLUMN at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3)", "not a constant"},
	{"ALTER TABLE shop.t ADD COLUMN d DECIMAL(8,3) DEFAULT -1.5, ADD COLUMN e ENUM('p','q') NOT NULL, ADD COLUMN bits BIT(9) DEFAULT b'101'", ""},
	{"ALTER TABLE shop.t MODIFY COLUMN price DECIMAL(12,4)", "converted"},
	{"ALTER TABLE shop.t DROP COLUMN m", ""},
	{"ALTER TABLE shop.t MODIFY kind ENUM('a','b','c')", ""},
	{"ALTER TABLE shop.t MODIFY kind ENUM('c','a','b')", "members"},
	{"INSERT INTO shop.t (name,kind) VALUES ('four','c')", ""},
	{"ALTER TABLE shop.t RENAME COLUMN remark TO memo", ""},
	{"ALTER TABLE shop.t DROP PRIMARY KEY, ADD PRIMARY KEY (name, id), ADD KEY (id)", "key"},
	{"CREATE INDEX i2 ON shop.t (price)", ""},
	{"INSERT INTO shop.t (name,kind) VALUES ('five','a')", ""},
	{"TRUNCATE TABLE shop.t", ""},
	{"INSERT INTO shop.t (name,kind) VALUES ('six','a')", ""},
	{"CREATE TABLE shop.like_t LIKE shop.t", ""},
	{"INSERT INTO shop.like_t (name) VALUES ('seven')", ""},
	{"CREATE TABLE shop.sel (id INT PRIMARY KEY) SELECT 8 AS id, 'eight' AS w", "*"},
	{"DROP TABLE shop.like_t", ""},
	{"INSERT INTO shop.sel (id) VALUES (99)", ""},
}

func TestTrackedSchemaEqualsTheServers(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.mark (id INT PRIMARY KEY AUTO_INCREMENT)", "SET GLOBAL sql_mode=''")
		db.SetMaxIdleConns(0)
		s := newSource(t, testConfig(srv, "shop.*"))
		openSource(t, s, pipeline.Resume{})
		for _, step := range ddlScript {
			exec(t, db, step.sql)
			if strings.HasPrefix(step.sql, "INSERT") {
				text := step.sql[strings.LastIndex(step.sql, "(")+1:]
				text = strings.Trim(strings.Split(strings.TrimSuffix(text, ")"), ",")[0], "'")
				found := false
				for _, it := range collect(t, s, func(it seen) bool {
					found = found || it.Kind == event.KindRow && strings.Contains(it.text, text)
					return found && it.Kind == event.KindCommit
				}) {
					if it.Kind == event.KindPaused || strings.Contains(it.text, "BAD") {
						t.Fatalf("%s: %s", step.sql, it.text)
					}
				}
				continue
			}
			checkDDL(t, s, db, srv, step.sql, step.due)
		}
	})
}

func checkDDL(t *testing.T, s *Source, db *sql.DB, srv *testenv.Server, statement, due string) {
	t.Helper()
	exec(t, db, "INSERT INTO shop.mark VALUES (NULL)")
	all := collect(t, s, func(it seen) bool { return it.Kind == event.KindRow && it.Table.Name.Table == "mark" })
	var ddl *event.Item
	for i := range all {
		switch all[i].Kind {
		case event.KindDDL:
			if all[i].Table.Name.Table != "mark" {
				ddl = &all[i].Item
			}
		case event.KindPaused:
			t.Fatalf("%s: %s", statement, all[i].text)
		}
	}
	if strings.HasPrefix(statement, "TRUNCATE") || strings.HasPrefix(statement, "CREATE INDEX") {
		return
	}
	if ddl == nil {
		t.Fatalf("%s: no DDL was handed over", statement)
	}
	if due != "*" && (due == "") != (ddl.DDL.Due == "") || due != "*" && !strings.Contains(ddl.DDL.Due, due) {
		t.Errorf("%s: due %q, want %q", statement, ddl.DDL.Due, due)
	}
	want, err := schema.Load(t.Context(), db, ddl.Table.Name, srv.Kind == "mariadb")
	if err != nil {
		t.Fatal(err)
	}
	if (want == nil) != (ddl.DDL.New == nil) {
		t.Fatalf("%s: the server has the table: %v", statement, want != nil)
	}
	if want != nil {
		sameSchema(t, statement, ddl.DDL.New, want.Schema)
	}
}

func sameSchema(t *testing.T, statement string, got, want *event.Schema) {
	t.Helper()
	if len(got.Columns) != len(want.Columns) {
		t.Fatalf("%s: %d columns, the server has %d", statement, len(got.Columns), len(want.Columns))
	}
	for i := range got.Columns {
		g, w := got.Columns[i], want.Columns[i]
		if g.Name != w.Name || g.Type != w.Type || g.Charset != w.Charset || g.Nullable != w.Nullable || g.Length != w.Length ||
			g.Precision != w.Precision || g.Scale != w.Scale || strings.Join(g.Members, ",") != strings.Join(w.Members, ",") {
			t.Errorf("%s: column %d is\n%+v, the server has\n%+v", statement, i, g, w)
		}
	}
	if len(got.PrimaryKey) != len(want.PrimaryKey) {
		t.Errorf("%s: key %v, the server has %v", statement, got.PrimaryKey, want.PrimaryKey)
		return
	}
	for i := range got.PrimaryKey {
		if got.PrimaryKey[i] != want.PrimaryKey[i] {
			t.Errorf("%s: key %v, the server has %v", statement, got.PrimaryKey, want.PrimaryKey)
		}
	}
}
