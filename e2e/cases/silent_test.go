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

// silent are cases that go wrong without a word where the log is taken at its word: what one
// comparison says of each table then.
var silent = []struct {
	aCase
	says map[string]string // table → what is said of it
}{
	{aCase{
		name:   "columns swap their names",
		before: plain("CREATE TABLE sw (id INT PRIMARY KEY, a INT, b INT)", "INSERT INTO sw VALUES (1, 10, 20)"),
		live:   plain("ALTER TABLE sw RENAME COLUMN a TO b, RENAME COLUMN b TO a", "INSERT INTO sw (id, a, b) VALUES (2, 100, 200)"),
	}, map[string]string{"sw": "differs: id=2: b is 200 in the source, 100 in the target"}},
	{aCase{
		name:   "a column takes the name of one that is dropped",
		before: plain("CREATE TABLE w (id INT PRIMARY KEY, a INT, b INT, c INT)", "INSERT INTO w VALUES (1, 10, 20, 30)"),
		live:   plain("ALTER TABLE w RENAME COLUMN a TO b, DROP COLUMN b", "INSERT INTO w VALUES (2, 1, 2)"),
	}, map[string]string{"w": "differs: id=1: b is 10 in the source, 20 in the target"}},
	{aCase{
		name:   "a unique key becomes nullable",
		before: plain("CREATE TABLE nn (u INT NOT NULL, v INT, UNIQUE KEY uk (u))", "INSERT INTO nn VALUES (1, 1), (2, 2)"),
		live:   plain("ALTER TABLE nn MODIFY u INT NULL", "INSERT INTO nn VALUES (NULL, 10), (NULL, 11), (NULL, 12)"),
	}, map[string]string{"nn": "only in the source: u=NULL v=1"}},
	{aCase{
		name: "statements that begin with a comment or SET STATEMENT",
		before: plain("CREATE TABLE ad (id INT PRIMARY KEY, a INT)", "INSERT INTO ad VALUES (1, 1)", "CREATE TABLE swp (id INT PRIMARY KEY, a INT, b INT)", "INSERT INTO swp VALUES (1, 1, 2)",
			"CREATE TABLE tru (id INT PRIMARY KEY, v INT)", "INSERT INTO tru VALUES (1, 1), (2, 2)"),
		live: plain("/* ApplicationName=DBeaver 24.1 - Main */ CREATE TABLE u1 (id UUID PRIMARY KEY, v INT)", "INSERT INTO u1 VALUES (UUID(), 1)",
			"/*M!100100 CREATE TABLE u6 (id INT PRIMARY KEY, v INT) */", "INSERT INTO u6 VALUES (1, 1)",
			"SET STATEMENT max_statement_time=100 FOR ALTER TABLE ad ADD COLUMN z INT DEFAULT 5", "SET STATEMENT max_statement_time=100 FOR TRUNCATE TABLE tru",
			"SET STATEMENT lock_wait_timeout=10 FOR ALTER TABLE swp MODIFY a INT AFTER b", "INSERT INTO swp (id, a, b) VALUES (2, 100, 200)",
			"SET STATEMENT max_statement_time=100 FOR CREATE TABLE nw (id INT PRIMARY KEY, v INT)", "INSERT INTO nw VALUES (1, 1)"),
	}, map[string]string{
		"u1": lacking, "u6": lacking, "nw": lacking, "ad": "the target lacks the columns z",
		"tru": "only in the target: id=1", "swp": "differs: id=2: b is 200 in the source, 100 in the target",
	}},
	{aCase{
		name: "a client that speaks GBK",
		live: plain("SET NAMES gbk", gbk("CREATE TABLE `订单` (id INT PRIMARY KEY, `名称` VARCHAR(10)) DEFAULT CHARSET utf8mb4"), gbk("INSERT INTO `订单` VALUES (1, '一')")),
	}, map[string]string{"订单": lacking}},
	{aCase{
		name:   "members with a backslash",
		before: plain(`CREATE TABLE e (id INT PRIMARY KEY, a ENUM('a,b','back\\slash')) DEFAULT CHARSET utf8mb4`, `INSERT INTO e VALUES (1,'a,b'), (2,'back\\slash')`),
		live:   plain("INSERT INTO e SELECT id + 100, a FROM e"),
	}, map[string]string{"e": `differs: id=102: a is back\slash in the source, back\\slash in the target`}},
	{aCase{
		name:   "a default that the server converts",
		before: plain("CREATE TABLE d (id INT PRIMARY KEY)", "INSERT INTO d VALUES (1)"),
		live:   plain("ALTER TABLE d ADD f FLOAT(7,2) DEFAULT 1.239"),
	}, map[string]string{"d": "differs: id=1: f is 1.24 in the source, NULL in the target"}},
	{aCase{
		name: "functions write in sessions that log statements",
		before: plain("CREATE TABLE fn (id INT PRIMARY KEY, v INT)", "CREATE TABLE st (id INT PRIMARY KEY, v INT)",
			"CREATE FUNCTION addit(x INT) RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO fn VALUES (x, x); RETURN x; END"),
		live: plain("SET SESSION binlog_format = 'STATEMENT'", "SELECT addit(7)", "INSERT INTO st VALUES (1, 1)"),
	}, map[string]string{"fn": "only in the source: id=7", "st": "only in the source: id=1"}},
	{aCase{
		name:   "temporary tables that have a captured table's name",
		before: plain("CREATE TABLE tru (id INT PRIMARY KEY, v INT)", "INSERT INTO tru VALUES (1, 1), (2, 2)"),
		live:   plain("SET SESSION binlog_format = 'MIXED'", "CREATE TEMPORARY TABLE tru (x VARCHAR(10), y INT)", "TRUNCATE TABLE tru", "DROP TEMPORARY TABLE tru"),
	}, map[string]string{"tru": "only in the source: id=1"}},
	{aCase{
		name:   "comments that the server executes",
		before: plain("CREATE TABLE m (id INT PRIMARY KEY, v INT)", "INSERT INTO m VALUES (1, 1)"),
		live:   plain("ALTER TABLE m ADD COLUMN a INT /*M! DEFAULT 7 */"),
	}, map[string]string{"m": "differs: id=1: a is 7 in the source, NULL in the target"}},
	{aCase{
		name:   "rows of transactions that were taken back",
		before: plain("CREATE TABLE b (id INT PRIMARY KEY)", "CREATE TABLE d (id INT PRIMARY KEY)"),
		live: plain("BEGIN", "INSERT INTO b VALUES (10)", "CREATE TEMPORARY TABLE tt (a INT)", "INSERT INTO b VALUES (11)", "ROLLBACK",
			"BEGIN", "INSERT INTO d VALUES (30)", "ROLLBACK", "INSERT INTO d VALUES (40)"),
	}, map[string]string{"b": "only in the target: id=10", "d": verify.Equal}},
	{aCase{
		name:   "the last statement",
		before: plain("CREATE TABLE z (id INT PRIMARY KEY)"),
		live:   plain("INSERT INTO z VALUES (1)"),
		equal:  []string{"z"},
	}, nil},
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

// TestSilentCasesAreFoundSeeded switches off what heeds statements and compares definitions,
// so that tables go wrong and stay running, and compares each table once; the daemon's rounds
// must find the same of the tables that it knows. Those that are not played stand in notPlayed.
func TestSilentCasesAreFoundSeeded(t *testing.T) {
	t.Run(string(seeded.LogTakenAtItsWord), func(t *testing.T) {
		t.Setenv("MILLRACE_SEEDED_BUG", strings.Join([]string{string(seeded.LogTakenAtItsWord), string(seeded.AlterPartByPart), string(seeded.AuditNeverRuns), string(seeded.RolledBackRowsKept)}, ","))
		s := &scene{srv: testenv.MariaDB(t, "--log-bin-trust-function-creators=1"), olap: testenv.ClickHouse(t), lake: filepath.ToSlash(t.TempDir()), sessions: map[string]*sql.Conn{}, every: "1s"}
		for _, c := range silent {
			s.cases = append(s.cases, c.aCase)
		}
		s.begin(t, "mariadb")
		s.judge(t, len(silent)-1)
		for n, c := range silent {
			for table, want := range c.says {
				name := event.TableName{DB: database(n), Table: table}
				t.Run(c.name+"/"+table, func(t *testing.T) {
					s.found(t, name, want)
					if want != lacking {
						s.foundByTheDaemon(t, name, want)
					}
				})
			}
		}
	})
	for _, r := range notPlayed {
		t.Logf("%s: %s", r.name, r.why)
	}
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
	got, err := verify.Check(t.Context(), server, lake, name, verify.Options{Wait: wait, Pause: 50 * time.Millisecond, Complete: func() time.Time {
		return s.lakes(name).CompleteTo.Current
	}})
	if err != nil {
		t.Fatal(err)
	}
	said := fmt.Sprintf("%s: %s: %s", got.State(), got.Problem, strings.Join(got.Examples, "; "))
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
	{"an ALTER in two phases", "which rows come between its parts is chance; ./connectors/mysql writes until some do"},
	{"names in two tables", "both tables of a lake take their names from one list, and a comparison goes by the columns' own names"},
	{"settings of the snapshot's session", "every session sets what it depends on where it is made, and a range whose rows are cut short fails"},
}
