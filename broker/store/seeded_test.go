//go:build seeded

package store

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/vfs"
)

// The crash suite proves itself: with a known bug switched on it must find it.
func TestCrashSuiteFindsSeededBugs(t *testing.T) {
	for _, bug := range []string{"ack-before-flush", "offset-reused"} {
		t.Run(bug, func(t *testing.T) {
			t.Setenv("MILLRACE_SEEDED_BUG", bug)
			n := seed(t)
			cfg := testConfig("/store")
			l := newLedger()
			t.Setenv("MILLRACE_SEEDED_BUG", bug)
			states, _ := crashes([]vfs.CrashOpts{{Mode: vfs.CrashLose, Seed: n}}, vfs.NewMem(), l,
				func(fsys vfs.FS) { crashWorkload(t, fsys, cfg, l) })
			for _, c := range states {
				err := c.verify(t, cfg, true)
				if err != nil && !strings.Contains(err.Error(), "was acknowledged and is") {
					t.Fatalf("the suite failed, and nothing is lost: %v", err)
				}
				if err != nil {
					t.Logf("found: %v", err)
					return
				}
			}
			t.Fatalf("%d crash states, and the bug was not found", len(states))
		})
	}
}
