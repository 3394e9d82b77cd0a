package commitlog

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/millrace/millrace/internal/vfs"
)

// mapFS is a file system whose mappings are overwritten when they are closed, so that
// whoever looks at one too long sees it, and whose faults are errors of Load.
type mapFS struct {
	vfs.FS
	open    atomic.Int64 // mappings
	refuse  atomic.Bool  // Load
	ancient bool         // Load is unknown
}

func (f *mapFS) OpenReadWrite(name string) (vfs.File, error) {
	file, err := f.FS.OpenReadWrite(name)
	return &mapFile{file, f}, err
}

type mapFile struct {
	vfs.File
	fs *mapFS
}

func (f *mapFile) Map(off int64, n int) (vfs.Mapping, error) {
	b := make([]byte, n)
	if _, err := f.ReadAt(b, off); err != nil {
		return nil, err
	}
	f.fs.open.Add(1)
	return &fakeMapping{f.fs, b}, nil
}

type fakeMapping struct {
	fs *mapFS
	b  []byte
}

func (m *fakeMapping) Bytes() []byte { return m.b }

func (m *fakeMapping) Load(from, to int) error {
	switch {
	case from < 0 || to > len(m.b) || from > to:
		panic("outside")
	case m.fs.ancient:
		return errors.ErrUnsupported
	case m.fs.refuse.Load():
		return errors.New("the disk cannot be read")
	}
	return nil
}

func (m *fakeMapping) Close() error {
	for i := range m.b {
		m.b[i] = 0xEE
	}
	m.fs.open.Add(-1)
	return nil
}

// Whoever holds a loan sees the log's bytes until he releases it, however many others make
// windows come and go; there are never more than the limit, and slow holders of all of them
// leave the others to read.
func TestLoansShowTheLogUntilTheyAreReleased(t *testing.T) {
	fsys := &mapFS{FS: vfs.NewMem()}
	l := largeLog(t, fsys)
	l.windows.size, l.windows.max = 100<<10, 5 // the second of a file's is cut by its end
	end := l.Readable()
	var refused, lent atomic.Int64
	var wg sync.WaitGroup
	for reader := range uint64(4) {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(31, reader))
			for range 1500 {
				var loans Loans
				var got, want [][]byte
				at := rnd.Int64N(end)
				for range 1 + rnd.IntN(4) {
					n := 1 + rnd.IntN(30<<10)
					w := make([]byte, n)
					err := l.ReadAt(w, at)
					b := l.Lend(&loans, at, n)
					switch {
					case b == nil:
						refused.Add(1)
					case err != nil:
						t.Errorf("%d bytes at %d are lent that cannot be read: %v", n, at, err)
					default:
						got, want = append(got, b), append(want, w)
						lent.Add(1)
					}
					at += int64(n) + rnd.Int64N(30<<10)
				}
				if open := fsys.open.Load(); open > 5+4 { // each reader may be closing one
					t.Errorf("%d windows are mapped", open)
				}
				switch rnd.IntN(30) {
				case 0:
					l.TrimReads()
				case 1:
					l.Removed()
				}
				for i := range got {
					if !bytes.Equal(got[i], want[i]) {
						t.Errorf("what is lent is not what is read")
						return
					}
				}
				loans.Release()
			}
		})
	}
	wg.Wait()
	if lent.Load() == 0 || refused.Load() == 0 {
		t.Errorf("%d were lent and %d refused", lent.Load(), refused.Load())
	}
	l.TrimReads()
	l.TrimReads()
	if n := fsys.open.Load(); n != 0 {
		t.Errorf("nobody reads any more, and %d windows are mapped", n)
	}
}

func TestSlowHoldersLeaveOthersToRead(t *testing.T) {
	fsys := &mapFS{FS: vfs.NewMem()}
	l := largeLog(t, fsys)
	l.windows.size, l.windows.max = 100<<10, 5
	slow := make([]Loans, 8)
	for i := range slow {
		if b := l.Lend(&slow[i], int64(i)*(100<<10), 10); (b == nil) != (i >= 5) {
			t.Errorf("loan %d: lent is %t", i, b != nil)
		}
	}
	slow[2].Release()
	if l.Lend(&slow[7], 7*(100<<10), 10) == nil {
		t.Error("a window is free again, and nothing is lent")
	}
	l.Unmap() // as at the end, with answers on the wire
	if l.Lend(&slow[2], 2*(100<<10), 10) != nil {
		t.Error("something is lent after the end")
	}
	for i := range slow {
		slow[i].Release()
	}
	if n := fsys.open.Load(); n != 0 {
		t.Errorf("everything is released, and %d windows are mapped", n)
	}
}

// Where loading fails it is left to reading to say why; where the system does not know how,
// it is not asked again.
func TestWhatCannotBeLoadedIsNotLent(t *testing.T) {
	fsys := &mapFS{FS: vfs.NewMem()}
	l := largeLog(t, fsys)
	var loans Loans
	fsys.refuse.Store(true)
	if l.Lend(&loans, 10, 10) != nil {
		t.Error("what cannot be read is lent")
	}
	fsys.refuse.Store(false)
	if l.Lend(&loans, 10, 10) == nil {
		t.Error("what can be read again is not lent")
	}
	loans.Release()
	if plain := largeLog(t, vfs.NewMem()); plain.Lend(&loans, 10, 10) != nil || !plain.windows.off {
		t.Error("a file that cannot be mapped is lent, or is asked for again")
	}
	old := largeLog(t, &mapFS{FS: vfs.NewMem(), ancient: true})
	if old.Lend(&loans, 10, 10) != nil || !old.windows.off {
		t.Error("a system that cannot load is asked again")
	}
	loans.Release()
}

// A panic that is no fault in the bytes goes its way.
func TestGuardHidesNoOtherPanic(t *testing.T) {
	defer func() {
		if p := recover(); p != "mine" {
			t.Errorf("got %v", p)
		}
	}()
	t.Error(Guard([]byte{1}, func() error { panic("mine") }))
}
