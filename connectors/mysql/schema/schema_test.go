package schema

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/pipeline/event"
)

func TestFilterTakesTheLastMatch(t *testing.T) {
	f, err := ParseFilter([]string{"shop.*", "!shop.audit_*", "shop.audit_keep", "*.x*y"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"shop.orders": true, "shop.audit_log": false, "shop.audit_keep": true, "other.orders": false,
		"other.xy": true, "other.xaby": true, "other.xab": false, "mysql.xy": false} {
		n, _ := event.ParseTableName(name)
		if f.Match(n) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
	for _, bad := range [][]string{nil, {"shop"}, {"!shop.*"}, {"shop."}} {
		if _, err := ParseFilter(bad); err == nil {
			t.Errorf("%v is accepted", bad)
		}
	}
}

func TestTypeTextsBecomeColumns(t *testing.T) {
	for native, want := range map[string]string{
		"bigint(20) unsigned": "2 8 0 0", "tinyint(1)": "1 1 0 0", "decimal(10,2)": "3 10 2 0", "float": "4 0 0 0", "double(5,2)": "5 0 0 0",
		"datetime(3)": "7 0 3 0", "timestamp": "8 0 0 0", "varchar(20)": "11 0 0 20", "varbinary(9)": "12 0 0 9", "bit(9)": "15 0 0 9",
		"uuid": "12 0 0 16", "enum('a','it''s','b,c')": "13 0 0 0", "geometry": "17 0 0 0", "varchar(9) /*M!100301 COMPRESSED*/": "18 0 0 9", "xml": "18 0 0 0",
		"set('compressed','raw')": "14 0 0 0",
	} {
		c, err := Column("c", native, "utf8mb4", "utf8mb4_bin", true)
		if got := fmt.Sprint(uint8(c.Type), c.Precision, c.Scale, c.Length); err != nil || got != want {
			t.Errorf("%s: %s, want %s, %v", native, got, want, err)
		}
		if c.Type == event.TypeEnum && strings.Join(c.Members, "|") != "a|it's|b,c" {
			t.Errorf("members %q", c.Members)
		}
	}
	for _, bad := range []string{"enum('a", "decimal(1", "set('a',"} {
		if _, err := Column("c", bad, "", "", true); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}

// statement applies sql to one table t (id, v) of database d.
func statement(sql string) []Change {
	id, _ := Column("id", "int", "", "", false)
	v, _ := Column("v", "varchar(20)", "utf8mb4", "utf8mb4_bin", true)
	id.ID, v.ID = 1, 2
	s := event.NewSchema(event.TableName{DB: "d", Table: "t"}, []event.Column{id, v}, []int{0})
	captured := func(n event.TableName) bool { return n.DB == "d" && !strings.HasPrefix(n.Table, "_") }
	return Apply(Statement{
		SQL: sql, DB: "d", Number: 100, Timestamps: On, Captures: captured,
		Table: func(n event.TableName) *Current {
			if n != s.Name {
				return nil
			}
			return &Current{Schema: s, Charset: "utf8mb4", Collation: "utf8mb4_bin", Key: "PRIMARY",
				Indexes: []Index{{Name: "PRIMARY", Unique: true, Columns: []string{"id"}}}}
		},
		Tables: func() []event.TableName { return []event.TableName{s.Name} },
	})
}

func TestWhatStatementsDo(t *testing.T) {
	for _, c := range []struct{ sql, want string }{
		{"GRANT SELECT ON d.t TO x", ""},
		{"ANALYZE TABLE t", ""},
		{"ALTER TABLE other ADD x INT", ""},
		{"/* c */ ALTER TABLE `d`.`t` ADD COLUMN x INT DEFAULT 5", "1 d.t 3 5"},
		{"ALTER TABLE t ADD INDEX (v)", "8 d.t 2"},
		{"ALTER TABLE t ENGINE=InnoDB", ""},
		{"ALTER TABLE t ADD x VARCHAR(10) NOT NULL", "1 d.t 3 "},
		{"ALTER TABLE t ADD x DECIMAL(5,2) NOT NULL", "1 d.t 3 0.00"},
		{"ALTER TABLE t ADD x DATE DEFAULT '2024-02-29'", "1 d.t 3 2024-02-29"},
		{"ALTER TABLE t ADD x TIMESTAMP NULL DEFAULT '2024-02-29 00:00:00'", "1 d.t 3 due"},
		{"ALTER TABLE t ADD x INT AUTO_INCREMENT UNIQUE", "1 d.t 3 due"},
		{"ALTER TABLE t ADD x INT AS (id+1)", "1 d.t 3 due"},
		{"ALTER TABLE t CONVERT TO CHARACTER SET latin1", "5 d.t due"},
		{"ALTER TABLE t TRUNCATE PARTITION p0", "1 d.t 2 due"},
		{"ALTER TABLE other EXCHANGE PARTITION p0 WITH TABLE t", "1 d.t 2 due"},
		{"ALTER TABLE t EXCHANGE PARTITION p0 WITH TABLE other", "1 d.t 2 due"},
		{"ALTER TABLE t DROP PRIMARY KEY", "1 d.t 2 due"},
		{"ALTER TABLE t DROP COLUMN id", "1 d.t 1 due"},
		{"ALTER TABLE t DROP CONSTRAINT `PRIMARY`", "1 d.t 2 due"},
		{"ALTER TABLE t DROP CONSTRAINT c1", ""},
		{"DROP TABLE IF EXISTS x, t", "3 d.t"},
		{"DROP TEMPORARY TABLE t", ""},
		{"DROP DATABASE d", "3 d.t"},
		{"TRUNCATE t", "4 d.t"},
		{"RENAME TABLE t TO _old, _new TO t", "5 d.t due"},
		{"RENAME TABLE t TO _tmp, _tmp TO t", ""},
		{"ALTER TABLE t RENAME TO u", "3 d.t;2 d.u 2 due"},
		{"CREATE TABLE u (a INT PRIMARY KEY, b TEXT CHARACTER SET latin1)", "2 d.u 2"},
		{"CREATE TABLE u (a INT PRIMARY KEY, b TEXT)", "5 d.u due"},
		{"CREATE TABLE u LIKE t", "2 d.u 2"},
		{"CREATE TABLE IF NOT EXISTS t (a INT)", ""},
		{"ALTER TABLE t FROBNICATE", "5 d.t due"},
		{"CREATE TABLE u (a POINT) SOMETHING ODD", "5 d.u due"},
		{"INSERT INTO t VALUES (1,'x')", "6 d.t"},
		{"UPDATE d.t SET v='t'", "6 d.t"},
		{"INSERT INTO q VALUES ('t')", ""},
	} {
		var parts []string
		for _, ch := range statement(c.sql) {
			p := fmt.Sprintf("%d %s", ch.Kind, ch.Table)
			if ch.New != nil {
				p += fmt.Sprintf(" %d", len(ch.New.Columns))
			}
			if ch.Due != "" {
				p += " due"
			} else if ch.New != nil && ch.Kind == Altered {
				last := &ch.New.Columns[len(ch.New.Columns)-1]
				p += " " + string(event.AppendValueText(nil, last, last.Default))
			}
			parts = append(parts, p)
		}
		if got := strings.Join(parts, ";"); got != c.want {
			t.Errorf("%s: %q, want %q", c.sql, got, c.want)
		}
	}
}

func TestColumnIdentitiesAreKeptAndNeverUsedAgain(t *testing.T) {
	ch := statement("ALTER TABLE t RENAME COLUMN v TO w, ADD COLUMN v INT")
	if len(ch) != 1 || ch[0].New.Columns[1].ID != 2 || ch[0].New.Columns[1].Name != "w" {
		t.Fatalf("%+v", ch)
	}
	if id := ch[0].New.Columns[2].ID; id == 1 || id == 2 || id != statement("ALTER TABLE t ADD COLUMN q INT")[0].New.Columns[2].ID {
		t.Errorf("identity %d of a new column", id)
	}
}

func FuzzApply(f *testing.F) {
	for _, s := range []string{"ALTER TABLE t ADD x INT DEFAULT 5", "CREATE TABLE u (a ENUM('x'))", "RENAME TABLE t TO u", "/*!40000 DROP TABLE t */", "INSERT INTO `t` VALUES ('\\''"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		for _, ch := range statement(sql) {
			if ch.New != nil {
				if err := ch.New.Validate(); err != nil {
					t.Fatalf("%s: %v", sql, err)
				}
			}
		}
	})
}
