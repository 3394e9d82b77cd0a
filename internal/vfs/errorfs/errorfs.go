package errorfs

import (
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace/internal/vfs"
)

// Kind is an operation.
type Kind string

// The operations of vfs.FS and vfs.File.
const (
	Create        Kind = "create"
	OpenReadWrite Kind = "openrw"
	Open          Kind = "open"
	MkdirAll      Kind = "mkdirall"
	ReadDir       Kind = "readdir"
	Stat          Kind = "stat"
	Rename        Kind = "rename"
	Link          Kind = "link"
	Remove        Kind = "remove"
	SyncDir       Kind = "syncdir"
	SyncAll       Kind = "syncall"
	Lock          Kind = "lock"
	DiskUsage     Kind = "diskusage"
	ReadAt        Kind = "readat"
	WriteAt       Kind = "writeat"
	Size          Kind = "size"
	Truncate      Kind = "truncate"
	Sync          Kind = "sync"
	Close         Kind = "close"
)

// Changes tells the operations after which a power cut may find something else.
func (k Kind) Changes() bool {
	switch k {
	case Create, MkdirAll, Rename, Link, Remove, SyncDir, SyncAll, Lock, WriteAt, Truncate, Sync:
		return true
	}
	return false
}

// Op is one operation that is about to happen.
type Op struct {
	Kind   Kind
	Path   string
	To     string // of Rename and Link
	Offset int64  // of ReadAt and WriteAt; the size of Truncate
	Len    int    // of ReadAt and WriteAt
	N      int64  // the operation's number in this file system, from 1
}

// Action is what becomes of an operation. The zero value lets it happen.
type Action struct {
	// Err is returned in place of the operation.
	Err error
	// Tear is how many bytes of a WriteAt are written before Err is returned.
	Tear int
	// Usage, when set, is what DiskUsage answers.
	Usage *vfs.Usage
}

// Injector decides. Step is called before each operation, from the goroutine that does
// it, with no lock held; it may look at the file system underneath.
type Injector interface {
	Step(Op) Action
}

// Func is an Injector.
type Func func(Op) Action

// Step implements Injector.
func (f Func) Step(op Op) Action { return f(op) }

// Rule fails the operations that it matches. Zero fields match everything.
type Rule struct {
	Kind Kind
	Path string // a part of the path
	// From is the first matching operation that fails, counted from 1; Times is how many
	// do, 0 for all from there on.
	From, Times int64
	Action      Action

	seen int64
}

// Script is a set of rules that can change while operations run.
type Script struct {
	mu    sync.Mutex
	rules []*Rule
}

// Set replaces the rules.
func (s *Script) Set(rules ...Rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = nil
	for _, r := range rules {
		s.rules = append(s.rules, &r)
	}
}

// Step implements Injector: the first rule that matches and is due decides.
func (s *Script) Step(op Op) Action {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rules {
		if r.Kind != "" && r.Kind != op.Kind || !strings.Contains(op.Path, r.Path) {
			continue
		}
		r.seen++
		if n := r.seen - max(r.From, 1); n >= 0 && (r.Times == 0 || n < r.Times) {
			return r.Action
		}
	}
	return Action{}
}

// FS is the wrapped file system.
type FS struct {
	fs vfs.FS
	in Injector
	n  atomic.Int64
}

// Wrap returns fsys with in asked before every operation.
func Wrap(fsys vfs.FS, in Injector) *FS { return &FS{fs: fsys, in: in} }

// Steps is how many operations there have been.
func (f *FS) Steps() int64 { return f.n.Load() }

func (f *FS) step(op Op) Action {
	op.N = f.n.Add(1)
	a := f.in.Step(op)
	if a.Err != nil {
		a.Err = &os.PathError{Op: string(op.Kind), Path: op.Path, Err: a.Err}
	}
	return a
}

func (f *FS) open(k Kind, name string, open func(string) (vfs.File, error)) (vfs.File, error) {
	if a := f.step(Op{Kind: k, Path: name}); a.Err != nil {
		return nil, a.Err
	}
	file, err := open(name)
	if err != nil {
		return nil, err
	}
	return &wrapped{fs: f, file: file, name: name}, nil
}

// Create implements vfs.FS.
func (f *FS) Create(name string) (vfs.File, error) { return f.open(Create, name, f.fs.Create) }

// OpenReadWrite implements vfs.FS.
func (f *FS) OpenReadWrite(name string) (vfs.File, error) {
	return f.open(OpenReadWrite, name, f.fs.OpenReadWrite)
}

// Open implements vfs.FS.
func (f *FS) Open(name string) (vfs.File, error) { return f.open(Open, name, f.fs.Open) }

// MkdirAll implements vfs.FS.
func (f *FS) MkdirAll(dir string, perm os.FileMode) error {
	if a := f.step(Op{Kind: MkdirAll, Path: dir}); a.Err != nil {
		return a.Err
	}
	return f.fs.MkdirAll(dir, perm)
}

// ReadDir implements vfs.FS.
func (f *FS) ReadDir(dir string) ([]string, error) {
	if a := f.step(Op{Kind: ReadDir, Path: dir}); a.Err != nil {
		return nil, a.Err
	}
	return f.fs.ReadDir(dir)
}

// Stat implements vfs.FS.
func (f *FS) Stat(name string) (os.FileInfo, error) {
	if a := f.step(Op{Kind: Stat, Path: name}); a.Err != nil {
		return nil, a.Err
	}
	return f.fs.Stat(name)
}

// Rename implements vfs.FS.
func (f *FS) Rename(oldName, newName string) error {
	if a := f.step(Op{Kind: Rename, Path: oldName, To: newName}); a.Err != nil {
		return a.Err
	}
	return f.fs.Rename(oldName, newName)
}

// Link implements vfs.FS.
func (f *FS) Link(oldName, newName string) error {
	if a := f.step(Op{Kind: Link, Path: oldName, To: newName}); a.Err != nil {
		return a.Err
	}
	return f.fs.Link(oldName, newName)
}

// Remove implements vfs.FS.
func (f *FS) Remove(name string) error {
	if a := f.step(Op{Kind: Remove, Path: name}); a.Err != nil {
		return a.Err
	}
	return f.fs.Remove(name)
}

// SyncDir implements vfs.FS.
func (f *FS) SyncDir(dir string) error {
	if a := f.step(Op{Kind: SyncDir, Path: dir}); a.Err != nil {
		return a.Err
	}
	return f.fs.SyncDir(dir)
}

// SyncAll implements vfs.AllSyncer; it fails with errors.ErrUnsupported where the file
// system underneath does not.
func (f *FS) SyncAll(dir string) error {
	if a := f.step(Op{Kind: SyncAll, Path: dir}); a.Err != nil {
		return a.Err
	}
	if s, ok := f.fs.(vfs.AllSyncer); ok {
		return s.SyncAll(dir)
	}
	return errors.ErrUnsupported
}

// Lock implements vfs.FS.
func (f *FS) Lock(name string) (io.Closer, error) {
	if a := f.step(Op{Kind: Lock, Path: name}); a.Err != nil {
		return nil, a.Err
	}
	return f.fs.Lock(name)
}

// DiskUsage implements vfs.FS.
func (f *FS) DiskUsage(dir string) (vfs.Usage, error) {
	a := f.step(Op{Kind: DiskUsage, Path: dir})
	if a.Err != nil {
		return vfs.Usage{}, a.Err
	}
	if a.Usage != nil {
		return *a.Usage, nil
	}
	return f.fs.DiskUsage(dir)
}
