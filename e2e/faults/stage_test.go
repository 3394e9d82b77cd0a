package faults

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/e2e/inprocess"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/httpapi"
	"github.com/millrace/millrace/pipeline/verify"
)

const pipelineFile = `version: 1
name: shop
source:
  type: mysql
  address: %s
  user: millrace
  password: millrace-test
  tables: [shop.*]
  snapshot: {mode: initial, chunk_rows: 4096, parallel: 2}
  heartbeat: 1s
queues: 3
delivery: transactional
group: {bytes: 256KiB, interval: 10ms}
sinks:
  - name: lake
    type: parquet
    path: %s
    flush: {rows: 20000, bytes: 8MiB, interval: 500ms}
    current: {interval: 1s}
`

// stage is a database, `millrace standalone` with one pipeline, and the lake.
type stage struct {
	*program
	server *testenv.Server
	db     *sql.DB
	http   *httpapi.Client
	file   string
	lake   string
}

// newStage starts the database; millrace is started by the caller.
func newStage(ctx context.Context, t *testing.T, serverArgs ...string) *stage {
	t.Helper()
	if testenv.MaySkip("mariadb") {
		testenv.Missing(t, "mariadb", fmt.Errorf("left out by MILLRACE_SKIP"))
	}
	s := &stage{server: testenv.MariaDB(t, append([]string{"--max-connections=200"}, serverArgs...)...)}
	var err error
	if s.db, err = s.server.Open(""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.db.Close() })
	makeShop(ctx, t, s.db)
	s.place(t)
	return s
}

// place makes the directories and the pipeline file.
func (s *stage) place(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	pipelines := filepath.Join(dir, "pipelines")
	s.lake, s.file = filepath.Join(dir, "lake"), filepath.Join(pipelines, "shop.yaml")
	if given := os.Getenv("MILLRACE_FAULT_LAKE"); given != "" { // a file system to fill by hand
		s.lake = given
	}
	if err := os.MkdirAll(pipelines, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.file, fmt.Appendf(nil, pipelineFile, s.server.Addr, s.lake), 0o644); err != nil {
		t.Fatal(err)
	}
	http := loopback(freePort(t))
	s.http = httpapi.NewClient(http)
	s.program = &program{t: t, dir: dir, name: "standalone", args: []string{"standalone", "--data", filepath.Join(dir, "data"),
		"--pipelines", pipelines, "--http", http, "--namesrv-listen", loopback(freePort(t)), "--broker-listen", loopback(freePort(t))}}
}

// status is the pipeline's, or what was answered instead.
func (s *stage) status(ctx context.Context) (pipeline.Status, error) {
	s.t.Helper()
	s.alive()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return s.http.Pipeline(ctx, "shop")
}

// settled waits until the reader has passed the end of the server's log, no snapshot is
// in progress, and every sink has shown everything.
func (s *stage) settled(ctx context.Context) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	var file string
	var pos uint64
	var rest [2]sql.NullString
	if err := s.db.QueryRowContext(ctx, "SHOW MASTER STATUS").Scan(&file, &pos, &rest[0], &rest[1]); err != nil {
		s.t.Fatal(err)
	}
	var tables int
	if err := s.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'shop'").Scan(&tables); err != nil {
		s.t.Fatal(err)
	}
	last := "no status"
	defer func() {
		if s.t.Failed() {
			s.t.Log(s.proc.Log())
		}
	}()
	inprocess.Until(ctx, s.t, "settle", 100*time.Millisecond, func() (bool, string) {
		now, err := s.status(ctx)
		if err != nil {
			return false, err.Error() + "; before that: " + last
		}
		last = describe(now)
		return isSettled(now, file, pos, tables), last
	})
}

func isSettled(now pipeline.Status, file string, pos uint64, tables int) bool {
	if now.State != pipeline.StateRunning || len(now.Tables) < tables ||
		now.Position.File < file || now.Position.File == file && now.Position.Pos < pos {
		return false
	}
	for _, t := range now.Tables {
		if t.State != pipeline.StateRunning || t.Snapshot < 100 {
			return false
		}
		for _, one := range t.Sinks {
			if !one.State.Flows() || one.Behind != 0 || one.Buffered != 0 {
				return false
			}
		}
	}
	return true
}

// describe is a status in few words.
func describe(now pipeline.Status) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s at %s:%d, errors %d %s", now.State, now.Reason, now.Position.File, now.Position.Pos, now.Errors, now.LastErr)
	for _, t := range now.Tables {
		fmt.Fprintf(&b, "\n  %s %s %s %.0f%%", t.Name, t.State, t.Reason, t.Snapshot)
		for _, one := range t.Sinks {
			fmt.Fprintf(&b, " | %s %s behind %d buffered %d %s", one.State, one.Reason, one.Behind, one.Buffered, one.LastErr)
		}
	}
	return b.String()
}

// equal fails the test unless source and target are equal row by row and changes/ holds
// each identity once. current/ follows changes/ at its own pace: a merge is followed by a
// pause four times as long.
func (s *stage) equal(ctx context.Context) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	path, err := millrace()
	if err != nil {
		s.t.Fatal(err)
	}
	var last []byte
	began, waitUntil := time.Now(), time.Now().Add(2*time.Minute)
	inprocess.Until(ctx, s.t, "compare", time.Second, func() (bool, string) {
		out, err := exec.CommandContext(ctx, path, "pipeline", "verify", s.file).CombinedOutput()
		last = out
		return err == nil || time.Now().After(waitUntil), string(out)
	})
	s.t.Logf("pipeline verify, %.1f s after everything was behind 0:\n%s", time.Since(began).Seconds(), last)
	out, err := exec.CommandContext(ctx, path, "pipeline", "verify", "--json", s.file).Output()
	if err != nil {
		now, statusErr := s.status(ctx)
		s.t.Errorf("source and target differ (%v); the pipeline says %s %v\n%s", err, describe(now), statusErr, s.proc.Log())
		if keep := os.Getenv("MILLRACE_KEEP"); keep != "" {
			out, err := exec.CommandContext(ctx, "cp", "-a", s.dir, keep).CombinedOutput()
			s.t.Logf("kept in %s: %s %v", keep, out, err)
		}
	}
	var sinks []struct{ Tables []verify.Table }
	if err := json.Unmarshal(out, &sinks); err != nil {
		s.t.Fatalf("%v: %s", err, out)
	}
	tables, err := os.ReadDir(filepath.Join(s.lake, "shop"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, table := range tables {
		rows, twice, err := duplicates(ctx, filepath.Join(s.lake, "shop", table.Name(), "changes"))
		if err != nil {
			s.t.Fatalf("changes of %s: %v", table.Name(), err)
		}
		if len(twice) > 0 {
			s.t.Errorf("changes/ of %s holds %d of %d identities twice, such as %s", table.Name(), len(twice), rows, twice[:min(5, len(twice))])
		}
	}
}
