package testenv

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// MaySkip reports whether MILLRACE_SKIP names what.
func MaySkip(what string) bool {
	names := strings.FieldsFunc(os.Getenv("MILLRACE_SKIP"), func(r rune) bool { return r == ',' || r == ' ' })
	return slices.Contains(names, what) || slices.Contains(names, "all")
}

// Missing ends a test that cannot have what it needs: skipped when MILLRACE_SKIP names
// it, failed otherwise.
func Missing(t testing.TB, what string, err error) {
	t.Helper()
	if !MaySkip(what) {
		t.Fatalf("%s is not to be had: %v\n(MILLRACE_SKIP=%s runs the tests without it and lists what they leave out)", what, err, what)
	}
	record(fmt.Sprintf("skipped: %s needs %s: %v", t.Name(), what, err))
	t.Skipf("MILLRACE_SKIP names %s: %v", what, err)
}

// record writes a line to standard error and to the list of skips.
func record(line string) {
	fmt.Fprintln(os.Stderr, line)
	name := os.Getenv("MILLRACE_SKIP_LIST")
	if name == "" {
		return
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		fmt.Fprintln(os.Stderr, "list of skips:", err)
		return
	}
	defer f.Close()
	fmt.Fprintln(f, line)
}
