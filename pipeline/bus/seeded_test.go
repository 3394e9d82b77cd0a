//go:build seeded

package bus

import (
	"errors"
	"math/rand/v2"
	"regexp"
	"testing"
)

// invariant is how the name of one that does not hold begins a line.
var invariant = regexp.MustCompile(`(?m)^I[0-9]+: `)

// The publisher's suites prove themselves: with a known bug switched on they must find it.
func TestPublisherSuiteFindsSeededBugs(t *testing.T) {
	for bug, suite := range map[string]func(*rand.Rand) *rig{
		"checkback-commits":      faulty,
		"open-after-read":        faulty,
		"chain-broken":           faulty,
		"resolve-last-only":      faulty,
		"position-before-groups": faulty,
		"trim-by-seq":            forgetful,
	} {
		t.Run(bug, func(t *testing.T) {
			t.Setenv("MILLRACE_SEEDED_BUG", bug)
			s := seed(t)
			for i := range 400 {
				err := suite(rand.New(rand.NewPCG(s, uint64(i)))).run(t.Context())
				if err != nil && !errors.Is(err, errBroken) && !invariant.MatchString(err.Error()) {
					t.Fatalf("run %d ended, and no invariant was broken: %v", i, err)
				}
				if err != nil {
					t.Logf("found in run %d: %v", i, err)
					return
				}
			}
			t.Fatal("400 runs, and the bug was not found")
		})
	}
}
