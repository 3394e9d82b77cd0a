package vfs

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Mem is a file system in memory that knows what a power cut would leave. It is made by
// NewMem or by CrashClone.
type Mem struct {
	mu    sync.RWMutex
	root  *memDir
	usage Usage
	locks map[string]bool
}

// memNode is what a name stands for: a file or a directory.
type memNode struct {
	file *memFile
	dir  *memDir
}

// memDir holds the names as they are and as a power cut would leave them: durable plus
// the first so many of pending.
type memDir struct {
	now     map[string]memNode
	durable map[string]memNode
	pending []dirChange
}

// dirChange is one atomic change: a name goes, a name comes, or both (rename).
type dirChange struct {
	gone, made string
	node       memNode
}

func (c dirChange) apply(names map[string]memNode) {
	if c.gone != "" {
		delete(names, c.gone)
	}
	if c.made != "" {
		names[c.made] = c.node
	}
}

func newMemDir() *memDir {
	return &memDir{now: map[string]memNode{}, durable: map[string]memNode{}}
}

func (d *memDir) change(c dirChange) {
	c.apply(d.now)
	d.pending = append(d.pending, c)
}

// NewMem returns an empty file system with room for 1 TiB.
func NewMem() *Mem {
	return &Mem{root: newMemDir(), usage: Usage{Total: 1 << 40, Free: 1 << 40}, locks: map[string]bool{}}
}

// SetUsage is what DiskUsage answers from now on. It limits nothing.
func (m *Mem) SetUsage(u Usage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.usage = u
}

func split(name string) []string {
	name = strings.Trim(path.Clean("/"+name), "/")
	if name == "" {
		return nil
	}
	return strings.Split(name, "/")
}

func pathError(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }

// findLocked walks to a node; the root is the directory of the empty name.
func (m *Mem) findLocked(name string) (memNode, error) {
	n := memNode{dir: m.root}
	for _, part := range split(name) {
		if n.dir == nil {
			return memNode{}, syscall.ENOTDIR
		}
		next, ok := n.dir.now[part]
		if !ok {
			return memNode{}, fs.ErrNotExist
		}
		n = next
	}
	return n, nil
}

// parentLocked finds the directory that a name is in.
func (m *Mem) parentLocked(name string) (*memDir, string, error) {
	parts := split(name)
	if len(parts) == 0 {
		return nil, "", fs.ErrInvalid
	}
	n, err := m.findLocked(strings.Join(parts[:len(parts)-1], "/"))
	if err == nil && n.dir == nil {
		err = syscall.ENOTDIR
	}
	return n.dir, parts[len(parts)-1], err
}

// Create implements FS.
func (m *Mem) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, err := m.parentLocked(name)
	if err != nil {
		return nil, pathError("create", name, err)
	}
	n, ok := dir.now[base]
	switch {
	case !ok:
		n = memNode{file: newMemFile()}
		dir.change(dirChange{made: base, node: n})
	case n.dir != nil:
		return nil, pathError("create", name, syscall.EISDIR)
	default:
		n.file.truncate(0)
	}
	return &memHandle{m: m, f: n.file, name: name, write: true}, nil
}

func (m *Mem) open(name string, write bool) (File, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.findLocked(name)
	if err == nil && n.file == nil {
		err = syscall.EISDIR
	}
	if err != nil {
		return nil, pathError("open", name, err)
	}
	return &memHandle{m: m, f: n.file, name: name, write: write}, nil
}

// OpenReadWrite implements FS.
func (m *Mem) OpenReadWrite(name string) (File, error) { return m.open(name, true) }

// Open implements FS.
func (m *Mem) Open(name string) (File, error) { return m.open(name, false) }

// MkdirAll implements FS.
func (m *Mem) MkdirAll(dir string, _ os.FileMode) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.root
	for _, part := range split(dir) {
		n, ok := d.now[part]
		if !ok {
			n = memNode{dir: newMemDir()}
			d.change(dirChange{made: part, node: n})
		}
		if n.dir == nil {
			return pathError("mkdir", dir, syscall.ENOTDIR)
		}
		d = n.dir
	}
	return nil
}

// ReadDir implements FS.
func (m *Mem) ReadDir(dir string) ([]string, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.findLocked(dir)
	if err == nil && n.dir == nil {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, pathError("readdir", dir, err)
	}
	return slices.Sorted(maps.Keys(n.dir.now)), nil
}

// Stat implements FS.
func (m *Mem) Stat(name string) (os.FileInfo, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.findLocked(name)
	if err != nil {
		return nil, pathError("stat", name, err)
	}
	info := memInfo{name: path.Base(name), dir: n.dir != nil}
	if n.file != nil {
		info.size = n.file.size
	}
	return info, nil
}

// Rename implements FS.
func (m *Mem) Rename(oldName, newName string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	fail := func(err error) error { return &os.LinkError{Op: "rename", Old: oldName, New: newName, Err: err} }
	dir, from, err := m.parentLocked(oldName)
	if err != nil {
		return fail(err)
	}
	dir2, to, err := m.parentLocked(newName)
	if err != nil {
		return fail(err)
	}
	n, ok := dir.now[from]
	if !ok {
		return fail(fs.ErrNotExist)
	}
	if dir != dir2 {
		// A move that a power cut splits cannot be told from one that is whole.
		return fail(syscall.EXDEV)
	}
	if from == to {
		return nil
	}
	if over, ok := dir.now[to]; ok && over.dir != nil {
		return fail(fs.ErrExist)
	}
	dir.change(dirChange{gone: from, made: to, node: n})
	return nil
}

// Link implements FS.
func (m *Mem) Link(oldName, newName string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	fail := func(err error) error { return &os.LinkError{Op: "link", Old: oldName, New: newName, Err: err} }
	n, err := m.findLocked(oldName)
	if err == nil && n.file == nil {
		err = syscall.EPERM
	}
	if err != nil {
		return fail(err)
	}
	dir, base, err := m.parentLocked(newName)
	if err != nil {
		return fail(err)
	}
	if _, taken := dir.now[base]; taken {
		return fail(fs.ErrExist)
	}
	dir.change(dirChange{made: base, node: n})
	return nil
}

// Remove implements FS.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, err := m.parentLocked(name)
	if err != nil {
		return pathError("remove", name, err)
	}
	n, ok := dir.now[base]
	switch {
	case !ok:
		return pathError("remove", name, fs.ErrNotExist)
	case n.dir != nil && len(n.dir.now) > 0:
		return pathError("remove", name, syscall.ENOTEMPTY)
	}
	dir.change(dirChange{gone: base})
	return nil
}

// SyncDir implements FS.
func (m *Mem) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.findLocked(dir)
	if err == nil && n.dir == nil {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return pathError("syncdir", dir, err)
	}
	for _, c := range n.dir.pending {
		c.apply(n.dir.durable)
	}
	n.dir.pending = nil
	return nil
}

// SyncAll implements AllSyncer.
func (m *Mem) SyncAll(string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.root.syncAll()
	return nil
}

func (d *memDir) syncAll() {
	for _, c := range d.pending {
		c.apply(d.durable)
	}
	d.pending = nil
	for _, n := range d.now {
		if n.dir != nil {
			n.dir.syncAll()
		} else {
			n.file.sync()
		}
	}
}

type memLock struct {
	m    *Mem
	name string
}

// Lock implements FS. A clone is not locked.
func (m *Mem) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := path.Clean("/" + name)
	if m.locks[key] {
		return nil, fmt.Errorf("lock %s: %w", name, ErrLocked)
	}
	dir, base, err := m.parentLocked(name)
	if err != nil {
		return nil, pathError("lock", name, err)
	}
	if _, ok := dir.now[base]; !ok {
		dir.change(dirChange{made: base, node: memNode{file: newMemFile()}})
	}
	m.locks[key] = true
	return &memLock{m: m, name: key}, nil
}

func (l *memLock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	delete(l.m.locks, l.name)
	return nil
}

// DiskUsage implements FS.
func (m *Mem) DiskUsage(string) (Usage, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.usage, nil
}

type memInfo struct {
	name string
	size int64
	dir  bool
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) IsDir() bool        { return i.dir }
func (i memInfo) ModTime() time.Time { return time.Time{} }
func (i memInfo) Sys() any           { return nil }
func (i memInfo) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o755
	}
	return 0o644
}
