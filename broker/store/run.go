package store

import (
	"github.com/millrace/millrace/broker/store/consumequeue"
	"github.com/millrace/millrace/message"
)

const (
	// readGap is how many foreign bytes between two messages are read along rather than
	// asking the system twice.
	readGap = 12 << 10
	// readRun is how much is read at once when that brings foreign bytes along.
	readRun = 256 << 10
	// readShared is from where on a run with foreign bytes comes out of blocks that the
	// readers of other queues find as well; less is not worth a block.
	readShared = 32 << 10
)

// runReader gathers messages that lie close to each other in the log and reads them at
// once; those without anything between them straight into the result.
type runReader struct {
	s   *Store
	q   *queue
	o   *GetOptions
	res *GetResult

	start, end int64 // of the run
	units      []consumequeue.Unit
	offsets    []int64
	m          *readMemory
}

// readMemory is what one Get at a time works in.
type readMemory struct {
	units   [unitsPerRead]consumequeue.Unit // as they were read
	entries [unitsPerRead * consumequeue.UnitSize]byte
	run     [unitsPerRead]consumequeue.Unit
	offsets [unitsPerRead]int64
	scratch []byte
}

// readMemory returns memory that goes back into s.reads.
func (s *Store) readMemory() *readMemory {
	if m, ok := s.reads.Get().(*readMemory); ok {
		return m
	}
	return new(readMemory)
}

// add puts a message into the run, reading the run before it when it does not fit in.
// left is how many messages may come, itself included.
func (r *runReader) add(offset int64, u consumequeue.Unit, left int) error {
	if len(r.units) > 0 {
		gap := u.Phys - r.end
		if gap < 0 || gap > readGap || gap > 0 && u.Phys+int64(u.Size)-r.start > readRun || len(r.units) == unitsPerRead {
			if err := r.flush(); err != nil {
				return err
			}
		}
	}
	if len(r.units) == 0 {
		r.units, r.offsets, r.start = r.m.run[:0], r.m.offsets[:0], u.Phys
		if r.res.Buf == nil {
			r.res.Buf = r.memory(r.guess(u, left))
		}
	}
	r.units, r.offsets = append(r.units, u), append(r.offsets, offset)
	r.end = u.Phys + int64(u.Size)
	return nil
}

// guess is how much memory the result needs, if messages are as large as the first.
func (r *runReader) guess(u consumequeue.Unit, left int) int {
	n := int(u.Size) * left
	if r.o.MaxBytes > 0 {
		n = min(n, max(r.o.MaxBytes, int(u.Size)))
	}
	return min(n, max(1<<20, int(u.Size)))
}

// memory is n bytes of room, of the caller's if he has some.
func (r *runReader) memory(n int) []byte {
	if r.o.Alloc != nil {
		if b := r.o.Alloc(n); cap(b) >= n {
			return b[:0]
		}
	}
	return make([]byte, 0, n)
}

// finish reads the last run; everything below next has been looked at.
func (r *runReader) finish(next int64) error {
	if err := r.flush(); err != nil {
		return err
	}
	r.res.NextOffset = next
	return nil
}

// flush reads the run and takes its messages into the result.
func (r *runReader) flush() error {
	if len(r.units) == 0 {
		return nil
	}
	units, offsets := r.units, r.offsets
	r.units = nil
	size := int64(0)
	for _, u := range units {
		size += int64(u.Size)
	}
	switch span := r.end - r.start; {
	case size == span:
		return r.flushWhole(units, offsets, int(size))
	case span >= readShared:
		return r.flushShared(units, offsets, int(size))
	default:
		return r.flushMixed(units, offsets, int(span), int(size))
	}
}

// flushWhole reads a run without foreign bytes straight into the result.
func (r *runReader) flushWhole(units []consumequeue.Unit, offsets []int64, size int) error {
	b := r.room(size)
	if err := r.s.clog.ReadAt(b, r.start); err != nil {
		return err
	}
	for i, u := range units {
		if err := r.take(b[:u.Size:u.Size], offsets[i], u); err != nil {
			return err
		}
		b = b[u.Size:]
	}
	return nil
}

// flushMixed reads a short run along with the foreign bytes in it.
func (r *runReader) flushMixed(units []consumequeue.Unit, offsets []int64, span, size int) error {
	if cap(r.m.scratch) < span {
		r.m.scratch = make([]byte, max(span, readShared))
	}
	b := r.m.scratch[:span]
	if err := r.s.clog.ReadAt(b, r.start); err != nil {
		return err
	}
	dst := r.room(size)
	for i, u := range units {
		n := copy(dst[:u.Size], b[u.Phys-r.start:])
		if err := r.take(dst[:n:n], offsets[i], u); err != nil {
			return err
		}
		dst = dst[n:]
	}
	return nil
}

// flushShared copies a long run's messages out of what the readers of its neighbours read.
func (r *runReader) flushShared(units []consumequeue.Unit, offsets []int64, size int) error {
	c := r.s.clog.Cursor()
	defer c.Close()
	dst := r.room(size)
	for i, u := range units {
		b := dst[:u.Size:u.Size]
		if err := c.ReadAt(b, u.Phys); err != nil {
			return err
		}
		if err := r.take(b, offsets[i], u); err != nil {
			c.Forget()
			return err
		}
		dst = dst[u.Size:]
	}
	return nil
}

// room returns n bytes behind the result for take to count in.
func (r *runReader) room(n int) []byte {
	r.grow(n)
	at := len(r.res.Buf)
	return r.res.Buf[at : at+n]
}

func (r *runReader) grow(n int) {
	if need := len(r.res.Buf) + n; need > cap(r.res.Buf) {
		buf := make([]byte, len(r.res.Buf), max(need, 2*cap(r.res.Buf)))
		copy(buf, r.res.Buf)
		r.res.Buf = buf
	}
}

// take verifies one message and counts it in. b is what comes next behind the result, in
// its memory; with a filter, which may leave it out, it is the run's only message.
func (r *runReader) take(b []byte, offset int64, u consumequeue.Unit) error {
	if err := r.s.verify(r.q, b, offset, u); err != nil {
		return err
	}
	if f := r.o.MessageFilter; f != nil {
		rec, _, err := message.ParseRecord(b)
		if err != nil {
			return r.s.logDamage(u.Phys, err)
		}
		if !f(&rec) {
			return nil
		}
	}
	r.res.Buf = r.res.Buf[:len(r.res.Buf)+len(b)]
	r.res.Count++
	r.res.Status, r.res.NextOffset, r.res.LastPhysical = Found, offset+1, u.Phys
	return nil
}
