package file

import (
	"testing"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/sinks/objects"
)

// scratchIn is a scratch on a file system.
func scratchIn(t testing.TB, fsys vfs.FS) *objects.Scratch {
	t.Helper()
	s, err := objects.OpenScratch(fsys, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// storeIn is a store on a file system, for a single file.
func storeIn(fsys vfs.FS) objects.Store { return objects.NewLocal(fsys, "files") }
