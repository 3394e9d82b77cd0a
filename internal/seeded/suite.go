//go:build seeded

package seeded

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
)

// Suite is a test that is to fail when a bug is switched on.
type Suite struct {
	Test string
	// Says is a regular expression for what a failure says that the bug makes: a suite that
	// fails because it lacks a server has found nothing.
	Says string
}

// Find runs the suite in a process of its own, of the test binary that asks, with a bug
// switched on. It returns the line in which the bug was found.
func (s Suite) Find(ctx context.Context, b Bug) (line string, err error) {
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+s.Test+"$", "-test.failfast")
	cmd.Env = append(os.Environ(), "MILLRACE_SEEDED_BUG="+string(b))
	out, err := cmd.CombinedOutput()
	text := string(out)
	if err == nil || !strings.Contains(text, "--- FAIL: "+s.Test) || strings.Contains(text, "panic:") {
		return "", fmt.Errorf("%s did not find %s: %v\n%s", s.Test, b, err, text)
	}
	says := regexp.MustCompile(s.Says)
	for line := range strings.Lines(text) {
		if says.MatchString(line) {
			return strings.TrimSpace(line), nil
		}
	}
	return "", fmt.Errorf("%s failed under %s, and not with %q:\n%s", s.Test, b, s.Says, text)
}
