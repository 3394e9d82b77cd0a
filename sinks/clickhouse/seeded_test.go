//go:build seeded

package clickhouse

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The sink's suites prove themselves: with a known bug switched on they must find it. Each
// runs in a process of its own; what they say without a bug, the ordinary run tells.
func TestClickHouseSuitesFindSeededBugs(t *testing.T) {
	for bug, suite := range map[string]string{
		"drain-skipped":      "TestAReplacedOwnerWritesNothing",
		"generation-ignored": "TestAReplacedOwnerWritesNothing",
		"mark-believed":      "TestThePowerGoes",
		"restart-unnoticed":  "TestThePowerGoes",
	} {
		t.Run(bug, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+suite+"$", "-test.failfast")
			cmd.Env = append(os.Environ(), "MILLRACE_SEEDED_BUG="+bug)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: "+suite) || strings.Contains(string(out), "panic:") {
				t.Fatalf("%s did not find the bug: %v\n%s", suite, err, out)
			}
			for _, line := range strings.Split(string(out), "\n") {
				if strings.Contains(line, "_test.go:") && !strings.Contains(line, "MILLRACE_SEED") {
					t.Log("found:", strings.TrimSpace(line))
					return
				}
			}
		})
	}
}
