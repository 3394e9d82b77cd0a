package segment

import (
	"container/list"
	"errors"
	"sync"

	"github.com/millrace/millrace/internal/vfs"
)

// Cache keeps files open for all Files of a store, and no more than its limit beside those
// in use.
type Cache struct {
	fs    vfs.FS
	limit int

	mu   sync.Mutex
	open map[string]*Handle
	idle list.List // of *Handle, the longest unused in front
}

// Handle is an open file that somebody uses.
type Handle struct {
	vfs.File
	name string
	refs int
	elem *list.Element // in idle
	gone bool          // close at the last release
}

// NewCache returns a cache of at most limit files.
func NewCache(fsys vfs.FS, limit int) *Cache {
	return &Cache{fs: fsys, limit: max(limit, 1), open: map[string]*Handle{}}
}

// Acquire returns the open file; the caller releases it.
func (c *Cache) Acquire(name string) (*Handle, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.open[name]; h != nil {
		if h.elem != nil {
			c.idle.Remove(h.elem)
			h.elem = nil
		}
		h.refs++
		return h, nil
	}
	f, err := c.fs.OpenReadWrite(name)
	if err != nil {
		return nil, err
	}
	h := &Handle{File: f, name: name, refs: 1}
	c.open[name] = h
	for len(c.open) > c.limit && c.idle.Len() > 0 {
		c.dropLocked(c.idle.Front().Value.(*Handle))
	}
	return h, nil
}

// Release ends one use.
func (c *Cache) Release(h *Handle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h.refs--
	switch {
	case h.refs > 0:
	case h.gone:
		h.Close()
	default:
		h.elem = c.idle.PushBack(h)
	}
}

// Drop forgets a file that is about to be removed; readers that have it finish.
func (c *Cache) Drop(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.open[name]; h != nil {
		c.dropLocked(h)
	}
}

func (c *Cache) dropLocked(h *Handle) error {
	delete(c.open, h.name)
	if h.elem == nil {
		h.gone = true
		return nil
	}
	c.idle.Remove(h.elem)
	h.elem = nil
	return h.Close()
}

// Close closes everything; what is in use, at its release.
func (c *Cache) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, h := range c.open {
		errs = append(errs, c.dropLocked(h))
	}
	return errors.Join(errs...)
}
