package consumequeue

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/millrace/millrace/broker/store/segment"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/errorfs"
)

func newQueue(fsys vfs.FS, base, next int64) *Queue {
	cache := segment.NewCache(fsys, 3)
	return New(base, next, func() (*segment.Files, error) {
		return segment.Open(fsys, cache, "/q", 7*UnitSize)
	})
}

func unit(n int64) Unit { return Unit{Phys: n * 10, Size: 10, Tags: n % 3} }

// A queue is an array, wherever its entries are.
func TestQueueAgreesWithASlice(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	fsys := vfs.NewMem()
	q := newQueue(fsys, 0, 0)
	var twin []Unit
	base, flushed := int64(0), int64(0)
	for step := range 2000 {
		switch rng.IntN(9) {
		case 0:
			if err := q.Write(); err != nil {
				t.Fatal(err)
			}
		case 1:
			if err := q.Flush(); err != nil {
				t.Fatal(err)
			}
			flushed = int64(len(twin))
		case 2:
			if rng.IntN(5) == 0 { // a crash: the checkpoint knew base and what was flushed
				fsys = fsys.CrashClone(vfs.CrashOpts{Seed: rng.Uint64()})
				q, twin = newQueue(fsys, base, flushed), twin[:flushed]
			}
		case 3:
			minPhys := (base + rng.Int64N(3)) * 10
			got, err := q.Min(minPhys)
			if err != nil {
				t.Fatal(err)
			}
			if base = max(base, min(minPhys/10, int64(len(twin)))); got != base {
				t.Fatalf("step %d: minimum above %d is %d, want %d", step, minPhys, got, base)
			}
		case 4:
			if base <= flushed {
				if _, err := q.RemoveBelow(); err != nil {
					t.Fatal(err)
				}
			}
		default:
			u := unit(int64(len(twin)))
			q.Append(u)
			twin = append(twin, u)
		}
		from := base + rng.Int64N(int64(len(twin))-base+1)
		dst := make([]Unit, 1+rng.IntN(20))
		n, err := q.Read(from, dst)
		if want := twin[from:min(int(from)+len(dst), len(twin))]; err != nil || !slices.Equal(dst[:n], want) {
			t.Fatalf("step %d: read %v (%v) from %d, want %v", step, dst[:n], err, from, want)
		}
		if q.Max() != int64(len(twin)) {
			t.Fatalf("step %d: maximum is %d, want %d", step, q.Max(), len(twin))
		}
		at, err := q.Search(base, q.Max(), func(u Unit) (bool, error) { return u.Phys >= from*10, nil })
		if err != nil || at != from {
			t.Fatalf("step %d: search finds %d, %v; want %d", step, at, err, from)
		}
	}
}

func TestEntriesThatAreNoneAreDamage(t *testing.T) {
	fsys := vfs.NewMem()
	q := newQueue(fsys, 0, 0)
	for n := range int64(10) {
		q.Append(unit(n))
	}
	if err := q.Flush(); err != nil {
		t.Fatal(err)
	}
	var dst [32]Unit
	if n, err := newQueue(fsys, 0, 12).Read(8, dst[:]); n != 2 || err != nil || dst[1] != unit(9) {
		t.Errorf("in front of entries that were never written: %d, %v, want 2", n, err)
	}
	if _, err := newQueue(fsys, 0, 12).Read(10, dst[:]); !errors.Is(err, ErrDamaged) {
		t.Errorf("entries that were never written: %v, want ErrDamaged", err)
	}
	q = newQueue(fsys, 0, 12)
	q.Append(unit(12))
	if n, err := q.Read(8, dst[:]); n != 2 || err != nil {
		t.Errorf("in front of a hole that entries in memory follow: %d, %v, want 2", n, err)
	}
	if _, err := newQueue(fsys, 0, 30).Read(20, dst[:]); !errors.Is(err, ErrDamaged) {
		t.Errorf("a file that is missing: %v, want ErrDamaged", err)
	}
	q = newQueue(fsys, 0, 6)
	if stale, err := q.Stale(); !stale || err != nil {
		t.Errorf("entries above the maximum: %v, %v", stale, err)
	}
	if err := q.CutTail(); err != nil {
		t.Fatal(err)
	}
	if stale, err := q.Stale(); stale || err != nil {
		t.Errorf("entries above the maximum after the cut: %v, %v", stale, err)
	}
	files, err := q.fileset()
	if err != nil {
		t.Fatal(err)
	}
	if n, err := Last(files); n != 6 || err != nil {
		t.Errorf("the files end at %d, %v; want 6", n, err)
	}
}

// A reader that retention overtakes finds nothing; nothing is damaged.
func TestAReaderIsOvertakenByRetention(t *testing.T) {
	var overtake func()
	fsys := errorfs.Wrap(vfs.NewMem(), errorfs.Func(func(op errorfs.Op) errorfs.Action {
		if f := overtake; f != nil && op.Kind == errorfs.ReadAt {
			overtake = nil
			f()
		}
		return errorfs.Action{}
	}))
	q := newQueue(fsys, 0, 0)
	for n := range int64(20) {
		q.Append(unit(n))
	}
	if err := q.Flush(); err != nil {
		t.Fatal(err)
	}
	retain := func(minOffset int64) func() {
		return func() {
			if _, err := q.Min(minOffset * 10); err != nil {
				t.Error(err)
			}
			if _, err := q.RemoveBelow(); err != nil {
				t.Error(err)
			}
		}
	}
	var dst [4]Unit
	overtake = retain(15) // between the two files that the read looks into
	if n, err := q.Read(5, dst[:]); n != 0 || err != nil {
		t.Errorf("a read of what was removed just now: %d entries, %v", n, err)
	}
	q = newQueue(fsys, 7, 20)
	if _, err := q.Read(8, dst[:]); !errors.Is(err, ErrDamaged) {
		t.Errorf("a read of what should be there: %v, want ErrDamaged", err)
	}
}

func FuzzParseUnit(f *testing.F) {
	f.Add(unit(7).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < UnitSize {
			return
		}
		if got := ParseUnit(b).Append(nil); string(got) != string(b[:UnitSize]) {
			t.Fatalf("%x comes back as %x", b[:UnitSize], got)
		}
	})
}
