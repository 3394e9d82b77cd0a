package vfs

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// CrashMode says how kind the power cut is to what was not synced.
type CrashMode int

const (
	// CrashTorn keeps of each unsynced sector the old bytes or the new, of each size the
	// old or the new, and of each directory the first so many changes, as the seed says.
	CrashTorn CrashMode = iota
	// CrashLose keeps nothing that was not synced.
	CrashLose
	// CrashKeep keeps everything: the process was killed, the machine goes on.
	CrashKeep
)

// CrashOpts choose what a crash leaves. Equal options on equal states leave the same.
type CrashOpts struct {
	Mode CrashMode
	Seed uint64
}

// CrashClone returns what a restart would find if the power failed now. The original
// goes on unharmed; open files and locks are its own.
func (m *Mem) CrashClone(o CrashOpts) *Mem {
	m.mu.RLock()
	defer m.mu.RUnlock()
	c := crash{mode: o.Mode, rng: rand.New(rand.NewPCG(o.Seed, 0x6d696c6c72616365)), files: map[*memFile]*memFile{}}
	return &Mem{root: c.dir(m.root), usage: m.usage, locks: map[string]bool{}}
}

type crash struct {
	mode  CrashMode
	rng   *rand.Rand
	files map[*memFile]*memFile // a file with two names stays one
}

func (c *crash) dir(d *memDir) *memDir {
	names := maps.Clone(d.durable)
	kept := len(d.pending)
	switch c.mode {
	case CrashLose:
		kept = 0
	case CrashTorn:
		kept = c.rng.IntN(kept + 1)
	}
	for _, ch := range d.pending[:kept] {
		ch.apply(names)
	}
	out := newMemDir()
	for _, name := range slices.Sorted(maps.Keys(names)) {
		n := names[name]
		if n.dir != nil {
			n.dir = c.dir(n.dir)
		} else {
			n.file = c.file(n.file)
		}
		out.now[name], out.durable[name] = n, n
	}
	return out
}

func (c *crash) file(f *memFile) *memFile {
	if done, ok := c.files[f]; ok {
		return done
	}
	out := newMemFile()
	c.files[f] = out
	out.durable = maps.Clone(f.durable)
	out.durableSize = f.durableSize
	if c.mode == CrashKeep || c.mode == CrashTorn && c.rng.IntN(2) == 0 {
		out.durableSize = f.size
	}
	if c.mode != CrashLose {
		for _, n := range slices.Sorted(maps.Keys(f.dirty)) {
			out.durable[n] = c.page(f.durable[n], f.now[n])
		}
	}
	out.now = maps.Clone(out.durable)
	out.size = out.durableSize
	out.clip()
	return out
}

func (c *crash) page(old, now *page) *page {
	out := new(page)
	if old != nil {
		*out = *old
	}
	for at := 0; at < memPage; at += memSector {
		if c.mode == CrashTorn && c.rng.IntN(2) == 0 {
			continue
		}
		if now == nil {
			clear(out[at : at+memSector])
		} else {
			copy(out[at:at+memSector], now[at:])
		}
	}
	return out
}

// clip drops what is kept of pages behind the file's end, and makes it durable so.
func (f *memFile) clip() {
	size := f.size
	for n := range f.now {
		if n*memPage >= size {
			delete(f.now, n)
		}
	}
	if in := size % memPage; in != 0 && f.now[size/memPage] != nil {
		clear(f.own(size / memPage)[in:])
	}
	f.durable = maps.Clone(f.now)
	clear(f.dirty)
	f.durableSize = size
}
