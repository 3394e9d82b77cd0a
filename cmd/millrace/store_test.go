package main

import (
	"strings"
	"testing"
)

func TestAStoreThatIsNotThereIsNamed(t *testing.T) {
	for _, verb := range []string{"dump", "verify"} {
		out, status := execute(t, "store", verb, "/does/not/exist")
		if status != exitEnvironment || !strings.Contains(out, "/does/not/exist") {
			t.Errorf("%s: status %d, %q", verb, status, out)
		}
	}
}
