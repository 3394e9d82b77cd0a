package commitlog

import (
	"container/list"
	"fmt"
	"sync"
)

const (
	// readBlock is how much is read at once on behalf of several readers.
	readBlock = 128 << 10
	// maxReadBlocks bounds the memory of the blocks that are kept: what four readers of
	// neighbouring queues, an answer of 1 MiB apart from each other, look at.
	maxReadBlocks = 64
)

// blocks are stretches of the log that were read a moment ago. Queues lie mixed in the log:
// whoever reads one of them reads its neighbours along, and whoever reads those next to it
// finds them here.
//
// Only stretches that were readable in full are kept, and readable bytes never change, so
// that a block is what the files hold for as long as it is kept.
type blocks struct {
	log *Log

	mu    sync.Mutex
	kept  map[int64]*block // by start
	idle  list.List        // of those kept that nobody uses, the longest unused in front
	spare [][]byte         // memory of blocks that were let go
	used  bool             // since the last trim
}

// block is [start, start+len(b)) of the log.
type block struct {
	start int64
	b     []byte
	refs  int           // guarded by blocks.mu, as is elem
	elem  *list.Element // in idle

	load sync.Once
	err  error // of load
}

// acquire returns the block that holds phys, filled, and the caller releases it. One that
// is not readable to its end is read from phys on and is the caller's alone.
func (k *blocks) acquire(phys int64) (*block, error) {
	start, size := k.place(phys)
	if start < k.log.Min() || start+size > k.log.Readable() {
		return k.own(phys, start+size)
	}
	k.mu.Lock()
	b := k.kept[start]
	if b == nil {
		if len(k.kept) >= maxReadBlocks && k.idle.Len() > 0 {
			k.dropLocked(k.idle.Front().Value.(*block))
		}
		b = &block{start: start, b: k.memoryLocked()[:size]}
		k.kept[start] = b
	}
	k.used = true
	k.wakeLocked(b)
	b.refs++
	k.mu.Unlock()
	b.load.Do(func() { b.err = k.log.ReadAt(b.b, b.start) })
	if b.err != nil {
		k.forget(b)
		k.release(b)
		return nil, b.err
	}
	return b, nil
}

// own reads what is readable of a block from phys on.
func (k *blocks) own(phys, end int64) (*block, error) {
	end = min(end, k.log.Readable())
	if phys < k.log.Min() || phys >= end {
		return nil, fmt.Errorf("%w: %d, readable is %d to %d", ErrNotFound, phys, k.log.Min(), k.log.Readable())
	}
	k.mu.Lock()
	b := &block{start: phys, b: k.memoryLocked()[:end-phys], refs: 1}
	k.mu.Unlock()
	if err := k.log.ReadAt(b.b, phys); err != nil {
		k.release(b)
		return nil, err
	}
	return b, nil
}

// place is where the block of phys begins and how long it is: blocks do not reach from one
// file into the next.
func (k *blocks) place(phys int64) (start, size int64) {
	file, fileSize := k.log.files.StartOf(phys), k.log.files.FileSize()
	at := (phys - file) / readBlock * readBlock
	return file + at, min(readBlock, fileSize-at)
}

// wakeLocked takes a block out of idle.
func (k *blocks) wakeLocked(b *block) {
	if b.elem != nil {
		k.idle.Remove(b.elem)
		b.elem = nil
	}
}

// dropLocked has a block not found any more. Its memory is spare when nobody uses it.
func (k *blocks) dropLocked(b *block) {
	if k.kept[b.start] == b {
		delete(k.kept, b.start)
		k.wakeLocked(b)
	}
	if b.refs == 0 && b.b != nil {
		k.spare = append(k.spare, b.b[:readBlock])
		b.b = nil
	}
}

func (k *blocks) memoryLocked() []byte {
	if n := len(k.spare); n > 0 {
		b := k.spare[n-1]
		k.spare = k.spare[:n-1]
		return b
	}
	return make([]byte, readBlock)
}

// forget has a block read anew by whoever comes next: something about it was wrong.
func (k *blocks) forget(b *block) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dropLocked(b)
}

func (k *blocks) release(b *block) {
	k.mu.Lock()
	defer k.mu.Unlock()
	b.refs--
	switch {
	case b.refs > 0:
	case k.kept[b.start] == b && len(k.kept) <= maxReadBlocks:
		b.elem = k.idle.PushBack(b)
	default:
		k.dropLocked(b)
	}
	if n := maxReadBlocks - len(k.kept); len(k.spare) > max(n, 0) {
		clear(k.spare[max(n, 0):])
		k.spare = k.spare[:max(n, 0)]
	}
}

// trim gives the memory back when nothing was read since the last trim.
func (k *blocks) trim() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.used {
		for _, b := range k.kept {
			k.dropLocked(b)
		}
		k.spare = nil
	}
	k.used = false
}

// Cursor copies records that lie near each other, in the order of the log, out of blocks
// that all cursors share. It is used by one goroutine. The zero value is of no log.
type Cursor struct {
	k *blocks
	b *block
}

// Cursor returns one that stands nowhere. Who asks for it closes it.
func (l *Log) Cursor() Cursor { return Cursor{k: &l.blocks} }

// ReadAt fills b with the bytes at phys, as Log.ReadAt does.
func (c *Cursor) ReadAt(b []byte, phys int64) error {
	if phys < c.k.log.Min() || phys+int64(len(b)) > c.k.log.Readable() {
		return c.k.log.ReadAt(b, phys) // which says what is wrong
	}
	for len(b) > 0 {
		if c.b == nil || phys < c.b.start || phys >= c.b.start+int64(len(c.b.b)) {
			c.Close()
			next, err := c.k.acquire(phys)
			if err != nil {
				return err
			}
			c.b = next
		}
		n := copy(b, c.b.b[phys-c.b.start:])
		b, phys = b[n:], phys+int64(n)
	}
	return nil
}

// Forget has the bytes around the last read come from the file the next time.
func (c *Cursor) Forget() {
	if c.b != nil {
		c.k.forget(c.b)
	}
}

// Close lets go of what the cursor holds; it may be used again.
func (c *Cursor) Close() {
	if c.b != nil {
		c.k.release(c.b)
		c.b = nil
	}
}

// TrimReads gives the memory back that readers share, when none has read since the call
// before.
func (l *Log) TrimReads() { l.blocks.trim() }
