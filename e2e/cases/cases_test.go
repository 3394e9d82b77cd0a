package cases

// step is one statement and the session that it runs in; sessions are connections that
// stay open for a whole case.
type step struct {
	session int
	sql     string
}

// in is the statements of one session.
func in(session int, statements ...string) []step {
	var all []step
	for _, s := range statements {
		all = append(all, step{session, s})
	}
	return all
}

func plain(statements ...string) []step { return in(1, statements...) }

// steps joins parts.
func steps(parts ...[]step) []step {
	var all []step
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// aCase is one kind of statements. Tables are named without their database.
type aCase struct {
	name string
	// only is "mariadb" or "mysql" where the other does not know the statements.
	only   string
	before []step // before the pipeline starts
	live   []step // once the first snapshots are through
	// equal are the tables that must go on and be right in the end.
	equal []string
	// stops are those that must stop, by the code that they say.
	stops map[string]string
	// gone are names that no longer are the source's: they must not go on as if nothing had
	// happened.
	gone []string
}

// all lists the cases. What stands in a name is what goes wrong where it is not heeded.
var all = []aCase{
	{
		name: "columns swap their names in one statement",
		before: plain("CREATE TABLE sw (id INT PRIMARY KEY, a INT, b INT)", "INSERT INTO sw VALUES (1, 10, 20)",
			"CREATE TABLE ch (id INT PRIMARY KEY, first_name VARCHAR(20), last_name VARCHAR(20))", "INSERT INTO ch VALUES (1, 'Ada', 'Lovelace')",
			"CREATE TABLE w (id INT PRIMARY KEY, a INT, b INT, c INT)", "INSERT INTO w VALUES (1, 10, 20, 30)",
			"CREATE TABLE x (id INT PRIMARY KEY, a INT, b INT, c INT)", "INSERT INTO x VALUES (1, 10, 20, 30)"),
		live: plain("ALTER TABLE sw RENAME COLUMN a TO b, RENAME COLUMN b TO a", "INSERT INTO sw (id, a, b) VALUES (2, 100, 200)",
			"ALTER TABLE ch CHANGE first_name last_name VARCHAR(20), CHANGE last_name first_name VARCHAR(20)", "INSERT INTO ch (id, first_name, last_name) VALUES (2, 'Grace', 'Hopper')",
			"ALTER TABLE w RENAME COLUMN a TO b, DROP COLUMN b", "INSERT INTO w VALUES (2, 1, 2)",
			"ALTER TABLE x CHANGE a b INT, CHANGE b a INT AFTER c", "INSERT INTO x (id, a, b, c) VALUES (2, 1, 2, 3)"),
		equal: []string{"sw", "ch", "w", "x"},
	},
	{
		name:   "a unique key becomes nullable",
		before: plain("CREATE TABLE nn (u INT NOT NULL, v INT, UNIQUE KEY uk (u))", "INSERT INTO nn VALUES (1, 1), (2, 2)"),
		live: plain("ALTER TABLE nn MODIFY u INT NULL", "INSERT INTO nn VALUES (NULL, 10), (NULL, 11), (NULL, 12)",
			"INSERT INTO nn VALUES (3, 3)"),
		equal: []string{"nn"},
	},
	{
		name: "comments, quotes and modes before a table's name", only: "mariadb",
		before: plain("CREATE TABLE t (id INT PRIMARY KEY, v INT)"),
		live: plain("CREATE TABLE u0 (id UUID PRIMARY KEY, v INT)", "INSERT INTO u0 VALUES (UUID(), 1)",
			"/* ApplicationName=DBeaver 24.1 - Main */ CREATE TABLE u1 (id UUID PRIMARY KEY, v INT)", "INSERT INTO u1 VALUES (UUID(), 1)",
			"-- migration 42\nCREATE TABLE u7 (id UUID PRIMARY KEY, v INT)", "INSERT INTO u7 VALUES (UUID(), 1)",
			"CREATE TABLE /* new */ u2 (id UUID PRIMARY KEY, v INT)", "INSERT INTO u2 VALUES (UUID(), 1)",
			"CREATE /* Bob's */ TABLE u3 (id UUID PRIMARY KEY, v INT)", "INSERT INTO u3 VALUES (UUID(), 1)",
			"/* x */ ALTER TABLE t RENAME TO t9, ADD COLUMN u UUID", "INSERT INTO t9 VALUES (1, 1, UUID())",
			"SET SESSION sql_mode = 'ANSI_QUOTES'", `CREATE TABLE "u4" ("id" UUID PRIMARY KEY, v INT)`, "INSERT INTO u4 VALUES (UUID(), 1)",
			"SET SESSION sql_mode = 'ORACLE'", `CREATE TABLE "u5" ("id" NUMBER(10) PRIMARY KEY, "n" VARCHAR2(20))`, "INSERT INTO u5 VALUES (1, 'x')",
			"SET SESSION sql_mode = ''", "/*M!100100 CREATE TABLE u6 (id INT PRIMARY KEY, v INT) */", "INSERT INTO u6 VALUES (1, 1)"),
		equal: []string{"u0", "u1", "u2", "u3", "u4", "u5", "u6", "u7", "t9"},
		gone:  []string{"t"},
	},
	{
		name: "statements that change no table name one",
		before: plain("CREATE TABLE orders (id INT PRIMARY KEY, v INT)", "INSERT INTO orders VALUES (1, 1)",
			"CREATE TABLE audit (id INT AUTO_INCREMENT PRIMARY KEY, o INT)"),
		live: plain("CREATE TRIGGER trg AFTER INSERT ON orders FOR EACH ROW INSERT INTO audit (o) VALUES (NEW.id)",
			"INSERT INTO orders VALUES (3, 3)",
			"CREATE PROCEDURE p1() UPDATE orders SET v = 0", "CREATE VIEW vw AS SELECT * FROM orders", "DROP VIEW vw",
			"UPDATE orders SET v = 33 WHERE id = 3", "DROP PROCEDURE p1", "INSERT INTO orders VALUES (4, 4)", "DELETE FROM orders WHERE id = 4"),
		equal: []string{"orders", "audit"},
	},
	{
		name: "members with a backslash, a quote and a newline",
		before: plain("CREATE TABLE e (id INT PRIMARY KEY, a ENUM('a,b','it''s','back\\\\slash','new\\nline'), s SET('x','b\\\\s')) DEFAULT CHARSET utf8mb4",
			"INSERT INTO e VALUES (1,'a,b','x'), (2,'it''s','b\\\\s'), (3,'back\\\\slash','x,b\\\\s'), (4,'new\\nline','')"),
		live: plain("INSERT INTO e SELECT id + 100, a, s FROM e", "CREATE TABLE e2 LIKE e", "INSERT INTO e2 SELECT * FROM e",
			"ALTER TABLE e ADD z INT DEFAULT 1", "INSERT INTO e SELECT id + 1000, a, s, 2 FROM e2"),
		equal: []string{"e", "e2"},
	},
	{
		name:   "defaults that older rows show",
		before: plain("CREATE TABLE d (id INT PRIMARY KEY) DEFAULT CHARSET utf8mb4", "INSERT INTO d VALUES (1)"),
		live: plain("ALTER TABLE d ADD a YEAR DEFAULT '0'", "ALTER TABLE d ADD b BIT(8) DEFAULT '5'",
			"ALTER TABLE d ADD c ENUM('b','B') COLLATE utf8mb4_bin DEFAULT 'B'", "ALTER TABLE d ADD e SET('s','S') COLLATE utf8mb4_bin DEFAULT 'S'",
			"ALTER TABLE d ADD f FLOAT(7,2) DEFAULT 1.239, ADD g DOUBLE(10,2) DEFAULT 1.235", "ALTER TABLE d ADD h VARCHAR(20) DEFAULT 1e20",
			"ALTER TABLE d ADD i DOUBLE DEFAULT -0.0", "INSERT INTO d (id) VALUES (2)"),
		equal: []string{"d"},
	},
	{
		name: "an ALTER in two phases", only: "mariadb",
		before: plain("CREATE TABLE o (id INT PRIMARY KEY AUTO_INCREMENT, a INT, b INT, p VARCHAR(200))",
			"INSERT INTO o (a, b, p) SELECT 1, 2, REPEAT('x', 150) FROM seq_1_to_2000"),
		live: plain("SET SESSION binlog_alter_two_phase = 1", "ALTER TABLE o MODIFY a INT AFTER b, FORCE, ALGORITHM=INPLACE, LOCK=NONE",
			"INSERT INTO o (a, b, p) VALUES (1, 2, 'after')", "ALTER TABLE o ADD COLUMN n INT DEFAULT 7", "INSERT INTO o (a, b, p) VALUES (1, 2, 'more')"),
		equal: []string{"o"},
	},
	{
		name: "functions and files write in sessions that log statements",
		before: plain("CREATE TABLE fn (id INT PRIMARY KEY, v INT)", "CREATE TABLE fd (id INT PRIMARY KEY, v INT)",
			"CREATE TABLE bystander (id INT PRIMARY KEY, v INT)",
			"CREATE FUNCTION addit(x INT) RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO fn VALUES (x, x); RETURN x; END",
			"CREATE FUNCTION again(x INT) RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO fd VALUES (x, x); RETURN x; END"),
		live: plain("SET SESSION binlog_format = 'STATEMENT'", "SELECT addit(7)", "DO again(8)", "SET SESSION binlog_format = 'ROW'",
			"INSERT INTO bystander VALUES (1, 1)"),
		stops: map[string]string{"fn": "statement", "fd": "statement"},
		equal: []string{"bystander"},
	},
	{
		name: "temporary tables that have a captured table's name", only: "mariadb",
		before: plain("CREATE TABLE tru (id INT PRIMARY KEY, v INT)", "INSERT INTO tru VALUES (1, 1), (2, 2)",
			"CREATE TABLE alt (id INT PRIMARY KEY, v INT)", "INSERT INTO alt VALUES (1, 1)"),
		live: plain("SET SESSION binlog_format = 'MIXED'", "CREATE TEMPORARY TABLE tru (x VARCHAR(10), y INT)", "TRUNCATE TABLE tru",
			"DROP TEMPORARY TABLE tru",
			"CREATE TEMPORARY TABLE alt (id INT, v INT)", "ALTER TABLE alt ADD COLUMN z INT DEFAULT 9", "DROP TABLE alt", "SET SESSION binlog_format = 'ROW'", "INSERT INTO alt VALUES (2, 2)", "INSERT INTO tru VALUES (3, 3)"),
		equal: []string{"tru", "alt"},
	},
	{
		name: "comments that the server executes", only: "mariadb",
		before: plain("CREATE TABLE m (id INT PRIMARY KEY, v INT)", "INSERT INTO m VALUES (1, 1)",
			"CREATE TABLE d (id INT PRIMARY KEY, v INT, w INT)", "INSERT INTO d VALUES (1, 1, 1)"),
		live: plain("ALTER TABLE m ADD COLUMN a INT /*M! DEFAULT 7 */", "ALTER TABLE d /*M!100100 DROP COLUMN v, */ ADD COLUMN x INT",
			"INSERT INTO d (id, w, x) VALUES (2, 20, 30)",
			"CREATE TABLE n (id INT, v INT /*M! , PRIMARY KEY (id) */)", "INSERT INTO n VALUES (1, 1)"),
		equal: []string{"m", "d", "n"},
	},
	{
		name:   "REAL that is FLOAT",
		before: plain("CREATE TABLE r (id INT PRIMARY KEY)"),
		live:   plain("SET SESSION sql_mode = 'REAL_AS_FLOAT'", "ALTER TABLE r ADD COLUMN f REAL", "INSERT INTO r VALUES (3, 2.5)"),
		equal:  []string{"r"},
	},
	{
		name: "names that technical columns could have",
		before: plain("CREATE TABLE t (id INT PRIMARY KEY, d DATE, d__raw VARCHAR(20))", "INSERT INTO t VALUES (1, '2024-01-01', 'mine')",
			"CREATE TABLE c (id INT PRIMARY KEY, name INT, NAME__2 INT)", "INSERT INTO c VALUES (1, 2, 3)"),
		live: plain("SET SESSION sql_mode = ''", "INSERT INTO t VALUES (2, '0000-00-00', 'mine2')",
			"ALTER TABLE c DROP COLUMN name", "ALTER TABLE c ADD COLUMN NAME INT", "INSERT INTO c VALUES (2, 3, 4)"),
		equal: []string{"t", "c"},
	},
	{
		name: "SET STATEMENT before a statement", only: "mariadb",
		before: plain("CREATE TABLE tru (id INT PRIMARY KEY, v INT)", "INSERT INTO tru VALUES (1, 1), (2, 2)",
			"CREATE TABLE swp (id INT PRIMARY KEY, a INT, b INT)",
			"INSERT INTO swp VALUES (1, 1, 2)", "CREATE TABLE ad (id INT PRIMARY KEY, a INT)", "INSERT INTO ad VALUES (1, 1)", "CREATE TABLE rn (id INT PRIMARY KEY, a INT)",
			"CREATE TABLE par (id INT PRIMARY KEY, v INT) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20))", "INSERT INTO par VALUES (1, 1), (11, 11)"),
		live: plain("SET STATEMENT max_statement_time=100 FOR TRUNCATE TABLE tru", "INSERT INTO tru VALUES (3, 3)",
			"SET STATEMENT lock_wait_timeout=10 FOR ALTER TABLE swp MODIFY a INT AFTER b", "INSERT INTO swp (id, a, b) VALUES (2, 100, 200)",
			"SET STATEMENT max_statement_time=100 FOR ALTER TABLE ad ADD COLUMN z INT DEFAULT 5", "SET STATEMENT max_statement_time=100 FOR RENAME TABLE rn TO rn2",
			"INSERT INTO rn2 VALUES (1, 1)", "SET STATEMENT max_statement_time=100 FOR ALTER TABLE par DROP PARTITION p0",
			"SET STATEMENT max_statement_time=100 FOR CREATE TABLE nw (id INT PRIMARY KEY, v INT)", "INSERT INTO nw VALUES (1, 1)"),
		equal: []string{"tru", "swp", "ad", "rn2", "nw", "par"},
		gone:  []string{"rn"},
	},
	{
		name:   "rows of transactions that were taken back",
		before: plain("CREATE TABLE b (id INT PRIMARY KEY)", "CREATE TABLE d (id INT PRIMARY KEY)", "CREATE TABLE f (id INT PRIMARY KEY, v INT)"),
		live: plain("BEGIN", "INSERT INTO b VALUES (10)", "CREATE TEMPORARY TABLE tt (a INT)", "INSERT INTO b VALUES (11)", "ROLLBACK",
			"BEGIN", "INSERT INTO b VALUES (20)", "DROP TEMPORARY TABLE tt", "INSERT INTO b VALUES (21)", "ROLLBACK",
			"BEGIN", "INSERT INTO d VALUES (30)", "SAVEPOINT s", "CREATE TEMPORARY TABLE t2 (a INT)", "INSERT INTO d VALUES (31)", "ROLLBACK TO s", "COMMIT",
			"BEGIN", "INSERT INTO f VALUES (1, 1)", "SAVEPOINT a1", "INSERT INTO f VALUES (2, 2)", "DROP TEMPORARY TABLE t2", "SAVEPOINT a2", "UPDATE f SET v = 9 WHERE id = 1",
			"ROLLBACK TO SAVEPOINT a2", "RELEASE SAVEPOINT a1", "INSERT INTO f VALUES (3, 3)", "COMMIT", "INSERT INTO b VALUES (40)"),
		equal: []string{"b", "d", "f"},
	},
	{
		name:   "XA transactions",
		before: plain("CREATE TABLE xa (id INT PRIMARY KEY, v INT)", "INSERT INTO xa VALUES (0, 0)"),
		live: steps(plain("XA START 'one'", "INSERT INTO xa VALUES (1, 1)", "XA END 'one'", "XA PREPARE 'one'"),
			in(2, "INSERT INTO xa VALUES (2, 2)", "UPDATE xa SET v = 5 WHERE id = 0"),
			plain("XA COMMIT 'one'"), plain("XA START 'two'", "INSERT INTO xa VALUES (3, 3)", "XA END 'two'",
				"XA PREPARE 'two'", "XA ROLLBACK 'two'"),
			plain("XA START 'three'", "INSERT INTO xa VALUES (4, 4)", "XA END 'three'", "XA COMMIT 'three' ONE PHASE"),
			in(2, "UPDATE xa SET v = v + 10")),
		equal: []string{"xa"},
	},
	{
		name: "a column of vectors", only: "mysql",
		before: plain("CREATE TABLE v0 (id INT PRIMARY KEY, v VECTOR(3), c CHAR(5))",
			"INSERT INTO v0 VALUES (1, STRING_TO_VECTOR('[1,2,3]'), 'abc')"),
		live: plain("CREATE TABLE v (id INT PRIMARY KEY, v VECTOR(4), c CHAR(5))",
			"INSERT INTO v VALUES (1, STRING_TO_VECTOR('[1,2,3,4]'), 'abc')", "INSERT INTO v0 VALUES (2, NULL, 'x')"),
		equal: []string{"v0", "v"},
	},
	{
		name: "an index over an expression", only: "mysql",
		before: plain("CREATE TABLE fn (id INT PRIMARY KEY, s VARCHAR(10))", "CREATE UNIQUE INDEX fx ON fn ((CONCAT(s, id)))",
			"INSERT INTO fn VALUES (1, 'a')"),
		live: plain("INSERT INTO fn VALUES (2, 'b')", "CREATE TABLE fu (s VARCHAR(10) NOT NULL)",
			"CREATE UNIQUE INDEX fx ON fu ((CONCAT(s, 'x')))", "INSERT INTO fu VALUES ('a'), ('b')"),
		equal: []string{"fn", "fu"},
	},
	{
		name: "geometry without a byte", only: "mariadb",
		before: plain("CREATE TABLE g (id INT PRIMARY KEY, p POINT NOT NULL)", "INSERT IGNORE INTO g (id) VALUES (1)"),
		live:   plain("INSERT IGNORE INTO g (id) VALUES (2)", "INSERT INTO g VALUES (3, POINT(1, 2))"),
		equal:  []string{"g"},
	},
	{
		name: "text of every sort",
		before: plain("CREATE TABLE z (id INT PRIMARY KEY, a VARCHAR(40) CHARACTER SET gbk, b VARCHAR(40) CHARACTER SET big5, c VARCHAR(40) CHARACTER SET sjis, d VARCHAR(40) CHARACTER SET cp1251, "+
			"e VARCHAR(40) CHARACTER SET koi8r, f TEXT CHARACTER SET utf16, g CHAR(9) CHARACTER SET latin2, h VARCHAR(40) CHARACTER SET greek, i VARCHAR(40) CHARACTER SET euckr, "+
			"j ENUM('один','два') CHARACTER SET cp1251, k VARCHAR(40) CHARACTER SET ucs2, l VARCHAR(40) CHARACTER SET tis620) DEFAULT CHARSET utf8mb4",
			"INSERT INTO z VALUES (1, '默认', '訂單', '注文', 'заказ', 'заказ', 'Größe 🚲', 'łódź', 'αβγ', '주문', 'один', 'Größe', 'กขค')"),
		live: plain("INSERT INTO z SELECT id + 1, a, b, c, d, e, f, g, h, i, j, k, l FROM z", "UPDATE z SET j = 'два', a = '备注' WHERE id = 2",
			"CREATE TABLE zk (id VARCHAR(20) CHARACTER SET gbk PRIMARY KEY, v INT)", "INSERT INTO zk VALUES ('订单', 1), ('一', 2)", "UPDATE zk SET v = 3 WHERE id = '一'"),
		equal: []string{"z", "zk"},
	},
	{
		name: "tables come and go",
		before: plain("CREATE TABLE a (id INT PRIMARY KEY)", "INSERT INTO a VALUES (1)", "CREATE TABLE b (id INT PRIMARY KEY)",
			"INSERT INTO b VALUES (2)",
			"CREATE TABLE lost (id INT PRIMARY KEY)"),
		live: plain("RENAME TABLE a TO a_old, b TO a, a_old TO b", "INSERT INTO a VALUES (10)", "INSERT INTO b VALUES (20)",
			"DROP TABLE lost", "CREATE TABLE late AS SELECT id FROM a"),
		equal: []string{"a", "b", "late"},
		gone:  []string{"lost"},
	},
}
