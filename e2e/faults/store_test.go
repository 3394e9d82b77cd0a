package faults

import (
	"os/exec"
	"testing"
)

// verifyStore fails the test if `millrace store verify` finds anything wrong.
func verifyStore(t *testing.T, dir string) {
	t.Helper()
	path, err := millrace()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(path, "store", "verify", dir).CombinedOutput()
	if err != nil {
		t.Errorf("millrace store verify: %v\n%s", err, out)
	}
}
