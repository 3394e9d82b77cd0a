package objects

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sync"
	"syscall"

	"github.com/millrace/millrace/internal/vfs"
)

// scratchDir is the directory below a local store where files are in the making. Its name
// is no object's.
const scratchDir = ".scratch"

// Local is a Store in a directory. An object is written aside, synced, linked under its
// name, and the directory synced: a crash between any two of these leaves the object whole
// or absent. The file system must have hard links.
type Local struct {
	fs   vfs.FS
	root string

	mu      sync.Mutex
	scratch *Scratch        // opened by the first write
	durable map[string]bool // directories whose names are known to be durable
}

// NewLocal is a store in the directory root, which the first write makes. It touches
// nothing. The caller closes it.
func NewLocal(fsys vfs.FS, root string) *Local {
	return &Local{fs: fsys, root: root, durable: map[string]bool{}}
}

// Scratch is where files are made that become objects without being copied. It belongs to
// the store.
func (l *Local) Scratch() (*Scratch, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.scratch == nil {
		s, err := OpenScratch(l.fs, path.Join(l.root, scratchDir))
		if err != nil {
			return nil, err
		}
		l.scratch = s
	}
	return l.scratch, nil
}

// Close releases what the store itself holds.
func (l *Local) Close() error {
	l.mu.Lock()
	s := l.scratch
	l.scratch = nil
	l.mu.Unlock()
	if s == nil {
		return nil
	}
	return s.Close()
}

func (l *Local) path(name string) string { return path.Join(l.root, name) }

// PutIfAbsent implements Store. A *File of this store's scratch is not copied.
func (l *Local) PutIfAbsent(ctx context.Context, name string, body Body) error {
	f, release, err := l.aside(ctx, body)
	if err == nil {
		defer release()
		err = l.inDir(name, func() error { return l.fs.Link(f.name, l.path(name)) })
	}
	return l.settled("put", name, err)
}

// Put implements Store.
func (l *Local) Put(ctx context.Context, name string, body Body) error {
	f, release, err := l.aside(ctx, body)
	if err == nil {
		defer release()
		err = l.replace(f, name)
	}
	return l.settled("replace", name, err)
}

// replace gives a file a name that may be taken. A rename stays in one directory, so the file
// gets a second name there first. Another call may take that over or away: what counts is that
// whatever is renamed is whole and durable.
func (l *Local) replace(f *File, name string) error {
	second := replacing(name)
	for {
		err := l.inDir(second, func() error { return l.fs.Link(f.name, l.path(second)) })
		if errors.Is(err, fs.ErrExist) { // a crash or another call has left it
			err = l.fs.Remove(l.path(second))
			if err == nil || errors.Is(err, fs.ErrNotExist) {
				continue
			}
		}
		if err != nil {
			return notWritten(err)
		}
		if err = l.fs.Rename(l.path(second), l.path(name)); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
}

// replacingPrefix begins the names of files that are about to replace an object. They are no
// objects.
const replacingPrefix = ".replacing-"

func replacing(name string) string {
	dir, base := path.Split(name)
	return dir + replacingPrefix + base
}

// settled ends a write whose last step, which makes the name, gave err.
func (l *Local) settled(op, name string, err error) error {
	var not *unwritten
	switch {
	case err == nil:
		if err := l.fs.SyncDir(path.Dir(l.path(name))); err != nil {
			return fmt.Errorf("%s %s: %w: %w", op, l.path(name), ErrUnknown, err)
		}
		return nil
	case errors.As(err, &not):
		return fmt.Errorf("%s %s: %w", op, l.path(name), not.err)
	case op == "put" && errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s %s: %w", op, l.path(name), ErrExists)
	case refused(err):
		return fmt.Errorf("%s %s: %w", op, l.path(name), err)
	}
	return fmt.Errorf("%s %s: %w: %w", op, l.path(name), ErrUnknown, err)
}

// unwritten is an error of a step before the one that makes the name.
type unwritten struct{ err error }

func (e *unwritten) Error() string { return e.err.Error() }

func notWritten(err error) error { return &unwritten{err} }

// refused says that a name was certainly not made.
func refused(err error) bool {
	for _, e := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EACCES, syscall.EPERM, syscall.EROFS, syscall.EMLINK,
		syscall.ENOTSUP, syscall.EXDEV, syscall.EISDIR, syscall.ENOTDIR, syscall.ENAMETOOLONG, fs.ErrNotExist} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// aside returns the body as a file beside the objects whose bytes are durable.
func (l *Local) aside(ctx context.Context, body Body) (f *File, release func(), err error) {
	if err := l.makeDir(path.Clean(l.root)); err != nil {
		return nil, nil, notWritten(err)
	}
	s, err := l.Scratch()
	if err != nil {
		return nil, nil, notWritten(err)
	}
	f, own := body.(*File)
	if own = own && f.s == s; !own {
		if f, err = s.Create(); err != nil {
			return nil, nil, notWritten(err)
		}
		err = fill(ctx, f, body)
	}
	if err == nil {
		err = f.f.Sync()
	}
	if own {
		release = func() {}
	} else {
		release = func() { f.Close() }
	}
	if err != nil {
		release()
		return nil, nil, notWritten(err)
	}
	return f, release, nil
}

// fill copies the body.
func fill(ctx context.Context, f *File, body Body) error {
	buf := make([]byte, min(body.Size(), 1<<20))
	for at := int64(0); at < body.Size(); {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := body.ReadAt(buf[:min(int64(len(buf)), body.Size()-at)], at)
		if n == 0 {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("read what is to be written: %w", err)
		}
		if _, err := f.Write(buf[:n]); err != nil {
			return err
		}
		at += int64(n)
	}
	return nil
}

// inDir makes a name in a directory that is there durably. The directory may be removed
// meanwhile by whoever deletes its last object.
func (l *Local) inDir(name string, make func() error) error {
	dir := path.Dir(l.path(name))
	for try := 0; ; try++ {
		if err := l.makeDir(dir); err != nil {
			return notWritten(err)
		}
		err := make()
		if try == 10 || !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		l.forget(dir)
	}
}

// makeDir makes a directory and what is missing above it, and sees that their names are
// durable, whoever has made them.
func (l *Local) makeDir(dir string) error {
	l.mu.Lock()
	known := l.durable[dir]
	l.mu.Unlock()
	parent := path.Dir(dir)
	if known {
		return nil
	}
	if parent == dir || dir == path.Clean(l.root) {
		if err := vfs.MkdirAllSync(l.fs, dir); err != nil {
			return err
		}
	} else {
		if err := l.makeDir(parent); err != nil {
			return err
		}
		if err := l.fs.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := l.fs.SyncDir(parent); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.durable[dir] = true
	return nil
}

// forget drops what is known of a directory and those above it.
func (l *Local) forget(dir string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for ; l.durable[dir]; dir = path.Dir(dir) {
		delete(l.durable, dir)
	}
}

// Delete implements Store. Directories that become empty go along.
func (l *Local) Delete(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := l.fs.Remove(l.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete %s: %w", l.path(name), err)
	}
	_ = l.fs.Remove(l.path(replacing(name)))
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if l.fs.Remove(l.path(dir)) != nil {
			return nil // there is more in it
		}
		l.forget(l.path(dir))
	}
	return nil
}
