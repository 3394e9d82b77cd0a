package vfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path"
	"testing"
)

// both runs a test on the machine's file system and in memory: what callers see is the same.
func both(t *testing.T, test func(t *testing.T, fsys FS, dir string)) {
	t.Run("disk", func(t *testing.T) { test(t, OS(), t.TempDir()) })
	t.Run("memory", func(t *testing.T) {
		m := NewMem()
		if err := m.MkdirAll("/dir", 0o755); err != nil {
			t.Fatal(err)
		}
		test(t, m, "/dir")
	})
}

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, fsys FS, name, data string) {
	t.Helper()
	f := must(fsys.Create(name))(t)
	must(f.WriteAt([]byte(data), 0))(t)
	ok(t, f.Close())
}

func TestNames(t *testing.T) {
	both(t, func(t *testing.T, fsys FS, dir string) {
		a, b, c := path.Join(dir, "a"), path.Join(dir, "b"), path.Join(dir, "c")
		_, err := fsys.Open(a)
		isNot(t, "open", err, fs.ErrNotExist)
		_, err = fsys.OpenReadWrite(a)
		isNot(t, "open for writing", err, fs.ErrNotExist)
		_, err = fsys.Stat(a)
		isNot(t, "stat", err, fs.ErrNotExist)
		isNot(t, "remove", fsys.Remove(a), fs.ErrNotExist)
		isNot(t, "rename", fsys.Rename(a, b), fs.ErrNotExist)
		_, err = fsys.ReadDir(a)
		isNot(t, "list", err, fs.ErrNotExist)

		write(t, fsys, b, "b")
		write(t, fsys, a, "a")
		isNot(t, "link to a taken name", fsys.Link(a, b), fs.ErrExist)
		ok(t, fsys.Link(a, c))
		ok(t, fsys.Rename(a, b)) // over b
		if got := fmt.Sprint(must(fsys.ReadDir(dir))(t)); got != "[b c]" {
			t.Errorf("the directory holds %s", got)
		}
		for _, n := range []string{b, c} {
			if got := must(ReadFile(fsys, n))(t); string(got) != "a" {
				t.Errorf("%s holds %q", n, got)
			}
		}
		deep := path.Join(dir, "x/y/z")
		ok(t, MkdirAllSync(fsys, deep))
		ok(t, MkdirAllSync(fsys, deep))
		write(t, fsys, path.Join(deep, "f"), "f")
		if err := fsys.Remove(deep); err == nil {
			t.Error("a directory with a file in it was removed")
		}
		ok(t, RemoveTree(fsys, path.Join(dir, "x")))
		ok(t, RemoveTree(fsys, path.Join(dir, "x")))
		_, err = fsys.Stat(path.Join(dir, "x"))
		isNot(t, "stat of a removed tree", err, fs.ErrNotExist)
		if u := must(fsys.DiskUsage(dir))(t); u.Total <= 0 || u.Free <= 0 || u.Ratio() < 0 || u.Ratio() > 1 {
			t.Errorf("usage is %+v", u)
		}
	})
}

func isNot(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func TestLocksExclude(t *testing.T) {
	both(t, func(t *testing.T, fsys FS, dir string) {
		name := path.Join(dir, "lock")
		l := must(fsys.Lock(name))(t)
		_, err := fsys.Lock(name)
		isNot(t, "second lock", err, ErrLocked)
		ok(t, l.Close())
		ok(t, must(fsys.Lock(name))(t).Close())
	})
}

// A file is a sequence of bytes, whatever pages and sectors are underneath.
func TestFilesAgreeWithASlice(t *testing.T) {
	both(t, func(t *testing.T, fsys FS, dir string) {
		rng := rand.New(rand.NewPCG(1, 2))
		f := must(fsys.Create(path.Join(dir, "f")))(t)
		defer f.Close()
		var twin []byte
		for range 400 {
			off := rng.Int64N(20_000)
			switch rng.IntN(6) {
			case 0:
				ok(t, f.Truncate(off))
				twin = append(twin, make([]byte, max(0, int(off)-len(twin)))...)[:off]
			case 1:
				ok(t, f.Sync())
			default:
				b := bytes.Repeat([]byte{byte(rng.IntN(3))}, rng.IntN(9000))
				must(f.WriteAt(b, off))(t)
				if len(b) > 0 {
					twin = append(twin, make([]byte, max(0, int(off)+len(b)-len(twin)))...)
					copy(twin[off:], b)
				}
			}
			if n := must(f.Size())(t); n != int64(len(twin)) {
				t.Fatalf("size is %d, want %d", n, len(twin))
			}
			at, got := rng.Int64N(20_000), make([]byte, 1+rng.IntN(9000))
			n, err := f.ReadAt(got, at)
			want := twin[min(int(at), len(twin)):min(int(at)+len(got), len(twin))]
			if n != len(want) || !bytes.Equal(got[:n], want) || errors.Is(err, io.EOF) != (n < len(got)) {
				t.Fatalf("read %d bytes of %d at %d (%v), want %d", n, len(got), at, err, len(want))
			}
		}
	})
}

func TestAnUnsyncedWriteIsKeptBySector(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(200) {
		m := NewMem()
		f := must(m.Create("f"))(t)
		ok(t, m.SyncDir("/"))
		must(f.WriteAt(bytes.Repeat([]byte("o"), 1024), 0))(t)
		ok(t, f.Sync())
		must(f.WriteAt(bytes.Repeat([]byte("n"), 1024), 0))(t)
		got := must(ReadFile(m.CrashClone(CrashOpts{Seed: seed}), "f"))(t)
		for s := range 2 {
			sector := got[s*512 : (s+1)*512]
			if !bytes.Equal(sector, bytes.Repeat(sector[:1], 512)) {
				t.Fatalf("seed %d: a sector is torn", seed)
			}
		}
		seen[string([]byte{got[0], got[512]})] = true
	}
	if len(seen) != 4 {
		t.Errorf("of two sectors only these combinations were kept: %v", seen)
	}
}

func TestWhatAPowerCutLeavesOfNames(t *testing.T) {
	prepare := func(t *testing.T) *Mem {
		m := NewMem()
		ok(t, m.MkdirAll("/d", 0o755))
		ok(t, m.SyncDir("/"))
		ok(t, writeSynced(m, "/d/old", []byte("old")))
		ok(t, m.SyncDir("/d"))
		return m
	}
	for _, tc := range []struct {
		name string
		do   func(t *testing.T, m *Mem)
		lose string // after a cut that loses what is not synced
		keep string // after one that keeps it
	}{
		{"nothing", func(*testing.T, *Mem) {}, "[old=old]", "[old=old]"},
		{"a file whose directory is not synced", func(t *testing.T, m *Mem) { ok(t, writeSynced(m, "/d/new", []byte("new"))) }, "[old=old]", "[new=new old=old]"},
		{"a name without its bytes", func(t *testing.T, m *Mem) {
			write(t, m, "/d/new", "new")
			ok(t, m.SyncDir("/d"))
		}, "[new= old=old]", "[new=new old=old]"},
		{"a rename", func(t *testing.T, m *Mem) { ok(t, m.Rename("/d/old", "/d/new")) }, "[old=old]", "[new=old]"},
		{"a synced rename", func(t *testing.T, m *Mem) {
			ok(t, m.Rename("/d/old", "/d/new"))
			ok(t, m.SyncDir("/d"))
		}, "[new=old]", "[new=old]"},
		{"a removal", func(t *testing.T, m *Mem) { ok(t, m.Remove("/d/old")) }, "[old=old]", "[]"},
		{"an atomic write", func(t *testing.T, m *Mem) { ok(t, WriteFileAtomic(m, "/d/old", []byte("new"))) }, "[old=new]", "[old=new]"},
		{"a replaced file", func(t *testing.T, m *Mem) { ok(t, ReplaceFile(m, "/d/old", []byte("new"))) }, "[old=new old.bak=old]", "[old=new old.bak=old]"},
		{"a cut file", func(t *testing.T, m *Mem) {
			f := must(m.OpenReadWrite("/d/old"))(t)
			ok(t, f.Truncate(1))
		}, "[old=old]", "[old=o]"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := prepare(t)
			tc.do(t, m)
			for mode, want := range map[CrashMode]string{CrashLose: tc.lose, CrashKeep: tc.keep} {
				if got := listing(t, m.CrashClone(CrashOpts{Mode: mode})); got != want {
					t.Errorf("mode %d leaves %s, want %s", mode, got, want)
				}
			}
			for seed := range uint64(50) { // a random cut leaves the names of one of the two, or between
				listing(t, m.CrashClone(CrashOpts{Seed: seed}))
			}
		})
	}
}

func listing(t *testing.T, m *Mem) string {
	t.Helper()
	var out []string
	for _, n := range must(m.ReadDir("/d"))(t) {
		out = append(out, n+"="+string(must(ReadFile(m, "/d/"+n))(t)))
	}
	return fmt.Sprint(out)
}

// Whenever the power fails, a replaced file or its .bak is whole.
func TestReplaceFileAlwaysLeavesAWholeVersion(t *testing.T) {
	m := NewMem()
	ok(t, m.MkdirAll("/d", 0o755))
	ok(t, m.SyncDir("/"))
	for v := range 5 {
		for seed := range uint64(20) {
			c := m.CrashClone(CrashOpts{Seed: seed})
			if v > 0 {
				want := fmt.Sprintf("version %d", v-1)
				if got := must(ReadFile(c, "/d/f"))(t); string(got) != want {
					t.Fatalf("f holds %q, want %q", got, want)
				}
			}
		}
		ok(t, ReplaceFile(m, "/d/f", fmt.Appendf(nil, "version %d", v)))
	}
	if got := must(ReadFile(m, "/d/f.bak"))(t); string(got) != "version 3" {
		t.Errorf("the version before is %q", got)
	}
}

func TestACloneIsApart(t *testing.T) {
	m := NewMem()
	f := must(m.Create("f"))(t)
	must(f.WriteAt([]byte("one"), 0))(t)
	ok(t, f.Sync())
	ok(t, m.SyncDir("/"))
	c := m.CrashClone(CrashOpts{})
	must(f.WriteAt([]byte("two"), 0))(t)
	g := must(c.OpenReadWrite("f"))(t)
	must(g.WriteAt([]byte("three"), 0))(t)
	if a, b := must(ReadFile(m, "f"))(t), must(ReadFile(c, "f"))(t); string(a) != "two" || string(b) != "three" {
		t.Errorf("the original holds %q, the clone %q", a, b)
	}
}
