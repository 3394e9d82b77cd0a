package objects

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace/internal/vfs"
)

// lockSuffix marks the lock of a scratch directory, which lies beside it.
const lockSuffix = ".lock"

// Scratch is a directory of files that only this process knows. It is locked while the
// process lives; what a dead one left goes when the next opens its own beside it. Nothing
// in it survives, so nothing in it is synced. All methods may be called concurrently.
type Scratch struct {
	fs   vfs.FS
	dir  string
	lock io.Closer
	n    atomic.Int64
}

// OpenScratch makes a scratch directory below parent, after removing those of processes that
// have ended. The caller closes it.
func OpenScratch(fsys vfs.FS, parent string) (*Scratch, error) {
	if err := fsys.MkdirAll(parent, 0o755); err != nil {
		return nil, fmt.Errorf("make %s: %w", parent, err)
	}
	sweepScratch(fsys, parent)
	for {
		s := &Scratch{fs: fsys, dir: path.Join(parent, newToken())}
		lock, err := fsys.Lock(s.dir + lockSuffix)
		if errors.Is(err, vfs.ErrLocked) {
			continue // another process has just begun to sweep it
		}
		if err != nil {
			return nil, err
		}
		// A sweeper may have removed the name before it was locked here.
		if _, err := fsys.Stat(s.dir + lockSuffix); err != nil {
			lock.Close()
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			return nil, err
		}
		s.lock = lock
		if err := fsys.MkdirAll(s.dir, 0o755); err != nil {
			return nil, errors.Join(fmt.Errorf("make %s: %w", s.dir, err), s.Close())
		}
		return s, nil
	}
}

func newToken() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// sweepScratch removes what nobody holds any more. What can't be removed now stays for the
// next that opens one.
func sweepScratch(fsys vfs.FS, parent string) {
	names, err := fsys.ReadDir(parent)
	if err != nil {
		return
	}
	for _, n := range names {
		dir, ok := strings.CutSuffix(n, lockSuffix)
		if !ok {
			continue
		}
		lock, err := fsys.Lock(path.Join(parent, n))
		if err != nil {
			continue
		}
		if vfs.RemoveTree(fsys, path.Join(parent, dir)) == nil {
			_ = fsys.Remove(path.Join(parent, n))
		}
		lock.Close()
	}
}

// Close removes the directory. Files that are still open there are lost.
func (s *Scratch) Close() error {
	err := vfs.RemoveTree(s.fs, s.dir)
	if err == nil {
		err = s.fs.Remove(s.dir + lockSuffix)
	}
	return errors.Join(err, s.lock.Close())
}

// Create makes an empty file. The caller closes it, which removes it.
func (s *Scratch) Create() (*File, error) {
	name := path.Join(s.dir, fmt.Sprint(s.n.Add(1)))
	f, err := s.fs.Create(name)
	if err != nil {
		return nil, err
	}
	return &File{s: s, name: name, f: f}, nil
}

// File is a file in the making. One goroutine writes it; then it is a [Body].
type File struct {
	s    *Scratch
	name string
	f    vfs.File
	size int64
	done sync.Once
	err  error
}

// Write appends.
func (f *File) Write(p []byte) (int, error) {
	n, err := f.f.WriteAt(p, f.size)
	f.size += int64(n)
	return n, err
}

// WriteAt writes at an offset. Parts that do not overlap may be written concurrently once
// the file has its size by Grow.
func (f *File) WriteAt(p []byte, off int64) (int, error) { return f.f.WriteAt(p, off) }

// Grow sets the size of an empty file that is written by WriteAt.
func (f *File) Grow(size int64) error {
	if err := f.f.Truncate(size); err != nil {
		return err
	}
	f.size = size
	return nil
}

// ReadAt reads what was written.
func (f *File) ReadAt(p []byte, off int64) (int, error) { return f.f.ReadAt(p, off) }

// Size is how much was written.
func (f *File) Size() int64 { return f.size }

// Close ends the file. An object that was made of it stays.
func (f *File) Close() error {
	f.done.Do(func() { f.err = errors.Join(f.f.Close(), f.s.fs.Remove(f.name)) })
	return f.err
}
