package index

import (
	"fmt"
	"log/slog"
	"slices"
	"testing"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/message"
)

func open(t testing.TB, fsys vfs.FS) *Index {
	t.Helper()
	x, err := Open(fsys, "/index", 8, 16, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func find(t testing.TB, x *Index, topic, key string, begin, end int64) (out []int64) {
	t.Helper()
	if err := x.Query(topic, key, begin, end, func(p int64) bool { out = append(out, p); return true }); err != nil {
		t.Fatal(err)
	}
	return out
}

func put(t testing.TB, x *Index, topic, key string, phys, at int64) {
	t.Helper()
	if err := x.Put(topic, key, phys, at); err != nil {
		t.Fatal(err)
	}
}

func TestHashIsJavas(t *testing.T) {
	for _, key := range []string{"", "k", "order-4711", "größer", "漢字", "😀"} {
		h := message.JavaHash("topic#" + key)
		if got := Hash("topic", key); got != max(h, -h) {
			t.Errorf("hash of %q is %d, want %d", key, got, max(h, -h))
		}
	}
}

func TestQueriesGoNewestFirstOverAllFiles(t *testing.T) {
	fsys := vfs.NewMem()
	x := open(t, fsys)
	var want []int64
	const begin = 1_700_000_000_000
	for i := range int64(50) { // four files of 15 entries
		put(t, x, "t", fmt.Sprint("k", i%3), i*100, begin+i*1000)
		if i%3 == 1 {
			want = append(want, i*100)
		}
	}
	slices.Reverse(want)
	for _, reopened := range []bool{false, true} {
		if reopened {
			if err := x.Flush(); err != nil {
				t.Fatal(err)
			}
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
			x = open(t, fsys)
		}
		if len(x.files) != 4 {
			t.Fatalf("%d files, want 4", len(x.files))
		}
		if got := find(t, x, "t", "k1", 0, 1<<62); !slices.Equal(got, want) {
			t.Errorf("found %v, want %v", got, want)
		}
		if got := find(t, x, "t", "k1", begin+10_000, begin+13_000); !slices.Equal(got, []int64{1300, 1000}) {
			t.Errorf("within a time found %v", got)
		}
		if got := find(t, x, "other", "k1", 0, 1<<62); len(got) > 0 && slices.Contains(got, 100) {
			t.Logf("a collision: %v", got)
		}
	}
	if n, err := x.RemoveBelow(1500); n != 1 || err != nil {
		t.Errorf("removed %d files, %v; want 1", n, err)
	}
	if got := find(t, x, "t", "k1", 0, 1<<62); slices.Min(got) < 1500 {
		t.Errorf("after the removal %v", got)
	}
}

// Whatever a power cut leaves of a flush, what the flush before made durable is found, and
// nothing is found that was not put.
func TestACutNeverBreaksAChain(t *testing.T) {
	base := vfs.NewMem()
	if err := base.MkdirAll("/index", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := base.SyncDir("/"); err != nil {
		t.Fatal(err)
	}
	durable, all := map[string][]int64{}, map[int64]string{}
	check := func(seed uint64) {
		x := open(t, base.CrashClone(vfs.CrashOpts{Seed: seed}))
		defer x.Close()
		for key, want := range durable {
			got := find(t, x, "t", key, 0, 1<<62)
			for _, p := range want {
				if !slices.Contains(got, p) {
					t.Fatalf("seed %d: %s at %d is lost; found %v", seed, key, p, got)
				}
			}
			for _, p := range got {
				if _, ok := all[p]; !ok {
					t.Fatalf("seed %d: found %d, which nobody put", seed, p)
				}
			}
		}
	}
	steps := uint64(0)
	x := open(t, errorfs.Wrap(base, errorfs.Func(func(op errorfs.Op) errorfs.Action {
		if op.Kind.Changes() {
			for range 4 {
				steps++
				check(steps)
			}
		}
		return errorfs.Action{}
	})))
	pending := map[string][]int64{}
	for i := range int64(60) {
		key := fmt.Sprint("k", i%5)
		all[i] = key
		put(t, x, "t", key, i, 1000+i)
		pending[key] = append(pending[key], i)
		if i%7 == 6 {
			if err := x.Flush(); err != nil {
				t.Fatal(err)
			}
			for k, v := range pending {
				durable[k] = append(durable[k], v...)
			}
			clear(pending)
		}
	}
	t.Logf("%d crash states", steps)
}

func FuzzOpen(f *testing.F) {
	base := vfs.NewMem()
	x := open(f, base)
	for i := range int64(12) {
		put(f, x, "t", fmt.Sprint("k", i%4), i, i)
	}
	if err := x.Flush(); err != nil {
		f.Fatal(err)
	}
	name := x.files[0].name
	whole, err := vfs.ReadFile(base, name)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:headerSize])
	f.Fuzz(func(t *testing.T, b []byte) {
		m := vfs.NewMem()
		if err := m.MkdirAll("/index", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := vfs.WriteFileAtomic(m, name, b[:min(len(b), 1<<16)]); err != nil {
			t.Fatal(err)
		}
		x := open(t, m)
		find(t, x, "t", "k1", 0, 1<<62)
		_ = x.Put("t", "k1", 77, 77)
		_ = x.Flush()
		_ = x.Close()
	})
}
