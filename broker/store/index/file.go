package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/millrace/millrace/internal/vfs"
)

const (
	headerSize = 40
	slotSize   = 4
	entrySize  = 20
	pageSize   = 4096
)

// header is the first 40 bytes of a file.
type header struct {
	beginTimestamp, endTimestamp int64 // store timestamps, milliseconds
	beginPhys, endPhys           int64
	slotsUsed                    int32
	count                        int32 // the number of the next entry; the first has 1
}

func (h header) encode() []byte {
	be := binary.BigEndian
	b := be.AppendUint64(make([]byte, 0, headerSize), uint64(h.beginTimestamp))
	b = be.AppendUint64(b, uint64(h.endTimestamp))
	b = be.AppendUint64(b, uint64(h.beginPhys))
	b = be.AppendUint64(b, uint64(h.endPhys))
	b = be.AppendUint32(b, uint32(h.slotsUsed))
	return be.AppendUint32(b, uint32(h.count))
}

func parseHeader(b []byte) header {
	be := binary.BigEndian
	return header{
		beginTimestamp: int64(be.Uint64(b)), endTimestamp: int64(be.Uint64(b[8:])),
		beginPhys: int64(be.Uint64(b[16:])), endPhys: int64(be.Uint64(b[24:])),
		slotsUsed: int32(be.Uint32(b[32:])), count: max(1, int32(be.Uint32(b[36:]))),
	}
}

// entry is a key's hash and its message's place.
type entry struct {
	hash  int32
	phys  int64
	since int32 // seconds from the file's first message
	prev  int32 // the entry before it in its slot; 0 without one
}

func (e entry) append(dst []byte) []byte {
	be := binary.BigEndian
	dst = be.AppendUint32(dst, uint32(e.hash))
	dst = be.AppendUint64(dst, uint64(e.phys))
	dst = be.AppendUint32(dst, uint32(e.since))
	return be.AppendUint32(dst, uint32(e.prev))
}

func parseEntry(b []byte) entry {
	be := binary.BigEndian
	return entry{hash: int32(be.Uint32(b)), phys: int64(be.Uint64(b[4:])), since: int32(be.Uint32(b[12:])), prev: int32(be.Uint32(b[16:]))}
}

// file is one index file. It is guarded by Index.mu.
type file struct {
	fs   vfs.FS
	name string
	f    vfs.File // open while the file is the newest
	geo  geometry

	header
	filed   int32            // entries below are in the file
	tail    []byte           // the entries from filed on
	pages   map[int64][]byte // slot pages that were looked at, by number
	dirty   map[int64]bool
	changed bool
}

type geometry struct{ slots, entries int32 }

func (g geometry) slotAt(hash int32) int64 { return headerSize + int64(hash%g.slots)*slotSize }
func (g geometry) entryAt(n int32) int64 {
	return headerSize + int64(g.slots)*slotSize + int64(n)*entrySize
}
func (g geometry) size() int64 { return g.entryAt(g.entries) }

// createFile makes a sparse file; its name is durable when the caller syncs the directory.
func createFile(fsys vfs.FS, name string, geo geometry) (*file, error) {
	f, err := fsys.Create(name)
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(geo.size()); err != nil {
		f.Close()
		return nil, err
	}
	x := newFile(fsys, name, geo)
	x.f, x.header.count, x.filed = f, 1, 1
	return x, nil
}

func newFile(fsys vfs.FS, name string, geo geometry) *file {
	return &file{fs: fsys, name: name, geo: geo, pages: map[int64][]byte{}, dirty: map[int64]bool{}}
}

// openFile reads the header of a file that exists.
func openFile(fsys vfs.FS, name string, geo geometry) (*file, error) {
	x := newFile(fsys, name, geo)
	f, err := fsys.OpenReadWrite(name)
	if err != nil {
		return nil, err
	}
	b := make([]byte, headerSize)
	size, err := f.Size()
	if err == nil && size < geo.size() {
		err = f.Truncate(geo.size())
	}
	if err == nil {
		_, err = f.ReadAt(b, 0)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	x.f, x.header = f, parseHeader(b)
	if x.count > geo.entries {
		f.Close()
		return nil, fmt.Errorf("index file %s holds %d entries, at most %d fit: is it of another size?", name, x.count, geo.entries)
	}
	x.filed = x.count
	return x, nil
}

func (x *file) full() bool { return x.count >= x.geo.entries }

// page returns the slot page that holds a byte of the file.
func (x *file) page(at int64) ([]byte, error) {
	n := at / pageSize
	if p := x.pages[n]; p != nil {
		return p, nil
	}
	p := make([]byte, pageSize)
	if _, err := x.f.ReadAt(p, n*pageSize); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	x.pages[n] = p
	return p, nil
}

// put adds an entry. Slots do not straddle pages: the header is a multiple of their size.
func (x *file) put(hash int32, phys, timestamp int64) error {
	at := x.geo.slotAt(hash)
	p, err := x.page(at)
	if err != nil {
		return err
	}
	slot := p[at%pageSize:]
	prev := int32(binary.BigEndian.Uint32(slot))
	if prev <= 0 || prev >= x.count {
		prev = 0
	}
	since := int64(0)
	if x.count == 1 {
		x.beginPhys, x.beginTimestamp = phys, timestamp
	} else {
		since = min(max((timestamp-x.beginTimestamp)/1000, 0), math.MaxInt32)
	}
	x.tail = entry{hash: hash, phys: phys, since: int32(since), prev: prev}.append(x.tail)
	binary.BigEndian.PutUint32(slot, uint32(x.count))
	x.dirty[at/pageSize] = true
	if prev == 0 {
		x.slotsUsed++
	}
	x.count++
	x.endPhys, x.endTimestamp = phys, timestamp
	x.changed = true
	return nil
}

// slot and entry read from memory or the file; f is the file, open.
func (x *file) slot(f vfs.File, hash int32) (int32, error) {
	at := x.geo.slotAt(hash)
	if p := x.pages[at/pageSize]; p != nil {
		return int32(binary.BigEndian.Uint32(p[at%pageSize:])), nil
	}
	var b [slotSize]byte
	_, err := f.ReadAt(b[:], at)
	return int32(binary.BigEndian.Uint32(b[:])), err
}

func (x *file) entry(f vfs.File, n int32) (entry, error) {
	if n >= x.filed {
		return parseEntry(x.tail[int64(n-x.filed)*entrySize:]), nil
	}
	var b [entrySize]byte
	_, err := f.ReadAt(b[:], x.geo.entryAt(n))
	return parseEntry(b[:]), err
}

// flush makes the file durable: entries and header first, then the slots.
func (x *file) flush() error {
	if !x.changed {
		return nil
	}
	if _, err := x.f.WriteAt(x.tail, x.geo.entryAt(x.filed)); err != nil {
		return err
	}
	if _, err := x.f.WriteAt(x.header.encode(), 0); err != nil {
		return err
	}
	if err := x.f.Sync(); err != nil {
		return err
	}
	for n := range x.dirty {
		// The first page begins with the header, the last may end with entries.
		from := max(n*pageSize, headerSize)
		to := min((n+1)*pageSize, x.geo.entryAt(0))
		if _, err := x.f.WriteAt(x.pages[n][from-n*pageSize:to-n*pageSize], from); err != nil {
			return err
		}
	}
	if err := x.f.Sync(); err != nil {
		return err
	}
	clear(x.dirty)
	x.filed, x.tail, x.changed = x.count, nil, false
	return nil
}

// retire lets go of the memory of a file that is not written to any more.
func (x *file) retire() error {
	if err := x.flush(); err != nil {
		return err
	}
	if x.f == nil {
		return nil
	}
	x.pages, x.dirty = map[int64][]byte{}, map[int64]bool{}
	err := x.f.Close()
	x.f = nil
	return err
}
