package testenv

import (
	"os"
	"testing"
)

// scratch is a directory for the data of a test's server, which goes with the test. It lies in
// memory where there is room: servers make and remove thousands of small files, and a file system
// that has lost many lately is slow to make new ones. What a killed process has written is there
// as well as on a disk.
func scratch(t testing.TB) string {
	t.Helper()
	parent := memoryDir()
	if parent == "" {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(parent, scratchPattern())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove a server's directory: %v", err)
		}
	})
	return dir
}
