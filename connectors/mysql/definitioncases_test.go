package mysql

import (
	"slices"
	"strings"
	"testing"
)

// definitionCases are statements whose meaning the definitions of tables depend on: what
// comes of them must be what the server shows. mariadb are those that MySQL refuses.
var definitionCases = []struct{ before, live, mariadb string }{
	{ // Columns swap names and places in one statement.
		before: `CREATE TABLE sw (id INT PRIMARY KEY, a INT, b INT);
INSERT INTO sw VALUES (1, 10, 20);
CREATE TABLE ch (id INT PRIMARY KEY, first_name VARCHAR(20), last_name VARCHAR(20)) CHARSET utf8mb4;
INSERT INTO ch VALUES (1, 'Ada', 'Lovelace')`,
		live: `ALTER TABLE sw RENAME COLUMN a TO b, RENAME COLUMN b TO a;
INSERT INTO sw (id, a, b) VALUES (2, 100, 200);
ALTER TABLE ch CHANGE first_name last_name VARCHAR(20), CHANGE last_name first_name VARCHAR(20);
INSERT INTO ch (id, first_name, last_name) VALUES (2, 'Grace', 'Hopper')`,
	},
	{ // Members with backslash and newline, from the server's lists and from the log.
		before: `CREATE TABLE e (id INT PRIMARY KEY, a ENUM('a,b','it''s','back\\slash','new\nline'), s SET('x','b\\s')) DEFAULT CHARSET utf8mb4;
INSERT INTO e VALUES (1,'a,b','x'), (2,'it''s','b\\s'), (3,'back\\slash','x,b\\s'), (4,'new\nline','')`,
		live: `INSERT INTO e SELECT id + 100, a, s FROM e;
CREATE TABLE e2 (id INT PRIMARY KEY, a ENUM('it''s','back\\slash','new\nline')) DEFAULT CHARSET utf8mb4;
INSERT INTO e2 VALUES (1, 'new\nline'), (2, 'back\\slash');
SET sql_mode = 'NO_BACKSLASH_ESCAPES';
ALTER TABLE e2 ADD c ENUM('x\','y') CHARACTER SET utf8mb4 NOT NULL;
SET sql_mode = ''`,
	},
	{ // What older rows show in an added column.
		before: `CREATE TABLE d (id INT PRIMARY KEY) DEFAULT CHARSET utf8mb4;
INSERT INTO d VALUES (1)`,
		live: `ALTER TABLE d ADD a YEAR DEFAULT '0';
ALTER TABLE d ADD c ENUM('b','B') COLLATE utf8mb4_bin DEFAULT 'B';
ALTER TABLE d ADD e SET('s','S') COLLATE utf8mb4_bin DEFAULT 'S';
ALTER TABLE d ADD f FLOAT(7,2) DEFAULT 1.239, ADD g DOUBLE(10,2) DEFAULT 1.235;
ALTER TABLE d ADD h VARCHAR(20) DEFAULT 1e20;
ALTER TABLE d ADD t TIMESTAMP, ADD u TIMESTAMP NULL`,
	},
	{ // What the server executed is executed.
		before: `CREATE TABLE m (id INT PRIMARY KEY, v INT);
INSERT INTO m VALUES (1, 1);
CREATE TABLE x (id INT PRIMARY KEY, v INT, w INT);
INSERT INTO x VALUES (1, 1, 1)`,
		live: `ALTER TABLE m ADD COLUMN a INT /*! DEFAULT 7 */ /*!99999 , ADD b INT */;
ALTER TABLE x /*!40100 DROP COLUMN v, */ ADD COLUMN y INT;
INSERT INTO x (id, w, y) VALUES (2, 20, 30)`,
		mariadb: `ALTER TABLE m ADD COLUMN c INT /*M! DEFAULT 9 */;
CREATE TABLE n (id INT, v INT /*M!100100 , PRIMARY KEY (id) */);
INSERT INTO n VALUES (1, 1)`,
	},
	{ // REAL is what the session's mode says.
		before: `CREATE TABLE r (id INT PRIMARY KEY)`,
		live: `SET sql_mode = 'REAL_AS_FLOAT';
ALTER TABLE r ADD COLUMN f REAL;
SET sql_mode = 'ANSI';
ALTER TABLE "r" ADD COLUMN "g" REAL;
SET sql_mode = '';
ALTER TABLE r ADD COLUMN h REAL;
INSERT INTO r VALUES (3, 2.5, 2.5, 2.5)`,
	},
}

func TestDefinitionsFollowTheServer(t *testing.T) {
	for kind, start := range servers {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			var before, live []string
			for _, c := range definitionCases {
				before = append(before, strings.Split(c.before, ";\n")...)
				live = append(live, strings.Split(c.live, ";\n")...)
				if kind == "mariadb" && c.mariadb != "" {
					live = append(live, strings.Split(c.mariadb, ";\n")...)
				}
			}
			converges(t, start(t), before, live, false, nil)
		})
	}
}

// harmlessStatements are those that no table is read anew for, as either server writes
// them into its log.
const harmlessStatements = `CREATE VIEW vw AS SELECT 1 AS t;
CREATE OR REPLACE ALGORITHM=MERGE DEFINER=root@127.0.0.1 SQL SECURITY INVOKER VIEW vw AS SELECT * FROM t;
ALTER VIEW vw AS SELECT 2;
DROP VIEW vw;
CREATE DEFINER=root@127.0.0.1 TRIGGER tg BEFORE INSERT ON t FOR EACH ROW SET NEW.v = 5;
DROP TRIGGER tg;
CREATE PROCEDURE pp() DELETE FROM t;
ALTER PROCEDURE pp COMMENT 'x';
DROP PROCEDURE pp;
CREATE FUNCTION ff() RETURNS INT DETERMINISTIC RETURN 1;
DROP FUNCTION ff;
CREATE EVENT ev ON SCHEDULE EVERY 1 DAY DISABLE DO DELETE FROM t;
ALTER EVENT ev RENAME TO ev2;
DROP EVENT ev2;
CREATE USER zz@localhost;
GRANT SELECT ON shop.t TO zz@localhost;
REVOKE SELECT ON shop.t FROM zz@localhost;
SET PASSWORD FOR zz@localhost = '*F33AE6DD04EF4C7C1D3105568E7FB7C1EE16C937';
RENAME USER zz@localhost TO t@localhost;
DROP USER t@localhost;
CREATE ROLE t;
DROP ROLE t;
ANALYZE TABLE t;
OPTIMIZE TABLE t;
FLUSH TABLES t;
FLUSH PRIVILEGES;
ALTER DATABASE shop DEFAULT CHARSET latin1;
CREATE INDEX i ON t (v);
ALTER TABLE t RENAME INDEX i TO i2;
ALTER TABLE t ADD UNIQUE (v), ADD CHECK (v > 0), COMMENT 'x', ALGORITHM=COPY;
ALTER TABLE t MODIFY v INT COMMENT 'y';
ALTER TABLE t ALTER v SET DEFAULT 3;
DROP INDEX i2 ON t;
ALTER TABLE t ENGINE=InnoDB;
SAVEPOINT t;
BEGIN;
SAVEPOINT t;
INSERT INTO t VALUES (7, 7);
RELEASE SAVEPOINT t;
COMMIT`

func TestStatementsThatChangeNoTableCostNothing(t *testing.T) {
	for kind, start := range servers {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			live := strings.Split(harmlessStatements, ";\n")
			if kind == "mysql" {
				live = slices.DeleteFunc(live, func(s string) bool { return strings.HasPrefix(s, "SET PASSWORD") })
			} else {
				live = append(live, "CREATE SEQUENCE sq", "ALTER SEQUENCE sq RESTART 50", "DROP SEQUENCE sq",
					"ALTER TABLE t ADD INDEX j (v) IGNORED", "ALTER ONLINE TABLE t DROP INDEX IF EXISTS j")
			}
			before := []string{"CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 1), (2, 2)"}
			converges(t, start(t), before, live, true, map[string]string{"t": "c"})
		})
	}
}
