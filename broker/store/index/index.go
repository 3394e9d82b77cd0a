package index

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/message"
)

// Index is all index files of a store. One goroutine adds; everything else may be called
// concurrently.
type Index struct {
	fs  vfs.FS
	dir string
	geo geometry
	log *slog.Logger

	mu    sync.Mutex
	files []*file // oldest first; all but the last are closed
}

// Open reads what is in dir, which need not exist. A file that cannot be used is left out
// and named in the log: the index is an aid, a broker starts without it.
func Open(fsys vfs.FS, dir string, slots, entries int32, log *slog.Logger) (*Index, error) {
	x := &Index{fs: fsys, dir: dir, geo: geometry{slots, entries}, log: log}
	names, err := fsys.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list index files: %w", err)
	}
	for _, n := range names {
		if !isName(n) {
			continue
		}
		f, err := openFile(fsys, path.Join(dir, n), x.geo)
		if err != nil {
			log.Warn("an index file cannot be used", "file", path.Join(dir, n), "err", err)
			continue
		}
		if last := x.last(); last != nil {
			last.f.Close()
			last.f = nil
		}
		x.files = append(x.files, f)
	}
	return x, nil
}

func isName(n string) bool {
	_, err := strconv.ParseUint(n, 10, 64)
	return len(n) == 17 && err == nil
}

func (x *Index) last() *file {
	if len(x.files) == 0 {
		return nil
	}
	return x.files[len(x.files)-1]
}

// Hash is what an index keeps of a key of a topic.
func Hash(topic, key string) int32 {
	h := message.JavaHashOn(message.JavaHashOn(message.JavaHash(topic), "#"), key) // without joining them
	if h < 0 {
		h = -h
	}
	return max(h, 0) // the least number has no positive
}

// Put adds a key of a message.
func (x *Index) Put(topic, key string, phys, timestamp int64) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	f := x.last()
	if f == nil || f.full() {
		var err error
		if f, err = x.roll(timestamp); err != nil {
			return fmt.Errorf("new index file: %w", err)
		}
	}
	if err := f.put(Hash(topic, key), phys, timestamp); err != nil {
		return fmt.Errorf("index file %s: %w", f.name, err)
	}
	return nil
}

// roll makes a file, named for a time as RocketMQ does, and never for one that is taken.
func (x *Index) roll(timestamp int64) (*file, error) {
	t := time.UnixMilli(timestamp)
	if old := x.last(); old != nil {
		if err := old.retire(); err != nil {
			return nil, err
		}
		for path.Base(old.name) >= fileName(t) {
			t = t.Add(time.Millisecond)
			if used, err := time.ParseInLocation("20060102150405", path.Base(old.name)[:14], time.Local); err == nil && used.After(t) {
				t = used
			}
		}
	}
	if err := vfs.MkdirAllSync(x.fs, x.dir); err != nil {
		return nil, err
	}
	f, err := createFile(x.fs, path.Join(x.dir, fileName(t)), x.geo)
	if err != nil {
		return nil, err
	}
	if err := x.fs.SyncDir(x.dir); err != nil {
		f.f.Close()
		return nil, err
	}
	x.files = append(x.files, f)
	return f, nil
}

func fileName(t time.Time) string {
	return t.Format("20060102150405") + fmt.Sprintf("%03d", t.Nanosecond()/1e6)
}

// Flush makes everything durable.
func (x *Index) Flush() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if f := x.last(); f != nil {
		if err := f.flush(); err != nil {
			return fmt.Errorf("flush index file %s: %w", f.name, err)
		}
	}
	return nil
}

// Query calls fn for the places of messages that may have the key and were stored in
// [begin, end], newest first, each once, until fn returns false.
func (x *Index) Query(topic, key string, begin, end int64, fn func(phys int64) bool) error {
	hash := Hash(topic, key)
	seen := map[int64]bool{}
	x.mu.Lock()
	files := slices.Clone(x.files)
	x.mu.Unlock()
	for _, f := range slices.Backward(files) {
		phys, err := x.candidates(f, hash, begin, end)
		if err != nil {
			return fmt.Errorf("query index file %s: %w", f.name, err)
		}
		for _, p := range phys {
			if seen[p] {
				continue
			}
			seen[p] = true
			if !fn(p) {
				return nil
			}
		}
	}
	return nil
}

// maxChain bounds one query's walk in one file; a damaged chain could be a ring.
const maxChain = 100_000

func (x *Index) candidates(f *file, hash int32, begin, end int64) (out []int64, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if f.count <= 1 || f.endTimestamp < begin || f.beginTimestamp > end {
		return nil, nil
	}
	open := f.f
	if open == nil {
		if open, err = x.fs.Open(f.name); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil, nil // retention was faster
			}
			return nil, err
		}
		defer open.Close()
	}
	n, err := f.slot(open, hash)
	for steps := 0; err == nil && n > 0 && n < f.count && steps < maxChain; steps++ {
		var e entry
		if e, err = f.entry(open, n); err != nil {
			break
		}
		at := f.beginTimestamp + int64(e.since)*1000
		if e.hash == hash && at+1000 > begin && at <= end {
			out = append(out, e.phys)
		}
		if e.prev >= n {
			break
		}
		n = e.prev
	}
	return out, err
}

// RemoveBelow removes the files whose messages are all below minPhys in the log.
func (x *Index) RemoveBelow(minPhys int64) (n int, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for len(x.files) > 1 && x.files[0].endPhys < minPhys {
		if err := x.fs.Remove(x.files[0].name); err != nil {
			return n, err
		}
		x.files = x.files[1:]
		n++
	}
	if n > 0 {
		err = x.fs.SyncDir(x.dir)
	}
	return n, err
}

// Reach tells up to where the index goes.
func (x *Index) Reach() (timestamp, phys int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if f := x.last(); f != nil {
		return f.endTimestamp, f.endPhys
	}
	return 0, 0
}

// Empty tells that there is no index file.
func (x *Index) Empty() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.files) == 0
}

// Close closes the files without writing anything.
func (x *Index) Close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if f := x.last(); f != nil && f.f != nil {
		return f.f.Close()
	}
	return nil
}
