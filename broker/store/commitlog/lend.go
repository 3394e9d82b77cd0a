package commitlog

import (
	"container/list"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/millrace/millrace/internal/vfs"
)

const (
	// windowSize is how much of a file is mapped at once, if it has as much.
	windowSize = 64 << 20
	// windowLoad is how much of a window is loaded at once.
	windowLoad = 1 << 20
	// maxWindows bounds the address space, 2 GiB: windows that are kept or lent, beside
	// those that are just being unmapped. Only
	// what was looked at is in memory, and it is the system's own copy of the files,
	// which it takes back when it needs room.
	maxWindows = 32
)

// windows are pieces of the log's files as the system holds them, so that a large answer
// can be sent from there: it is not copied into memory of ours first.
//
// That is safe because of what the log's files are. They have their full size from the
// beginning and are cut by nobody while the log is open, readable bytes never change, and
// a file that retention removes stays as long as a window shows it. What remains is a disk
// that cannot be read and somebody else who cuts a file: loading tells of it without a
// fault, Guard makes an error of one, and a write from there to a socket fails. Whatever
// cannot be lent is read, which explains what is wrong.
type windows struct {
	log       *Log
	size, max int64 // windowSize and maxWindows, but in tests

	mu     sync.Mutex
	kept   map[int64]*window // by start
	idle   list.List         // of those kept that nobody uses, the longest unused in front
	gone   map[*window]bool  // lent, of files that are removed
	mapped int64             // windows that are not closed
	off    bool              // files cannot be mapped
	used   bool              // since the last trim
}

// window is [start, start+len(Bytes())) of the log.
type window struct {
	start  int64
	m      vfs.Mapping
	loaded []atomic.Bool // by windowLoad

	refs int           // guarded by windows.mu, as is elem
	elem *list.Element // in idle
}

// Loans are what one answer was lent. The zero value is of nothing.
type Loans struct {
	k    *windows
	list []*window
}

// Release ends the use of all bytes that were lent; it may be called again.
func (x *Loans) Release() {
	for _, w := range x.list {
		x.k.release(w)
	}
	x.list = nil
}

// Lend shows the n bytes at phys until loans is released: nobody may look at them
// afterwards, and who looks before does so under Guard. It returns nil where they cannot
// be lent, and ReadAt is to be used.
func (l *Log) Lend(loans *Loans, phys int64, n int) []byte {
	k := &l.windows
	if phys < l.Min() || phys+int64(n) > l.Readable() {
		return nil
	}
	start, size := k.place(phys)
	if phys+int64(n) > start+size {
		return nil
	}
	var w *window
	if last := len(loans.list) - 1; last >= 0 && loans.list[last].start == start {
		w = loans.list[last]
	} else {
		if w = k.acquire(start, size); w == nil {
			return nil
		}
		loans.k, loans.list = k, append(loans.list, w)
	}
	at := int(phys - start)
	if err := w.load(at, at+n, int(min(size, l.Readable()-start))); err != nil {
		k.unsupported(err)
		return nil
	}
	return w.m.Bytes()[at : at+n : at+n]
}

// load has [at, to) in memory, with all that is loaded along; readable is where the bytes
// end that are written.
func (w *window) load(at, to, readable int) error {
	for part := at / windowLoad; part*windowLoad < to; part++ {
		if w.loaded[part].Load() {
			continue
		}
		from, end := part*windowLoad, min((part+1)*windowLoad, len(w.m.Bytes()))
		whole := end <= readable
		if !whole {
			from, end = max(from, at), min(end, to)
		}
		if err := w.m.Load(from, end); err != nil {
			return err
		}
		if whole {
			w.loaded[part].Store(true)
		}
	}
	return nil
}

// place is where the window of phys begins and how long it is: windows do not reach from
// one file into the next.
func (k *windows) place(phys int64) (start, size int64) {
	file, fileSize := k.log.files.StartOf(phys), k.log.files.FileSize()
	at := (phys - file) / k.size * k.size
	return file + at, min(k.size, fileSize-at)
}

// acquire returns the window that begins at start, which the caller releases; nil without
// one.
func (k *windows) acquire(start, size int64) *window {
	var old *window
	defer func() { closeWindow(old) }()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.used = true
	w := k.kept[start]
	if w == nil {
		if k.off || k.mapped >= k.max && k.idle.Len() == 0 {
			return nil
		}
		if k.mapped >= k.max {
			old = k.idle.Front().Value.(*window)
			k.dropLocked(old)
		}
		m, err := k.log.files.Map(start, int(size))
		if err != nil {
			k.off = k.off || errors.Is(err, errors.ErrUnsupported)
			return nil
		}
		w = &window{start: start, m: m, loaded: make([]atomic.Bool, (size+windowLoad-1)/windowLoad)}
		k.kept[start] = w
		k.mapped++
	}
	if w.elem != nil {
		k.idle.Remove(w.elem)
		w.elem = nil
	}
	w.refs++
	return w
}

// unsupported lends nothing any more when err says that the system cannot.
func (k *windows) unsupported(err error) {
	if errors.Is(err, errors.ErrUnsupported) {
		k.mu.Lock()
		k.off = true
		k.mu.Unlock()
	}
}

// dropLocked has a window not found any more. It reports whether nobody uses it, and the
// caller then closes it, unlocked, since that takes its time.
func (k *windows) dropLocked(w *window) bool {
	delete(k.kept, w.start)
	if w.refs > 0 {
		return false
	}
	k.idle.Remove(w.elem)
	w.elem = nil
	k.mapped--
	return true
}

func (k *windows) release(w *window) {
	k.mu.Lock()
	w.refs--
	if w.refs > 0 {
		k.mu.Unlock()
		return
	}
	if k.kept[w.start] == w {
		w.elem = k.idle.PushBack(w)
		k.mu.Unlock()
		return
	}
	delete(k.gone, w)
	k.mapped--
	k.mu.Unlock()
	closeWindow(w)
}

func closeWindow(w *window) {
	if w == nil {
		return
	}
	if err := w.m.Close(); err != nil {
		panic("BUG: a window cannot be unmapped: " + err.Error())
	}
}

// drop lets go of the windows that which chooses.
func (k *windows) drop(which func(*window) bool) {
	var closing []*window
	k.mu.Lock()
	for _, w := range k.kept {
		switch {
		case !which(w):
		case k.dropLocked(w):
			closing = append(closing, w)
		default:
			k.gone[w] = true
		}
	}
	k.mu.Unlock()
	for _, w := range closing {
		closeWindow(w)
	}
}

// removed lets go of the files below the log's first.
func (k *windows) removed() {
	low := k.log.Min()
	k.drop(func(w *window) bool { return w.start < low })
}

// trim unmaps what nobody uses when nothing was lent since the last trim.
func (k *windows) trim() {
	k.mu.Lock()
	used := k.used
	k.used = false
	k.mu.Unlock()
	if !used {
		k.drop(func(w *window) bool { return w.refs == 0 })
	}
}

// Removed lets go of files that were removed. It returns how many bytes of them stay on
// the disk all the same, until answers that show them are written.
func (l *Log) Removed() int64 {
	l.windows.removed()
	return l.windows.held()
}

func (k *windows) held() int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	files := map[int64]bool{}
	for w := range k.gone {
		files[k.log.files.StartOf(w.start)] = true
	}
	return int64(len(files)) * k.log.files.FileSize()
}

// Unmap lets go of all files; what is lent stays until it is released.
func (l *Log) Unmap() {
	l.windows.mu.Lock()
	l.windows.off = true
	l.windows.mu.Unlock()
	l.windows.drop(func(*window) bool { return true })
}

// ErrFault says that bytes which were lent could not be looked at.
var ErrFault = errors.New("the bytes of a mapped file are gone")

// Guard runs look, which looks at b, lent bytes: a fault there is ErrFault.
func Guard(b []byte, look func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		fault, ok := p.(interface {
			runtime.Error
			Addr() uintptr
		})
		first := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
		if !ok || fault.Addr() < first || fault.Addr() >= first+uintptr(len(b)) {
			panic(p)
		}
		err = fmt.Errorf("%w: %w", ErrFault, fault)
	}()
	return look()
}
