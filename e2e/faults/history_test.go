package faults

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/e2e/inprocess"
	"github.com/millrace/millrace/pipeline"
)

// pausedByHistory waits until the pipeline stands and says that the source's history is
// why, and looks that nothing was skipped meanwhile.
func (s *stage) pausedByHistory(ctx context.Context) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	inprocess.Until(ctx, s.t, "wait for the pause", 100*time.Millisecond, func() (bool, string) {
		now, err := s.status(ctx)
		if err != nil {
			return false, err.Error()
		}
		text := now.Reason + " " + now.LastErr
		return now.State == pipeline.StatePaused && strings.Contains(text, "history"), describe(now)
	})
	now, err := s.status(ctx)
	s.t.Logf("%s %v", describe(now), err)
}

// anew is the way out: the verb that replaces everything by a new snapshot.
func (s *stage) anew(ctx context.Context) {
	s.t.Helper()
	if _, err := s.http.Do(ctx, "shop", "", "snapshot"); err != nil {
		s.t.Fatalf("snapshot: %v", err)
	}
	s.settled(ctx)
	s.equal(ctx)
}

func (s *stage) run(ctx context.Context, statements ...string) {
	s.t.Helper()
	for _, q := range statements {
		if _, err := s.db.ExecContext(ctx, q); err != nil {
			s.t.Fatalf("%s: %v", q, err)
		}
	}
}

// Logs that were thrown away may have held changes: the pipeline says so and waits.
func TestResetOfTheServersLogsIsNamed(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	s := newStage(ctx, t)
	s.start()
	s.settled(ctx)
	s.run(ctx, "UPDATE shop.blue SET v = v + 1")
	s.settled(ctx)
	s.kill()
	s.run(ctx, "DELETE FROM shop.green WHERE id < 100", "RESET MASTER", "INSERT INTO shop.blue VALUES (100001, 1)")
	s.start()
	s.pausedByHistory(ctx)
	s.anew(ctx)
	// And while the pipeline reads, at a place that is the end of a transaction again.
	s.run(ctx, "INSERT INTO shop.blue VALUES (100003, 1)")
	s.settled(ctx)
	s.run(ctx, "RESET MASTER", "INSERT INTO shop.blue VALUES (100004, 1)", "INSERT INTO shop.blue VALUES (100002, 1)",
		"UPDATE shop.orders SET total = total + 1 WHERE id < 2000")
	s.pausedByHistory(ctx)
	s.anew(ctx)
}

// A server that was put back to an older state and written to again uses the same
// identities for other data.
func TestServerRestoredToAnOlderStateIsNamed(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 6*time.Minute)
	defer cancel()
	for name, logsToo := range map[string]int{"other data of the same length": 1, "shorter": 0} {
		t.Run(name, func(t *testing.T) {
			s := newStage(ctx, t)
			s.start()
			s.settled(ctx)
			older := filepath.Join(t.TempDir(), "older")
			stop := func() {
				t.Helper()
				if err := s.server.Stop(); err != nil {
					t.Fatal(err)
				}
			}
			copyTo := func(from, to string) {
				t.Helper()
				out, err := exec.CommandContext(ctx, "sh", "-c", fmt.Sprintf("rm -rf %q && cp -a %q %q", to, from, to)).CombinedOutput()
				if err != nil {
					t.Fatalf("copy: %v %s", err, out)
				}
			}
			start := func() {
				t.Helper()
				if err := s.server.Start(ctx); err != nil {
					t.Fatal(err)
				}
			}
			stop()
			copyTo(s.server.Data, older)
			start()
			s.run(ctx, "INSERT INTO shop.blue VALUES (200001, 1)", "UPDATE shop.green SET v = 7 WHERE id = 5")
			s.settled(ctx)
			s.equal(ctx)
			stop()
			copyTo(older, s.server.Data)
			start()
			if logsToo > 0 {
				s.run(ctx, "INSERT INTO shop.blue VALUES (200009, 9)", "UPDATE shop.green SET v = 8 WHERE id = 6")
			}
			for i := range logsToo {
				s.run(ctx, fmt.Sprintf("INSERT INTO shop.blue VALUES (%d, 1)", 300000+i))
			}
			s.pausedByHistory(ctx)
			s.anew(ctx)
		})
	}
}
