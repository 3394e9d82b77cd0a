package vfs_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/internal/vfs"
)

func TestAMappingShowsTheFileUntilItIsClosed(t *testing.T) {
	fsys := vfs.OS()
	name := filepath.Join(t.TempDir(), "f")
	f, err := fsys.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	const size = 3 * 4096
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	m, err := f.(vfs.Mapper).Map(4096, size-4096)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("later"), 4096+100); err != nil {
		t.Fatal(err)
	}
	if err := fsys.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := m.Load(99, 200); err != nil {
		t.Fatal(err)
	}
	if got := m.Bytes()[100:105]; !bytes.Equal(got, []byte("later")) {
		t.Errorf("it shows %q", got)
	}
	if err := f.Truncate(4096); err != nil {
		t.Fatal(err)
	}
	if err := m.Load(0, 10); err == nil {
		t.Error("bytes behind the file's end can be loaded")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}
