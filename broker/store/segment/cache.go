package segment

import (
	"container/list"
	"errors"
	"path"
	"sync"

	"github.com/millrace/millrace/internal/vfs"
)

// Cache keeps files open for all Files of a store, and no more than its limit beside those
// in use.
type Cache struct {
	fs    vfs.FS
	limit int

	mu   sync.Mutex
	open map[key]*Handle
	idle list.List // of *Handle, the longest unused in front
}

// key is a file's directory and its start; the name is made only when it is opened.
type key struct {
	dir   string
	start int64
}

// Handle is an open file that somebody uses.
type Handle struct {
	vfs.File
	key
	refs int
	elem *list.Element // in idle
	gone bool          // close at the last release
}

// NewCache returns a cache of at most limit files.
func NewCache(fsys vfs.FS, limit int) *Cache {
	return &Cache{fs: fsys, limit: max(limit, 1), open: map[key]*Handle{}}
}

// acquire returns the open file; the caller releases it.
func (c *Cache) acquire(k key) (*Handle, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.open[k]; h != nil {
		if h.elem != nil {
			c.idle.Remove(h.elem)
			h.elem = nil
		}
		h.refs++
		return h, nil
	}
	f, err := c.fs.OpenReadWrite(path.Join(k.dir, Name(k.start)))
	if err != nil {
		return nil, err
	}
	h := &Handle{File: f, key: k, refs: 1}
	c.open[k] = h
	c.shrinkLocked()
	return h, nil
}

func (c *Cache) shrinkLocked() {
	for len(c.open) > c.limit && c.idle.Len() > 0 {
		_ = c.dropLocked(c.idle.Front().Value.(*Handle)) // what is idle is synced
	}
}

// release ends one use.
func (c *Cache) release(h *Handle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h.refs--
	switch {
	case h.refs > 0:
	case h.gone:
		h.Close()
	default:
		h.elem = c.idle.PushBack(h)
		c.shrinkLocked()
	}
}

// drop forgets a file that is about to be removed; readers that have it finish.
func (c *Cache) drop(k key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.open[k]; h != nil {
		_ = c.dropLocked(h) // the file goes away
	}
}

func (c *Cache) dropLocked(h *Handle) error {
	delete(c.open, h.key)
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
