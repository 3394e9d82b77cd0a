package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// servers are the kinds that every test of behaviour runs on.
var servers = map[string]func(testing.TB, ...string) *testenv.Server{"mariadb": testenv.MariaDB, "mysql": testenv.MySQL}

// onServers runs a test on every kind of server, beside other tests: most of each is waiting.
// What its caller does behind it happens before.
func onServers(t *testing.T, fn func(t *testing.T, srv *testenv.Server, db *sql.DB)) {
	t.Parallel()
	for name, start := range servers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := start(t)
			db, err := srv.Open("")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
			fn(t, srv, db)
		})
	}
}

func exec(t testing.TB, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func testConfig(srv *testenv.Server, tables ...string) Config {
	cfg := DefaultConfig()
	cfg.Address, cfg.User, cfg.Tables = srv.Addr, "root", tables
	cfg.Heartbeat = 200 * time.Millisecond
	return cfg
}

func newSource(t testing.TB, cfg Config) *Source {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	s, err := New(cfg, log, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func openSource(t testing.TB, s *Source, r pipeline.Resume) pipeline.Opened {
	t.Helper()
	opened, err := s.Open(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

// seen is an item in words, which can be kept.
type seen struct {
	event.Item
	text string
}

// collect reads until stop says so, as many items as it takes. Images are copied.
func collect(t testing.TB, s *Source, stop func(seen) bool) []seen {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var out []seen
	for {
		items, err := s.Next(ctx)
		if err != nil {
			for _, it := range out[max(0, len(out)-30):] {
				t.Log(it.text)
			}
			t.Fatalf("Next: %v (after %d items: %s)", err, len(out), lastText(out))
		}
		done := false
		for i := range items {
			it := keep(items[i])
			out = append(out, it)
			done = stop(it) || done
		}
		if done {
			return out
		}
	}
}

func lastText(all []seen) string {
	if len(all) == 0 {
		return "none"
	}
	return all[len(all)-1].text
}

func keep(it event.Item) seen {
	it.Before = append(event.Image(nil), it.Before...)
	it.After = append(event.Image(nil), it.After...)
	return seen{Item: it, text: describe(&it)}
}

func describe(it *event.Item) string {
	var b strings.Builder
	switch it.Kind {
	case event.KindRow:
		fmt.Fprintf(&b, "%c %s", it.Op, it.Table.Name)
		if len(it.Before) > 0 {
			b.WriteString(" " + imageText(it.Before, it.Table.Schema))
		}
		if len(it.After) > 0 {
			b.WriteString(" -> " + imageText(it.After, it.Table.Schema))
		}
	case event.KindCommit:
		b.WriteString("commit")
	case event.KindDDL:
		fmt.Fprintf(&b, "ddl %s due=%q", it.Table.Name, it.DDL.Due)
	case event.KindTruncate:
		fmt.Fprintf(&b, "truncate %s", it.Table.Name)
	case event.KindPaused:
		fmt.Fprintf(&b, "paused %s %s: %s", it.Table.Name, it.Reason.Code, it.Reason.Text)
	case event.KindResumed:
		fmt.Fprintf(&b, "resumed %s", it.Table.Name)
	case event.KindBegin, event.KindEnd, event.KindChunkEnd:
		fmt.Fprintf(&b, "%s %s", map[event.Kind]string{event.KindBegin: "begin", event.KindEnd: "end", event.KindChunkEnd: "chunk"}[it.Kind],
			it.Table.Name)
	case event.KindHeartbeat:
		b.WriteString("beat")
	}
	return b.String()
}

func imageText(img event.Image, s *event.Schema) string {
	vals, err := event.Values(img, s, nil)
	if err != nil {
		return "BAD " + err.Error()
	}
	var b []byte
	for i, v := range vals {
		if i > 0 {
			b = append(b, ',')
		}
		b = event.AppendValueText(b, &s.Columns[i], v)
	}
	return string(b)
}

// upTo stops at the commit that follows a row whose text contains mark.
func upTo(mark string) func(seen) bool {
	found := false
	return func(it seen) bool {
		if it.Kind == event.KindRow && strings.Contains(it.text, mark) {
			found = true
		}
		return found && it.Kind == event.KindCommit
	}
}

// patience is how long what others make true may take on a busy machine. Where a known bug
// is switched on, waiting in vain is the finding: MILLRACE_TEST_PATIENCE makes it shorter.
func patience(t testing.TB) time.Duration {
	given := os.Getenv("MILLRACE_TEST_PATIENCE")
	if given == "" {
		return 5 * time.Minute
	}
	d, err := time.ParseDuration(given)
	if err != nil {
		t.Fatalf("MILLRACE_TEST_PATIENCE: %v", err)
	}
	return d
}

// cfgHeartbeats is how long a source is watched that is to find nothing wrong.
const cfgHeartbeats = 1500 * time.Millisecond

func copyDir(t testing.TB, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func restoreDir(t testing.TB, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	copyDir(t, from, to)
}

func lastLog(t testing.TB, db *sql.DB) (n int, name string) {
	t.Helper()
	rows, err := db.Query("SHOW BINARY LOGS")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	cols, _ := rows.Columns()
	for rows.Next() {
		dest := make([]any, len(cols))
		dest[0] = &name
		for i := 1; i < len(dest); i++ {
			dest[i] = new(sql.NullString)
		}
		if err := rows.Scan(dest...); err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n, name
}
