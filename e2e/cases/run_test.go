package cases

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/connectors/mysql"
	"github.com/millrace/millrace/connectors/mysql/account"
	source "github.com/millrace/millrace/connectors/mysql/readback"
	"github.com/millrace/millrace/e2e/inprocess"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/spec"
	"github.com/millrace/millrace/pipeline/verify"
	"github.com/millrace/millrace/sinks"
)

const file = `version: 1
name: cases
source: {type: script}
queues: 2
group: {bytes: 256KiB, interval: 5ms}
sinks:
- {name: lake, type: parquet, path: %s, current: {interval: 50ms}, flush: {rows: 100000, bytes: 16MiB, interval: 50ms}}
%s
verify: {every: %s, rows_per_second: 1000000}
`

// olapFile is the second sink, where a scene has one.
const olapFile = `- {name: olap, type: clickhouse, address: [%q], user: %q, password: %q, control_database: %q, database: %q, table: "{db}.{table}", flush: {rows: 100000, bytes: 16MiB, interval: 50ms}}`

// patience is how long one table may take at most, on the slowest machine.
const patience = 5 * time.Minute

func TestEveryTableIsRightOrSaysThatItIsNot(t *testing.T) {
	servers := map[string]func(testing.TB, ...string) *testenv.Server{"mariadb": testenv.MariaDB, "mysql": testenv.MySQL}
	for kind, start := range servers {
		t.Run(kind, func(t *testing.T) {
			s := &scene{cases: all, srv: start(t, "--log-bin-trust-function-creators=1"), lake: filepath.ToSlash(t.TempDir()),
				olap: testenv.ClickHouse(t), sessions: map[string]*sql.Conn{}}
			s.play(t, kind)
		})
	}
}

// scene is one server with its pipeline.
type scene struct {
	cases    []aCase
	srv      *testenv.Server
	db       *sql.DB
	lake     string
	olap     testenv.ClickHouseDatabase
	plan     *spec.Pipeline
	daemon   *inprocess.Daemon
	sessions map[string]*sql.Conn // by case and session
	// every is how often the daemon compares its tables; "" is never.
	every string
	// heartbeat is the source's; 0 is a short one.
	heartbeat time.Duration
	replays   int // of cases, in databases of their own
	// dir stands where statements say $DIR.
	dir string
}

// database is that of the n-th case.
func database(n int) string { return fmt.Sprintf("c%02d", n) }

func (s *scene) play(t *testing.T, kind string) {
	played := s.begin(t, kind)
	for _, n := range played {
		t.Run(s.cases[n].name, func(t *testing.T) { s.judge(t, n) })
	}
}

// begin takes the cases of a kind of server through a pipeline, each to its last statement.
func (s *scene) begin(t *testing.T, kind string) (played []int) {
	var err error
	if s.db, err = s.srv.Open(""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.db.Close() })
	for n, c := range s.cases {
		if c.only != "" && c.only != kind {
			continue
		}
		played = append(played, n)
		if _, err := s.db.ExecContext(t.Context(), "CREATE DATABASE "+database(n)+" CHARACTER SET utf8mb4"); err != nil {
			t.Fatal(err)
		}
		s.run(t, n, c.before)
	}
	s.start(t)
	s.settled(t)
	for _, n := range played {
		s.run(t, n, s.cases[n].live)
	}
	return played
}

// run executes the steps of a case in their sessions.
func (s *scene) run(t *testing.T, n int, list []step) {
	t.Helper()
	for _, one := range list {
		key := fmt.Sprintf("%d/%d", n, one.session)
		conn := s.sessions[key]
		if conn == nil {
			var err error
			if conn, err = s.db.Conn(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.sessions[key] = conn
			t.Cleanup(func() { conn.Close() })
			if _, err := conn.ExecContext(t.Context(), "USE "+database(n)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := conn.ExecContext(t.Context(), strings.ReplaceAll(one.sql, "$DIR", s.dir)); err != nil {
			t.Fatalf("%s: %s: %v", s.cases[n].name, one.sql, err)
		}
	}
}

func (s *scene) start(t *testing.T) {
	cfg := mysql.DefaultConfig()
	cfg.Address, cfg.User, cfg.Tables, cfg.Queues = s.srv.Addr, "root", []string{"c*.*"}, 2
	cfg.Heartbeat = cmp.Or(s.heartbeat, 200*time.Millisecond)
	cluster := inprocess.New(t, nil)
	plan := inprocess.Plan{Dir: t.TempDir(), Source: func(*spec.Pipeline) (pipeline.Source, error) {
		return mysql.New(cfg, inprocess.Log(), nil)
	}}
	if s.every != "" {
		plan.SourceReader = func(*spec.Pipeline) (pipeline.Reader, error) {
			captured := func(n event.TableName) bool { return strings.HasPrefix(n.DB, "c") }
			return source.New(source.Config{Account: account.Account{Address: s.srv.Addr, User: "root"}, Captured: captured})
		}
	}
	olap := ""
	if s.olap.Name != "" {
		o, err := s.olap.Options()
		if err != nil {
			t.Fatal(err)
		}
		olap = fmt.Sprintf(olapFile, o.Addr[0], cmp.Or(o.Auth.Username, "default"), o.Auth.Password, s.olap.Name, s.olap.Name)
	}
	text := fmt.Sprintf(file, s.lake, olap, cmp.Or(s.every, "off"))
	kinds := spec.Kinds{Sources: map[string]spec.Kind{"script": {Default: func() any { return &struct{}{} }, Check: func(any) []spec.Finding { return nil }}}, Sinks: sinks.Kinds()}
	var err error
	if s.plan, err = spec.Parse("cases.yaml", []byte(text), kinds, func(string) (string, bool) { return "", false }); err != nil {
		t.Fatal(err)
	}
	plan.Write(t, "cases.yaml", text)
	s.daemon = cluster.Daemon(plan)
	t.Cleanup(func() {
		if err := s.daemon.Stop(); err != nil {
			t.Error(err)
		}
	})
}

// await waits for a condition; its text says what it last saw.
func await(t *testing.T, what string, ok func() (bool, string)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	inprocess.Until(ctx, t, what, 100*time.Millisecond, ok)
}

// settled waits for the first snapshots.
func (s *scene) settled(t *testing.T) {
	t.Helper()
	await(t, "the first snapshots", func() (bool, string) {
		var waiting []string
		statuses := s.daemon.Statuses()
		if len(statuses) == 0 || !statuses[0].Source.Connected || len(statuses[0].Tables) == 0 {
			return false, fmt.Sprintf("%+v", statuses)
		}
		for _, table := range statuses[0].Tables {
			if table.Snapshot < 100 || table.State != pipeline.StateRunning {
				waiting = append(waiting, fmt.Sprintf("%s %s %s", table.Name, table.State, table.Reason))
			}
		}
		return len(waiting) == 0, strings.Join(waiting, "; ")
	})
}

// judge looks at each table that the case speaks of.
func (s *scene) judge(t *testing.T, n int) {
	c := s.cases[n]
	for _, name := range c.equal {
		s.equal(t, event.TableName{DB: database(n), Table: name})
	}
	for name, code := range c.stops {
		full := database(n) + "." + name
		await(t, full+" to stop with "+code, func() (bool, string) {
			table, _ := s.daemon.Table(full)
			return table.State == pipeline.StatePaused && strings.Contains(table.Reason, code), fmt.Sprintf("%+v", table)
		})
	}
	for _, name := range c.gone {
		full := database(n) + "." + name
		await(t, full+" to be said gone", func() (bool, string) {
			table, known := s.daemon.Table(full)
			return !known || table.State != pipeline.StateRunning, fmt.Sprintf("%+v", table)
		})
	}
}

// equal waits until source and target are the same and the table goes on.
func (s *scene) equal(t *testing.T, name event.TableName) {
	t.Helper()
	await(t, name.String()+" to equal the server's", func() (bool, string) {
		table, known := s.daemon.Table(name.String())
		if !known || table.State != pipeline.StateRunning || table.Snapshot < 100 {
			return false, fmt.Sprintf("known %t, %+v", known, table)
		}
		server, err := source.New(source.Config{Account: account.Account{Address: s.srv.Addr, User: "root"}})
		if err != nil {
			return false, err.Error()
		}
		defer server.Close()
		for _, sink := range s.plan.Sinks {
			target, err := sinks.Readback(s.plan, sink)
			if err != nil {
				return false, err.Error()
			}
			got, err := verify.Compare(t.Context(), server, target, name)
			if err := errors.Join(err, target.Close()); err != nil {
				return false, sink.Name + ": " + err.Error()
			}
			if !got.Equal() {
				return false, fmt.Sprintf("%s: %+v", sink.Name, got)
			}
		}
		return true, ""
	})
}
