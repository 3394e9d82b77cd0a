package segment

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"sync"

	"github.com/millrace/millrace/internal/vfs"
)

// ErrMissing says that a file which should be there is not, or has another size.
var ErrMissing = errors.New("segment file is missing or has the wrong size")

// ErrOutside says that an offset lies in no file.
var ErrOutside = errors.New("offset lies in no segment file")

// Files is one space of offsets. All methods may be called concurrently; two that write
// the same bytes, or remove what the other writes, are the caller's mistake.
type Files struct {
	fs    vfs.FS
	cache *Cache
	dir   string
	size  int64

	mu     sync.RWMutex
	first  int64 // start of the first file
	count  int64
	pinned map[int64]*Handle // written and not synced since

	create sync.Mutex // one creation at a time; taken before mu
}

// Open looks at what is in dir, which need not exist. A last file that a crash left too
// short is given its full size, durably.
func Open(fsys vfs.FS, cache *Cache, dir string, fileSize int64) (*Files, error) {
	f := &Files{fs: fsys, cache: cache, dir: dir, size: fileSize, pinned: map[int64]*Handle{}}
	names, err := fsys.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list segment files: %w", err)
	}
	var starts []int64
	for _, n := range names {
		if at, ok := parseName(n); ok {
			starts = append(starts, at)
		}
	}
	for i, at := range starts {
		if want := starts[0] + int64(i)*fileSize; at != want {
			return nil, fmt.Errorf("%w: %s stands where %s is due (files of %d bytes)",
				ErrMissing, path.Join(dir, Name(at)), Name(want), fileSize)
		}
		if err := f.checkSize(at, i == len(starts)-1); err != nil {
			return nil, err
		}
	}
	if len(starts) > 0 {
		f.first, f.count = starts[0], int64(len(starts))
	}
	return f, nil
}

func (f *Files) checkSize(at int64, last bool) error {
	name := f.name(at)
	info, err := f.fs.Stat(name)
	if err != nil {
		return fmt.Errorf("look at segment file: %w", err)
	}
	if info.Size() == f.size {
		return nil
	}
	if !last || info.Size() > f.size {
		return fmt.Errorf("%w: %s has %d bytes, configured are %d", ErrMissing, name, info.Size(), f.size)
	}
	h, err := f.cache.acquire(key{f.dir, at})
	if err != nil {
		return fmt.Errorf("open short segment file: %w", err)
	}
	defer f.cache.release(h)
	// Durable before another file stands behind it: a crash would leave a short one there.
	if err := errors.Join(h.Truncate(f.size), h.Sync()); err != nil {
		return fmt.Errorf("lengthen segment file %s: %w", name, err)
	}
	return nil
}

// Name is the name of the file that starts at an offset.
func Name(start int64) string { return fmt.Sprintf("%020d", start) }

func parseName(n string) (int64, bool) {
	if len(n) != 20 {
		return 0, false
	}
	at, err := strconv.ParseInt(n, 10, 64)
	return at, err == nil && at >= 0
}

func (f *Files) name(start int64) string { return path.Join(f.dir, Name(start)) }

// Dir is where the files are.
func (f *Files) Dir() string { return f.dir }

// FileSize is the size of each file.
func (f *Files) FileSize() int64 { return f.size }

// StartOf is where the file starts that holds an offset.
func (f *Files) StartOf(off int64) int64 { return off - off%f.size }

// Place names the file that holds an offset and the position in it, for messages.
func (f *Files) Place(off int64) string {
	start := f.StartOf(off)
	return fmt.Sprintf("%s at %d", f.name(start), off-start)
}

// Range returns where the first file starts and the last one ends; equal without files.
func (f *Files) Range() (first, end int64) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.first, f.first + f.count*f.size
}

// Ensure makes the file that holds off, and those missing before it. When there are none
// yet it starts with that one.
func (f *Files) Ensure(off int64) error { return f.ensure(off, true) }

// EnsureLater is Ensure whose caller makes files and names durable himself, with all
// others of the file system.
func (f *Files) EnsureLater(off int64) error { return f.ensure(off, false) }

func (f *Files) ensure(off int64, durable bool) error {
	if first, end := f.Range(); off >= first && off < end {
		return nil
	}
	f.create.Lock()
	defer f.create.Unlock()
	for {
		first, end := f.Range()
		if first == end {
			first, end = f.StartOf(off), f.StartOf(off)
		}
		if off < first {
			return fmt.Errorf("%w: %d is before %s", ErrOutside, off, f.name(first))
		}
		if off < end {
			return nil
		}
		if err := f.make(end, durable); err != nil {
			return fmt.Errorf("create segment file %s: %w", f.name(end), err)
		}
		f.mu.Lock()
		if f.count == 0 {
			f.first = end
		}
		f.count++
		f.mu.Unlock()
	}
}

func (f *Files) make(start int64, durable bool) error {
	mkdir := vfs.MkdirAllSync
	if !durable {
		mkdir = func(fsys vfs.FS, dir string) error { return fsys.MkdirAll(dir, 0o755) }
	}
	if err := mkdir(f.fs, f.dir); err != nil {
		return err
	}
	file, err := f.fs.Create(f.name(start))
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Truncate(f.size); err != nil {
		return err
	}
	if !durable {
		return nil
	}
	if err := file.Sync(); err != nil {
		return err
	}
	return f.fs.SyncDir(f.dir)
}

// each calls fn for the files that hold [off, off+n), with each one's part.
func (f *Files) each(off, n int64, fn func(h *Handle, at, from, to int64) error) error {
	for done := int64(0); done < n; {
		start := f.StartOf(off + done)
		if first, end := f.Range(); start < first || start >= end {
			return fmt.Errorf("%w: %s", ErrOutside, f.Place(off+done))
		}
		at := off + done - start
		part := min(n-done, f.size-at)
		h, err := f.cache.acquire(key{f.dir, start})
		if err != nil {
			if first, _ := f.Range(); errors.Is(err, fs.ErrNotExist) && start < first {
				err = ErrOutside // retention was faster
			}
			return err
		}
		err = fn(h, at, done, done+part)
		f.cache.release(h)
		if err != nil {
			return err
		}
		done += part
	}
	return nil
}

// ReadAt fills b from off on. It fails with ErrOutside when not all of it is in files.
func (f *Files) ReadAt(b []byte, off int64) error {
	return f.each(off, int64(len(b)), func(h *Handle, at, from, to int64) error {
		n, err := h.ReadAt(b[from:to], at)
		if errors.Is(err, io.EOF) {
			if int64(n) == to-from {
				return nil
			}
			err = fmt.Errorf("%w: %s ends at %d", ErrMissing, f.name(h.start), at+int64(n))
		}
		return err
	})
}

// WriteAt writes b at off; the files exist. They stay open until they are synced, so that
// no write error can go unseen.
func (f *Files) WriteAt(b []byte, off int64) error {
	return f.each(off, int64(len(b)), func(h *Handle, at, from, to int64) error {
		f.pin(off + from - at)
		n, err := h.WriteAt(b[from:to], at)
		if err == nil && int64(n) < to-from {
			err = io.ErrShortWrite
		}
		return err
	})
}

func (f *Files) pin(start int64) {
	f.mu.RLock()
	_, ok := f.pinned[start]
	f.mu.RUnlock()
	if ok {
		return
	}
	h, err := f.cache.acquire(key{f.dir, start})
	if err != nil {
		return // the caller holds it open, so this does not happen; the sync opens it again
	}
	f.mu.Lock()
	if _, ok := f.pinned[start]; ok {
		f.mu.Unlock()
		f.cache.release(h)
		return
	}
	f.pinned[start] = h
	f.mu.Unlock()
}

// Sync makes [from, to) durable. Files that end at or before to are let go of.
func (f *Files) Sync(from, to int64) error {
	for start := f.StartOf(from); start < to; start += f.size {
		h, err := f.cache.acquire(key{f.dir, start})
		if err != nil {
			return err
		}
		err = h.Sync()
		f.cache.release(h)
		if err != nil {
			return err
		}
		if start+f.size <= to {
			f.Unpin(start)
		}
	}
	return nil
}

// OpenOwn opens the file that starts at start apart from everybody else's use of it.
func (f *Files) OpenOwn(start int64) (vfs.File, error) { return f.fs.OpenReadWrite(f.name(start)) }

// Unpin lets go of the file that starts at start, when all of it is synced.
func (f *Files) Unpin(start int64) {
	f.mu.Lock()
	h := f.pinned[start]
	delete(f.pinned, start)
	f.mu.Unlock()
	if h != nil {
		f.cache.release(h)
	}
}

// CutTail makes everything from off on durably zero: the files behind are removed, last
// first, and the one that holds off is cut and lengthened again.
func (f *Files) CutTail(off int64) error {
	for {
		first, end := f.Range()
		last := end - f.size
		if first == end || last < off || last == first {
			break
		}
		if err := f.remove(last); err != nil {
			return err
		}
		f.mu.Lock()
		f.count--
		f.mu.Unlock()
	}
	first, end := f.Range()
	if off < first || off >= end {
		return nil
	}
	start := f.StartOf(off)
	h, err := f.cache.acquire(key{f.dir, start})
	if err != nil {
		return err
	}
	defer f.cache.release(h)
	if err := h.Truncate(off - start); err != nil {
		return fmt.Errorf("cut %s: %w", f.Place(off), err)
	}
	if err := h.Truncate(f.size); err != nil {
		return fmt.Errorf("lengthen %s: %w", f.name(start), err)
	}
	if err := h.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", f.name(start), err)
	}
	return nil
}

// RemoveFirst removes the oldest file when it ends at or before off and is not the last.
// It reports whether it did.
func (f *Files) RemoveFirst(off int64) (bool, error) {
	f.mu.Lock()
	first := f.first
	if f.count < 2 || first+f.size > off {
		f.mu.Unlock()
		return false, nil
	}
	f.first, f.count = first+f.size, f.count-1
	f.mu.Unlock()
	if err := f.remove(first); err != nil {
		_, gone := f.fs.Stat(f.name(first))
		f.mu.Lock()
		if f.first == first+f.size && !errors.Is(gone, fs.ErrNotExist) {
			f.first, f.count = first, f.count+1
		}
		f.mu.Unlock()
		return false, err
	}
	return true, nil
}

func (f *Files) remove(start int64) error {
	f.Unpin(start)
	f.cache.drop(key{f.dir, start})
	if err := f.fs.Remove(f.name(start)); err != nil {
		return err
	}
	return f.fs.SyncDir(f.dir)
}

// RemoveAll removes all files.
func (f *Files) RemoveAll() error {
	first, end := f.Range()
	f.Discard()
	for at := end - f.size; at >= first; at -= f.size {
		if err := f.fs.Remove(f.name(at)); err != nil {
			return err
		}
	}
	return f.fs.SyncDir(f.dir)
}

// Discard closes the files and forgets them; the directory's remover calls it first.
func (f *Files) Discard() {
	first, end := f.Range()
	for at := first; at < end; at += f.size {
		f.Unpin(at)
		f.cache.drop(key{f.dir, at})
	}
	f.mu.Lock()
	f.first, f.count = 0, 0
	f.mu.Unlock()
}
