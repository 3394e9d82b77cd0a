package schema

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline/event"
)

// trippedOver are statements that other readers of the log have failed at, misread, or left
// out, by the bug trackers of Debezium, Maxwell, Canal, go-mysql and Flink CDC. T is the table;
// a server that does not know a statement refuses it.
var trippedOver = []struct {
	what       string
	statements []string
}{
	{"a column's name with its table in front", []string{"CREATE TABLE T (id INT PRIMARY KEY, a INT, b INT)",
		"ALTER TABLE T MODIFY COLUMN T.a BIGINT", "ALTER TABLE T DROP T.b", "ALTER TABLE T ADD COLUMN tw.T.c INT AFTER a", "ALTER TABLE tw.T CHANGE tw.T.c d INT FIRST"}},
	{"a database and a table with spaces around the dot", []string{"CREATE TABLE tw . T (id INT PRIMARY KEY)", "ALTER TABLE tw. T ADD a INT", "ALTER TABLE `tw` .`T` ADD b INT"}},
	{"a leading dot", []string{"CREATE TABLE T (id INT PRIMARY KEY)", "ALTER TABLE .T ADD a INT", "ALTER TABLE .`T` ADD b INT AFTER id"}},
	{"DROP COLUMN … CASCADE, RESTRICT", []string{"CREATE TABLE T (id INT PRIMARY KEY, a INT, b INT)", "ALTER TABLE T DROP COLUMN a CASCADE", "ALTER TABLE T DROP b RESTRICT"}},
	{"a check inside of a column", []string{"CREATE TABLE T (id INT PRIMARY KEY, v VARCHAR(9) CHECK (v <> ','))",
		"ALTER TABLE T MODIFY v VARCHAR(40) NOT NULL CONSTRAINT non_empty CHECK (v <> '')", "ALTER TABLE T ADD w INT CHECK (w > 0) NOT ENFORCED AFTER id", "ALTER TABLE T ALTER CHECK non_empty NOT ENFORCED",
		"ALTER TABLE T DROP CONSTRAINT non_empty", "ALTER TABLE T ADD CONSTRAINT CHECK (id > 0), ADD x INT"}},
	{"MODIFY, CHANGE, RENAME COLUMN IF EXISTS", []string{"CREATE TABLE T (id INT PRIMARY KEY, a VARCHAR(5))", "ALTER TABLE T MODIFY COLUMN IF EXISTS a VARCHAR(20) DEFAULT ''",
		"ALTER TABLE T MODIFY COLUMN IF EXISTS nope INT", "ALTER TABLE T CHANGE COLUMN IF EXISTS nope nope2 INT", "ALTER TABLE T CHANGE COLUMN IF EXISTS a b VARCHAR(20)",
		"ALTER TABLE T RENAME COLUMN IF EXISTS b TO c", "ALTER TABLE IF EXISTS T ADD COLUMN IF NOT EXISTS c INT, ADD IF NOT EXISTS d INT", "ALTER TABLE T DROP IF EXISTS nope, DROP COLUMN IF EXISTS d"}},
	{"options before the parts", []string{"CREATE TABLE T (n VARCHAR(9) NOT NULL, c DECIMAL(11,2))",
		"#tool\n/**/\nALTER TABLE T ALGORITHM=INPLACE, LOCK=NONE,\n CHANGE n n VARCHAR(25) NOT NULL COMMENT 'two with \\'s.'", "ALTER TABLE T ALGORITHM=COPY, CHANGE c c DECIMAL(11,2) UNSIGNED NOT NULL, STATS_SAMPLE_PAGES=DEFAULT",
		"ALTER ONLINE TABLE T ADD x INT", "ALTER ONLINE IGNORE TABLE T ADD y INT", "ALTER TABLE T WAIT 5 ADD z INT", "ALTER TABLE T NOWAIT ADD zz INT FIRST"}},
	{"an index and a foreign key dropped by one name", []string{"CREATE TABLE T (id INT PRIMARY KEY, s INT, KEY k (s), CONSTRAINT k FOREIGN KEY (s) REFERENCES T (id))",
		"ALTER TABLE T DROP COLUMN s, DROP INDEX k, DROP FOREIGN KEY k"}},
	{"defaults that are expressions", []string{"CREATE TABLE T (id INT PRIMARY KEY, d DATE DEFAULT (CURDATE()), u VARCHAR(36) DEFAULT (UUID()), j JSON DEFAULT (JSON_ARRAY(1,',')))",
		"ALTER TABLE T ADD e VARCHAR(20) DEFAULT (CONCAT('a', ',', 'b')) AFTER id", "ALTER TABLE T ALTER d SET DEFAULT (CURDATE() + INTERVAL 1 DAY)", "ALTER TABLE T ALTER COLUMN e DROP DEFAULT"}},
	{"an empty comment, and a quote in one", []string{"CREATE TABLE T (id INT NOT NULL COMMENT '', r VARCHAR(9) DEFAULT ',', UNIQUE un (id) COMMENT '') ENGINE=InnoDB COMMENT=''",
		"ALTER TABLE T COMMENT 'it''s, ADD z INT'", `ALTER TABLE T MODIFY r VARCHAR(9) COMMENT "a \"b\", DROP id"`}},
	{"ALTER after CREATE … LIKE and AS", []string{"CREATE TABLE T AS SELECT 1 AS a, 'x' AS b", "ALTER TABLE T ADD PRIMARY KEY (a)", "ALTER TABLE T ADD c TINYINT(1) DEFAULT '0'"}},
	{"a place alone changes", []string{"CREATE TABLE T (id INT PRIMARY KEY, a INT, b INT, c INT)", "ALTER TABLE T MODIFY COLUMN c INT AFTER id", "ALTER TABLE T MODIFY a INT FIRST, MODIFY b INT AFTER a"}},
	{"columns that nobody sees", []string{"CREATE TABLE T (id INT PRIMARY KEY, a INT INVISIBLE DEFAULT 3)", "ALTER TABLE T ALTER COLUMN a SET VISIBLE", "ALTER TABLE T ALTER a SET INVISIBLE, ADD b INT INVISIBLE",
		"ALTER TABLE T MODIFY a INT"}},
	{"generated columns", []string{"CREATE TABLE T (id INT PRIMARY KEY, a INT, g INT GENERATED ALWAYS AS (a + 1) VIRTUAL COMMENT 'x', s INT AS (a * 2) STORED)",
		"ALTER TABLE T MODIFY g INT AS (a + 2) VIRTUAL", "ALTER TABLE T ADD h VARCHAR(9) COLLATE utf8mb4_bin GENERATED ALWAYS AS (CONCAT(a, ',')) STORED UNIQUE AFTER a", "ALTER TABLE T DROP s, ADD s INT AS (a) PERSISTENT"}},
	{"names that are words, and numbers", []string{"CREATE TABLE T (`key` INT PRIMARY KEY, `index` INT, value INT, status INT, comment INT, action INT, `1a` INT, 1b INT, date DATE, year YEAR, `a``b` INT)",
		"ALTER TABLE T ADD first INT, ADD after INT AFTER status, ADD COLUMN column_format INT", "ALTER TABLE T CHANGE comment visible INT FIRST", "ALTER TABLE T ADD period INT, ADD system INT, ADD role INT, ADD `check` INT",
		"ALTER TABLE T DROP period", "ALTER TABLE T DROP `a``b`, RENAME COLUMN 1b TO 2b"}},
	{"storage options of columns", []string{"CREATE TABLE T (id INT PRIMARY KEY AUTO_INCREMENT COLUMN_FORMAT FIXED, a TEXT COMPRESSED, b BLOB STORAGE DISK) AUTO_INCREMENT 7 ROW_FORMAT=DYNAMIC",
		"CREATE TABLE T (id INT PRIMARY KEY AUTO_INCREMENT, a INT COLUMN_FORMAT DYNAMIC STORAGE MEMORY)", "CREATE TABLE T (id INT PRIMARY KEY, a TEXT COMPRESSED=zlib)",
		"ALTER TABLE T ADD z INT ENGINE_ATTRIBUTE '{\"x,y\": 1}' SECONDARY_ENGINE_ATTRIBUTE='{}'", "ALTER TABLE T MODIFY a TEXT"}},
	{"an index with everything", []string{"CREATE TABLE T (id INT, a VARCHAR(50), b INT, PRIMARY KEY USING BTREE (id) COMMENT 'x', FULLTEXT KEY f (a) , UNIQUE INDEX u (b DESC, a(3)) USING BTREE KEY_BLOCK_SIZE=8)",
		"ALTER TABLE T ADD FULLTEXT INDEX f2 (a) WITH PARSER ngram", "ALTER TABLE T ALTER INDEX u INVISIBLE", "ALTER TABLE T ALTER INDEX u NOT IGNORED", "ALTER TABLE T DROP KEY u, ADD UNIQUE u (b, id) COMMENT ','",
		"ALTER TABLE T ADD INDEX fx ((b + 1), (CAST(a AS CHAR(3))))"}},
	{"partitions", []string{"CREATE TABLE T (id INT PRIMARY KEY, a INT) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN MAXVALUE)",
		"ALTER TABLE T REORGANIZE PARTITION p1 INTO (PARTITION p1 VALUES LESS THAN (20), PARTITION p2 VALUES LESS THAN MAXVALUE)", "ALTER TABLE T ADD b INT", "ALTER TABLE T REMOVE PARTITIONING", "ALTER TABLE T PARTITION BY HASH (id) PARTITIONS 4",
		"ALTER TABLE T COALESCE PARTITION 2", "ALTER TABLE T ANALYZE PARTITION ALL"}},
	{"charsets in odd places", []string{"CREATE TABLE T (id INT PRIMARY KEY, a VARCHAR(9) CHARACTER SET = utf8mb4, b ENUM('a','b') CHARSET latin1 COLLATE latin1_swedish_ci)", "CREATE TABLE T (id INT PRIMARY KEY, a CHAR(9) CHARACTER SET utf8mb4 BINARY, b CHAR VARYING(9) UNICODE, c CHARACTER(3) ASCII, d CHAR BYTE)",
		"ALTER TABLE T CONVERT TO CHARACTER SET 'latin1' COLLATE 'latin1_bin'", "ALTER TABLE T CHARACTER SET DEFAULT", "ALTER TABLE T DEFAULT CHARACTER SET = utf8mb4, COLLATE utf8mb4_unicode_ci, ADD e TEXT", "ALTER TABLE T CONVERT TO CHARSET DEFAULT"}},
	{"executable comments around parts", []string{"CREATE TABLE T (id INT PRIMARY KEY, a TIMESTAMP(6) /*!50606 NOT NULL DEFAULT CURRENT_TIMESTAMP(6) */)", "ALTER TABLE T ADD b INT /*!80023 INVISIBLE */ /*!99999 , ADD never INT */",
		"ALTER TABLE T /*!50100 ADD COLUMN c INT, */ ADD d INT /*M!100000 , ADD m INT */", "/*! ALTER TABLE T ADD e INT */"}},
	{"orders, unions and what else", []string{"CREATE TABLE T (id INT PRIMARY KEY, a INT) ENGINE=InnoDB, CHARSET=utf8mb4, STATS_PERSISTENT=1", "ALTER TABLE T ORDER BY a DESC, id, ADD b INT", "ALTER TABLE T ADD c INT, ORDER BY a",
		"ALTER TABLE T ENABLE KEYS", "ALTER TABLE T DISABLE KEYS, ADD d INT", "ALTER TABLE T ENCRYPTION='N', ADD e INT", "ALTER TABLE T ADD f INT, ALGORITHM INSTANT", "ALTER TABLE T AUTO_INCREMENT=100", "ALTER TABLE T WITHOUT VALIDATION, ADD g INT"}},
	{"numbers as other programs write them", []string{"CREATE TABLE T (id INT(11) UNSIGNED ZEROFILL NOT NULL DEFAULT '0', a NUMBER(5), b DOUBLE DEFAULT .5, c INT1, d INT8 SIGNED DEFAULT +1, e DEC DEFAULT 1.)",
		"CREATE TABLE T (id INT(11) UNSIGNED ZEROFILL NOT NULL DEFAULT '0', b DOUBLE DEFAULT .5, c INT1, d INT8 SIGNED DEFAULT +1, e DEC DEFAULT 1.)", "ALTER TABLE T ADD f TINYINT DEFAULT TRUE, ADD g BIT(3) DEFAULT 0b11, ADD h YEAR(4) DEFAULT '24'", "ALTER TABLE T ADD i INT DEFAULT(3)", "ALTER TABLE T ADD k BOOLEAN NOT NULL DEFAULT false"}},
	{"rename within an ALTER, back to its own name", []string{"CREATE TABLE T (id INT PRIMARY KEY)", "ALTER TABLE T ADD a INT, RENAME TO T", "ALTER TABLE T RENAME = T, ADD b INT", "ALTER TABLE T RENAME AS tw.T"}},
	{"REPLACE and IF NOT EXISTS", []string{"CREATE TABLE T (id INT PRIMARY KEY)", "CREATE TABLE IF NOT EXISTS T (id INT, other INT)", "CREATE OR REPLACE TABLE T (a INT PRIMARY KEY, b INT)", "CREATE OR REPLACE TABLE T LIKE mysql.db"}},
}

// TestWhatOthersTrippedOver compares the definition that is tracked with the server's behind
// each of these.
func TestWhatOthersTrippedOver(t *testing.T) {
	for kind, start := range map[string]func(testing.TB, ...string) *testenv.Server{"mariadb": testenv.MariaDB, "mysql": testenv.MySQL} {
		t.Run(kind, func(t *testing.T) {
			srv := start(t)
			w := newTwin(t, srv, 1)
			for i, c := range trippedOver {
				w.name, w.now, w.hasRow = event.TableName{DB: "tw", Table: "tripped" + string(rune('a'+i))}, nil, false
				before := w.followed + w.unclear + w.audited
				name := strings.NewReplacer(" T.", " "+w.name.Table+".", ".T", "."+w.name.Table, "`T`", "`"+w.name.Table+"`", " T ",
					" "+w.name.Table+" ", " T,", " "+w.name.Table+",")
				for _, s := range c.statements {
					w.run(name.Replace(withCharset(s) + " "))
				}
				if w.followed+w.unclear+w.audited == before {
					t.Errorf("%s: the server took none of it", c.what)
				}
			}
			t.Logf("%d refused by the server; %d followed, %d of them with an attempt, %d read from it, %d audited", w.refused, w.followed,
				w.due, w.unclear, w.audited)
		})
	}
}

// withCharset gives a new table a charset: what its database has is not in the statement.
func withCharset(s string) string {
	if !strings.HasPrefix(s, "CREATE") || strings.Contains(s, "CHARSET=") || strings.Contains(s, " LIKE ") {
		return s
	}
	at := len(s)
	for _, clause := range []string{" PARTITION BY", " AS SELECT"} {
		if i := strings.Index(s, clause); i >= 0 {
			at = i
		}
	}
	return s[:at] + " CHARSET=utf8mb4" + s[at:]
}
