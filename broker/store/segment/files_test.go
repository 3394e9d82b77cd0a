package segment

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/millrace/millrace/internal/vfs"
)

func files(t *testing.T, fsys vfs.FS, cache *Cache) *Files {
	t.Helper()
	f, err := Open(fsys, cache, "/dir", 100)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestOneSpaceOverManyFiles(t *testing.T) {
	fsys := vfs.NewMem()
	cache := NewCache(fsys, 2)
	f := files(t, fsys, cache)
	if err := f.Ensure(450); err != nil { // begins where it is first needed
		t.Fatal(err)
	}
	if err := f.Ensure(999); err != nil {
		t.Fatal(err)
	}
	if first, end := f.Range(); first != 400 || end != 1000 {
		t.Fatalf("range is %d to %d", first, end)
	}
	want := make([]byte, 600)
	for i := range want {
		want[i] = byte(i)
	}
	if err := f.WriteAt(want, 400); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 600)
	if err := f.ReadAt(got, 400); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("read back %v, %v", got, err)
	}
	if err := f.Sync(400, 1000); err != nil {
		t.Fatal(err)
	}
	if len(cache.open) > 2 {
		t.Errorf("%d files are open, the limit is 2", len(cache.open))
	}
	for _, off := range []int64{399, 950} {
		if err := f.ReadAt(make([]byte, 60), off); !errors.Is(err, ErrOutside) {
			t.Errorf("reading at %d: %v, want ErrOutside", off, err)
		}
	}
	if err := f.Ensure(10); !errors.Is(err, ErrOutside) {
		t.Errorf("before the first file: %v", err)
	}
	if err := f.CutTail(730); err != nil {
		t.Fatal(err)
	}
	copy(want[330:], make([]byte, 270))
	again := files(t, fsys.CrashClone(vfs.CrashOpts{Mode: vfs.CrashLose}), cache)
	if first, end := again.Range(); first != 400 || end != 800 {
		t.Fatalf("after the cut the range is %d to %d", first, end)
	}
	if err := again.ReadAt(got[:400], 400); err != nil || !bytes.Equal(got[:400], want[:400]) {
		t.Fatalf("after the cut %v, %v", got[:400], err)
	}
	for i, want := range []bool{true, true, true, false} { // the last file stays
		if ok, err := f.RemoveFirst(1000); ok != want || err != nil {
			t.Fatalf("removal %d: %v, %v", i, ok, err)
		}
	}
	if err := cache.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestFilesThatDoNotFitAreRefused(t *testing.T) {
	for name, sizes := range map[string]map[int64]int{
		"a gap":         {0: 100, 200: 100},
		"a short one":   {0: 60, 100: 100},
		"a longer last": {0: 100, 100: 130},
		"odd names":     {30: 100, 150: 100},
	} {
		fsys := vfs.NewMem()
		if err := fsys.MkdirAll("/dir", 0o755); err != nil {
			t.Fatal(err)
		}
		for at, size := range sizes {
			if err := vfs.WriteFileAtomic(fsys, fmt.Sprintf("/dir/%020d", at), make([]byte, size)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Open(fsys, NewCache(fsys, 9), "/dir", 100); !errors.Is(err, ErrMissing) {
			t.Errorf("%s: %v, want ErrMissing", name, err)
		}
	}
}

// A crash left the last file short, the next start makes another behind it, and the power
// fails again: the files are as they must be.
func TestALengthenedLastFileStaysLong(t *testing.T) {
	fsys := vfs.NewMem()
	if err := vfs.MkdirAllSync(fsys, "/dir"); err != nil {
		t.Fatal(err)
	}
	if err := vfs.WriteFileAtomic(fsys, "/dir/"+Name(0), make([]byte, 30)); err != nil {
		t.Fatal(err)
	}
	for start := int64(0); start < 300; start += 100 {
		f, err := Open(fsys, NewCache(fsys, 9), "/dir", 100)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Ensure(start + 100); err != nil {
			t.Fatal(err)
		}
		fsys = fsys.CrashClone(vfs.CrashOpts{Mode: vfs.CrashLose})
	}
}
