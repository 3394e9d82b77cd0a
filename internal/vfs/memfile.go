package vfs

import (
	"io"
	"io/fs"
	"syscall"
)

const (
	memPage   = 4096
	memSector = 512 // what a disk writes whole or not at all
)

type page [memPage]byte

// memFile keeps its bytes twice, as pages: as they are, and as they were at the last
// Sync. A page that is not dirty is shared between the two (and with clones), and is
// never written to: a write makes a copy first. A missing page is zeroes.
type memFile struct {
	now, durable      map[int64]*page
	dirty             map[int64]bool
	size, durableSize int64
}

func newMemFile() *memFile {
	return &memFile{now: map[int64]*page{}, durable: map[int64]*page{}, dirty: map[int64]bool{}}
}

// own returns a page that may be written to.
func (f *memFile) own(n int64) *page {
	p := f.now[n]
	if p != nil && f.dirty[n] {
		return p
	}
	fresh := new(page)
	if p != nil {
		*fresh = *p
	}
	f.now[n] = fresh
	f.dirty[n] = true
	return fresh
}

func (f *memFile) write(b []byte, off int64) {
	for at := off; len(b) > 0; {
		if in := int(at % memPage); f.now[at/memPage] == nil && isZero(b[:min(len(b), memPage-in)]) {
			n := min(len(b), memPage-in)
			b, at = b[n:], at+int64(n)
			f.size = max(f.size, at)
			continue
		}
		n := copy(f.own(at / memPage)[at%memPage:], b)
		b, at = b[n:], at+int64(n)
		f.size = max(f.size, at)
	}
}

// isZero spares the page of a write that changes nothing.
func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

func (f *memFile) read(b []byte, off int64) (int, error) {
	if off >= f.size {
		return 0, io.EOF
	}
	whole := len(b)
	if int64(whole) > f.size-off {
		b = b[:f.size-off]
	}
	for done := 0; done < len(b); {
		at := off + int64(done)
		in := at % memPage
		part := b[done:min(len(b), done+int(memPage-in))]
		if p := f.now[at/memPage]; p != nil {
			copy(part, p[in:])
		} else {
			clear(part)
		}
		done += len(part)
	}
	if len(b) < whole {
		return len(b), io.EOF
	}
	return len(b), nil
}

func (f *memFile) truncate(size int64) {
	if size < f.size {
		if in := size % memPage; in != 0 && f.now[size/memPage] != nil {
			clear(f.own(size / memPage)[in:])
		}
		for n := range f.now {
			if n*memPage >= size {
				delete(f.now, n)
				f.dirty[n] = true
			}
		}
	}
	f.size = size
}

func (f *memFile) sync() {
	for n := range f.dirty {
		if p := f.now[n]; p != nil {
			f.durable[n] = p
		} else {
			delete(f.durable, n)
		}
	}
	clear(f.dirty)
	f.durableSize = f.size
}

// memHandle is an open file. It outlives the file's name.
type memHandle struct {
	m      *Mem
	f      *memFile
	name   string
	write  bool
	closed bool
}

func (h *memHandle) check(op string, write bool) error {
	switch {
	case h.closed:
		return pathError(op, h.name, fs.ErrClosed)
	case write && !h.write:
		return pathError(op, h.name, syscall.EBADF)
	}
	return nil
}

func (h *memHandle) ReadAt(b []byte, off int64) (int, error) {
	h.m.mu.RLock()
	defer h.m.mu.RUnlock()
	if err := h.check("read", false); err != nil {
		return 0, err
	}
	return h.f.read(b, off)
}

func (h *memHandle) WriteAt(b []byte, off int64) (int, error) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	if err := h.check("write", true); err != nil {
		return 0, err
	}
	h.f.write(b, off)
	return len(b), nil
}

func (h *memHandle) Truncate(size int64) error {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	if err := h.check("truncate", true); err != nil {
		return err
	}
	h.f.truncate(size)
	return nil
}

func (h *memHandle) Sync() error {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	if err := h.check("sync", false); err != nil {
		return err
	}
	h.f.sync()
	return nil
}

func (h *memHandle) Size() (int64, error) {
	h.m.mu.RLock()
	defer h.m.mu.RUnlock()
	return h.f.size, h.check("size", false)
}

func (h *memHandle) Close() error {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	if err := h.check("close", false); err != nil {
		return err
	}
	h.closed = true
	return nil
}
