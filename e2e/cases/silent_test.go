//go:build seeded

package cases

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/millrace/millrace/connectors/mysql/account"
	source "github.com/millrace/millrace/connectors/mysql/readback"
	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/verify"
	target "github.com/millrace/millrace/sinks/parquet/readback"
)

// silentCase goes wrong without a word where a bug is switched on: what one comparison says of
// each of its tables then.
type silentCase struct {
	aCase
	says map[string]string // table → what is said of it
	// bug is the one of switchedOn that it stands for; "" is the first.
	bug seeded.Bug
	// then is what follows the live statements.
	then func(s *scene, t *testing.T, n int)
}

// switchedOn are what heeds statements and compares definitions, off, and two bugs beside that.
var switchedOn = []seeded.Bug{
	seeded.LogTakenAtItsWord, seeded.AlterPartByPart, seeded.AuditNeverRuns, seeded.RolledBackRowsKept, seeded.ChunkCutShort,
	seeded.NamesChangeHands,
}

var silent = []silentCase{
	{aCase: aCase{
		name:   "columns swap their names",
		before: plain("CREATE TABLE sw (id INT PRIMARY KEY, a INT, b INT)", "INSERT INTO sw VALUES (1, 10, 20)"),
		live:   plain("ALTER TABLE sw RENAME COLUMN a TO b, RENAME COLUMN b TO a", "INSERT INTO sw (id, a, b) VALUES (2, 100, 200)"),
	}, says: map[string]string{"sw": "differs: id=2: b is 200 in the source, 100 in the target"}},
	{aCase: aCase{
		name:   "a column takes the name of one that is dropped",
		before: plain("CREATE TABLE w (id INT PRIMARY KEY, a INT, b INT, c INT)", "INSERT INTO w VALUES (1, 10, 20, 30)"),
		live:   plain("ALTER TABLE w RENAME COLUMN a TO b, DROP COLUMN b", "INSERT INTO w VALUES (2, 1, 2)"),
	}, says: map[string]string{"w": "differs: id=1: b is 10 in the source, 20 in the target"}},
	{aCase: aCase{
		name:   "a unique key becomes nullable",
		before: plain("CREATE TABLE nn (u INT NOT NULL, v INT, UNIQUE KEY uk (u))", "INSERT INTO nn VALUES (1, 1), (2, 2)"),
		live:   plain("ALTER TABLE nn MODIFY u INT NULL", "INSERT INTO nn VALUES (NULL, 10), (NULL, 11), (NULL, 12)"),
	}, says: map[string]string{"nn": "only in the source: u=NULL v=1"}},
	{aCase: aCase{
		name: "statements that begin with a comment or SET STATEMENT",
		before: plain("CREATE TABLE ad (id INT PRIMARY KEY, a INT)", "INSERT INTO ad VALUES (1, 1)",
			"CREATE TABLE swp (id INT PRIMARY KEY, a INT, b INT)", "INSERT INTO swp VALUES (1, 1, 2)",
			"CREATE TABLE tru (id INT PRIMARY KEY, v INT)", "INSERT INTO tru VALUES (1, 1), (2, 2)", "CREATE TABLE t (id INT PRIMARY KEY, v INT)",
			"CREATE TABLE rn (id INT PRIMARY KEY, a INT)", "INSERT INTO rn VALUES (1, 1)",
			"CREATE TABLE par (id INT PRIMARY KEY, v INT) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20))",
			"INSERT INTO par VALUES (1, 1), (11, 11)"),
		live: plain("/* x */ ALTER TABLE t RENAME TO t9, ADD COLUMN u UUID",
			"/* ApplicationName=DBeaver 24.1 - Main */ CREATE TABLE u1 (id UUID PRIMARY KEY, v INT)", "INSERT INTO u1 VALUES (UUID(), 1)",
			"/*M!100100 CREATE TABLE u6 (id INT PRIMARY KEY, v INT) */", "INSERT INTO u6 VALUES (1, 1)",
			"SET STATEMENT max_statement_time=100 FOR ALTER TABLE ad ADD COLUMN z INT DEFAULT 5", "SET STATEMENT max_statement_time=100 FOR TRUNCATE TABLE tru",
			"SET STATEMENT lock_wait_timeout=10 FOR ALTER TABLE swp MODIFY a INT AFTER b", "INSERT INTO swp (id, a, b) VALUES (2, 100, 200)",
			"SET STATEMENT max_statement_time=100 FOR CREATE TABLE nw (id INT PRIMARY KEY, v INT)", "INSERT INTO nw VALUES (1, 1)",
			"SET STATEMENT max_statement_time=100 FOR RENAME TABLE rn TO rn2", "SET STATEMENT max_statement_time=100 FOR ALTER TABLE par DROP PARTITION p0"),
	}, says: map[string]string{
		"u1": lacking, "u6": lacking, "nw": lacking, "t9": lacking, "rn2": lacking, "t": withoutSource, "rn": withoutSource, "par": "only in the target: id=1",
		"ad":  "the target lacks the columns z",
		"tru": "only in the target: id=1", "swp": "differs: id=2: b is 200 in the source, 100 in the target",
	}},
	{aCase: aCase{
		name: "a client that speaks GBK",
		live: plain("SET NAMES gbk", gbk("CREATE TABLE `订单` (id INT PRIMARY KEY, `名称` VARCHAR(10)) DEFAULT CHARSET utf8mb4"),
			gbk("INSERT INTO `订单` VALUES (1, '一')")),
	}, says: map[string]string{"订单": lacking}},
	{aCase: aCase{
		name: "members with a backslash",
		before: plain(`CREATE TABLE e (id INT PRIMARY KEY, a ENUM('a,b','back\\slash')) DEFAULT CHARSET utf8mb4`,
			`INSERT INTO e VALUES (1,'a,b'), (2,'back\\slash')`),
		live: plain("INSERT INTO e SELECT id + 100, a FROM e"),
	}, says: map[string]string{"e": `differs: id=102: a is back\slash in the source, back\\slash in the target`}},
	{aCase: aCase{
		name:   "a default that the server converts",
		before: plain("CREATE TABLE d (id INT PRIMARY KEY)", "INSERT INTO d VALUES (1)"),
		live:   plain("ALTER TABLE d ADD f FLOAT(7,2) DEFAULT 1.239"),
	}, says: map[string]string{"d": "differs: id=1: f is 1.24 in the source, NULL in the target"}},
	{aCase: aCase{
		name: "functions and files write in sessions that log statements",
		before: plain("CREATE TABLE fn (id INT PRIMARY KEY, v INT)", "CREATE TABLE fd (id INT PRIMARY KEY, v INT)",
			"CREATE TABLE st (id INT PRIMARY KEY, v INT)",
			"CREATE TABLE ld (id INT PRIMARY KEY, v INT)", "SELECT 1, 1 UNION SELECT 2, 2 INTO OUTFILE '$DIR/rows.csv' FIELDS TERMINATED BY ','",
			"CREATE FUNCTION addit(x INT) RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO fn VALUES (x, x); RETURN x; END",
			"CREATE FUNCTION again(x INT) RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO fd VALUES (x, x); RETURN x; END"),
		live: plain("SET SESSION binlog_format = 'STATEMENT'", "SELECT addit(7)", "DO again(8)", "INSERT INTO st VALUES (1, 1)",
			"LOAD DATA INFILE '$DIR/rows.csv' INTO TABLE ld FIELDS TERMINATED BY ','"),
	}, says: map[string]string{"fn": "only in the source: id=7", "fd": "only in the source: id=8", "st": "only in the source: id=1",
		"ld": "only in the source: id=1"}},
	{aCase: aCase{
		name: "temporary tables that have a captured table's name",
		before: plain("CREATE TABLE tru (id INT PRIMARY KEY, v INT)", "INSERT INTO tru VALUES (1, 1), (2, 2)",
			"CREATE TABLE alt (id INT PRIMARY KEY, v INT)", "INSERT INTO alt VALUES (1, 1)"),
		live: plain("SET SESSION binlog_format = 'MIXED'", "CREATE TEMPORARY TABLE tru (x VARCHAR(10), y INT)", "TRUNCATE TABLE tru",
			"DROP TEMPORARY TABLE tru",
			"CREATE TEMPORARY TABLE alt (id INT, v INT)", "ALTER TABLE alt ADD COLUMN z INT DEFAULT 9", "DROP TEMPORARY TABLE alt"),
	}, says: map[string]string{"tru": "only in the source: id=1", "alt": "the target has the columns z, which the source does not have"}},
	{aCase: aCase{
		name:   "comments that the server executes",
		before: plain("CREATE TABLE m (id INT PRIMARY KEY, v INT)", "INSERT INTO m VALUES (1, 1)"),
		live:   plain("ALTER TABLE m ADD COLUMN a INT /*M! DEFAULT 7 */"),
	}, says: map[string]string{"m": "differs: id=1: a is 7 in the source, NULL in the target"}},
	{aCase: aCase{
		name:   "rows of transactions that were taken back",
		before: plain("CREATE TABLE b (id INT PRIMARY KEY)", "CREATE TABLE d (id INT PRIMARY KEY)", "CREATE TABLE f (id INT PRIMARY KEY)"),
		live: plain("BEGIN", "INSERT INTO b VALUES (10)", "CREATE TEMPORARY TABLE tt (a INT)", "INSERT INTO b VALUES (11)", "ROLLBACK",
			"BEGIN", "INSERT INTO d VALUES (30)", "ROLLBACK", "INSERT INTO d VALUES (40)",
			"BEGIN", "INSERT INTO f VALUES (30)", "SAVEPOINT s", "CREATE TEMPORARY TABLE t2 (a INT)", "INSERT INTO f VALUES (31)", "ROLLBACK TO s", "COMMIT"),
	}, says: map[string]string{"b": "only in the target: id=10", "d": verify.Equal, "f": "only in the target: id=31"}},
	{aCase: aCase{
		name:   "an ALTER in two phases",
		before: plain("CREATE TABLE o (id INT PRIMARY KEY AUTO_INCREMENT, a INT, b INT, p VARCHAR(200))"),
		live:   plain("INSERT INTO o (a, b, p) SELECT 1, 2, REPEAT('x', 150) FROM seq_1_to_20000"),
	}, says: map[string]string{"o": "a is 1 in the source, 2 in the target"}, then: alterWhileWritten},
	{aCase: aCase{
		name:   "names in two tables",
		before: plain("CREATE TABLE t (id INT PRIMARY KEY, d DATE, d__raw VARCHAR(20))", "INSERT INTO t VALUES (1, '2024-01-01', 'mine')"),
		live:   plain("SET SESSION sql_mode = ''", "INSERT INTO t VALUES (2, '0000-00-00', 'mine too')"),
	}, says: map[string]string{"t": "one name has to be one column in both"}, bug: seeded.NamesChangeHands},
	{aCase: aCase{
		name: "settings of the snapshot's session",
		before: plain("CREATE TABLE k (id INT PRIMARY KEY)", "INSERT INTO k SELECT seq FROM seq_1_to_320",
			"CREATE TABLE kl (v INT)", "INSERT INTO kl SELECT id FROM k", "SET GLOBAL sql_select_limit = 100"),
	}, says: map[string]string{"k": "220 rows: only in the source: id=", "kl": "220 rows: only in the source: v="}, bug: seeded.ChunkCutShort},
	{aCase: aCase{
		name:   "the last statement",
		before: plain("CREATE TABLE z (id INT PRIMARY KEY)"),
		live:   plain("INSERT INTO z VALUES (1)"),
		equal:  []string{"z"},
	}},
}

func gbk(s string) string {
	out, err := simplifiedchinese.GBK.NewEncoder().String(s)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return out
}

// lacking is what a comparison says of a table that the target lacks as a whole.
const lacking = "the target does not have the table"

// withoutSource is what it says of one that the source no longer has.
const withoutSource = "the source does not have the table"

// TestSilentCasesAreFoundSeeded switches bugs on, so that tables go wrong and stay running, and
// compares each table once; the daemon's rounds must find the same. Those that are not played
// stand in notPlayed.
func TestSilentCasesAreFoundSeeded(t *testing.T) {
	var bugs []string
	for _, bug := range switchedOn {
		bugs = append(bugs, string(bug))
	}
	t.Setenv("MILLRACE_SEEDED_BUG", strings.Join(bugs, ","))
	s := &scene{
		srv:  testenv.MariaDB(t, "--log-bin-trust-function-creators=1", "--secure-file-priv="),
		lake: filepath.ToSlash(t.TempDir()), dir: filepath.ToSlash(t.TempDir()), sessions: map[string]*sql.Conn{},
		every: "1s", heartbeat: time.Second,
	}
	for _, c := range silent {
		s.cases = append(s.cases, c.aCase)
	}
	s.begin(t, "mariadb")
	for n, c := range silent {
		if c.then != nil {
			c.then(s, t, n)
		}
	}
	s.judge(t, len(silent)-1)
	for _, bug := range []seeded.Bug{seeded.LogTakenAtItsWord, seeded.ChunkCutShort, seeded.NamesChangeHands} {
		t.Run(string(bug), func(t *testing.T) {
			for n, c := range silent {
				if c.bug == bug || c.bug == "" && bug == seeded.LogTakenAtItsWord {
					s.foundAll(t, n, c)
				}
			}
		})
	}
	for _, r := range notPlayed {
		t.Logf("%s: %s", r.name, r.why)
	}
}

// foundAll looks at the tables of a case.
func (s *scene) foundAll(t *testing.T, n int, c silentCase) {
	for table, want := range c.says {
		name := event.TableName{DB: database(n), Table: table}
		t.Run(c.name+"/"+table, func(t *testing.T) {
			if want == lacking {
				name = s.unnoticed(t, n, name)
			}
			s.found(t, name, want)
			if want != lacking {
				s.foundByTheDaemon(t, name, want)
			}
		})
	}
}

// alterWhileWritten alters the table o in two phases, while another session writes, until the
// log holds rows between a start and its end.
func alterWhileWritten(s *scene, t *testing.T, n int) {
	s.run(t, n, in(1, "SET SESSION binlog_alter_two_phase = 1"))
	for _, place := range []string{"b", "id", "b", "id", "b", "id", "b", "id", "b", "id"} {
		var from string
		var pos uint64
		var rest [2]any
		if err := s.db.QueryRowContext(t.Context(), "SHOW MASTER STATUS").Scan(&from, &pos, &rest[0], &rest[1]); err != nil {
			t.Fatal(err)
		}
		altered := make(chan error, 1)
		conn := s.sessions[fmt.Sprintf("%d/1", n)]
		go func() {
			_, err := conn.ExecContext(t.Context(), "ALTER TABLE o MODIFY a INT AFTER "+place+", FORCE, ALGORITHM=INPLACE, LOCK=NONE")
			altered <- err
		}()
		for going := true; going; {
			s.run(t, n, in(2, "INSERT INTO o (a, b, p) VALUES (1, 2, 'during')"))
			select {
			case err := <-altered:
				if going = false; err != nil {
					t.Fatal(err)
				}
			default:
			}
		}
		if s.rowsBetweenPhases(t, from, pos) {
			return
		}
	}
	t.Fatal("no row came between the phases of ten ALTERs")
}

// rowsBetweenPhases reports whether a log holds rows between the start and the end of an ALTER.
func (s *scene) rowsBetweenPhases(t *testing.T, file string, from uint64) bool {
	rows, err := s.db.QueryContext(t.Context(), fmt.Sprintf("SHOW BINLOG EVENTS IN '%s' FROM %d", file, from))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	started, between := false, false
	for rows.Next() {
		var name, kind, info string
		var pos, server, end uint64
		if err := rows.Scan(&name, &pos, &kind, &server, &end, &info); err != nil {
			t.Fatal(err)
		}
		switch {
		case strings.Contains(info, "START ALTER"):
			started = true
		case strings.Contains(info, "COMMIT ALTER"):
			return between
		case started && strings.HasPrefix(kind, "Write_rows"):
			between = true
		}
	}
	return false
}

// found compares a table once.
func (s *scene) found(t *testing.T, name event.TableName, want string) {
	if table, known := s.daemon.Table(name.String()); known && table.State != pipeline.StateRunning && table.State != pipeline.StateUnnoticed {
		t.Errorf("it is not silent: %+v", table)
	}
	server, err := source.New(source.Config{Account: account.Account{Address: s.srv.Addr, User: "root"}})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	lake := target.New(s.lake, "cases")
	defer lake.Close()
	wait := time.Duration(1)
	if !strings.HasPrefix(want, "the target ") { // what the target lacks as a whole is waited for to the end
		wait = patience
	}
	got, err := verify.Check(t.Context(), server, lake, name,
		verify.Options{Wait: wait, Pause: 50 * time.Millisecond, Complete: func() time.Time {
			return s.lakes(name).CompleteTo.Current
		}})
	if err != nil { // which is said as it is
		got.Unreadable = err.Error()
	}
	said := fmt.Sprintf("%s: %s%s%s: %d rows: %s", got.State(), got.Unreadable, got.Orphaned, got.Problem, got.Differences(),
		strings.Join(got.Examples, "; "))
	t.Log(said)
	if wait == patience && got.State() == verify.Behind {
		t.Errorf("it is not certain: %s", got.Behind)
	}
	if !strings.Contains(said, want) || got.Equal() != (want == verify.Equal) {
		t.Errorf("no %q in %s", want, said)
	}
}

// lakes is what the daemon says of a table in the lake; nothing where it does not know it.
func (s *scene) lakes(name event.TableName) pipeline.SinkSummary {
	table, _ := s.daemon.Table(name.String())
	for _, one := range table.Sinks {
		if one.Sink == "lake" {
			return one
		}
	}
	return pipeline.SinkSummary{}
}

// unnoticed waits until the daemon says that it took no note of a table. A source that is opened
// anew reads the tables that it finds, and a busy machine may well make it do so: then the case
// is played once more, in a database of its own. It returns the table that was found.
func (s *scene) unnoticed(t *testing.T, n int, name event.TableName) event.TableName {
	t.Helper()
	for {
		noticed := false
		await(t, name.String()+" to be said", func() (bool, string) {
			table, known := s.daemon.Table(name.String())
			noticed = known && table.State != pipeline.StateUnnoticed
			return known, ""
		})
		if !noticed {
			return name
		}
		s.replays++
		t.Logf("the source was opened anew before the round: %s", name)
		name.DB = fmt.Sprintf("%sx%d", database(n), s.replays)
		s.replay(t, n, name.DB)
	}
}

// replay plays a case in another database.
func (s *scene) replay(t *testing.T, n int, db string) {
	t.Helper()
	conn, err := s.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	statements := []step{{sql: "CREATE DATABASE " + db + " CHARACTER SET utf8mb4"}, {sql: "USE " + db}}
	for _, one := range append(append(statements, s.cases[n].before...), s.cases[n].live...) {
		if _, err := conn.ExecContext(t.Context(), one.sql); err != nil {
			t.Fatalf("%s: %v", one.sql, err)
		}
	}
}

// foundByTheDaemon waits for what the running pipeline's own rounds say of a table.
func (s *scene) foundByTheDaemon(t *testing.T, name event.TableName, want string) {
	await(t, "the round to find it", func() (bool, string) {
		table, _ := s.daemon.Table(name.String())
		found := s.lakes(name).Verified
		if found == nil {
			return false, fmt.Sprintf("%+v", table)
		}
		said := fmt.Sprintf("%s: %s", found.State, found.Reason)
		return strings.Contains(said, want), said
	})
}

// notPlayed are silent cases without a switch, with the reason.
var notPlayed = []struct{ name, why string }{
	{"statements that change no table", "no row is wrong: only changes/ lacked some"},
}
