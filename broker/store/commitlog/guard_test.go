package commitlog

import (
	"errors"
	"hash/crc32"
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/internal/vfs"
)

// A file that is cut behind the back of who looks at it is an error to him, in Go code and
// in assembly.
func TestGuardMakesAFaultAnError(t *testing.T) {
	f, err := vfs.OS().Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(64 << 10); err != nil {
		t.Fatal(err)
	}
	m, err := f.(vfs.Mapper).Map(0, 64<<10)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Load(0, 64<<10); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(0); err != nil {
		t.Fatal(err)
	}
	b := m.Bytes()
	for name, look := range map[string]func() error{
		"a byte":     func() error { return errors.New(string(b[5000:5001])) },
		"a checksum": func() error { crc32.ChecksumIEEE(b); return nil },
	} {
		if err := Guard(b, look); !errors.Is(err, ErrFault) {
			t.Errorf("%s: %v, want ErrFault", name, err)
		}
	}
}
