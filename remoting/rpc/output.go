package rpc

import (
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/remoting"
)

const (
	// Bodies up to this size are copied behind their header; larger ones are
	// written from where they lie.
	copyLimit = 8 << 10
	// Buffers above this size are not kept for the next burst.
	keepLimit = 256 << 10
	// A write has at most this many bytes, so that a slow peer that does
	// read is not mistaken for one that does not.
	writeLimit = 1 << 20
	// Inline answers are held back for the end of the burst up to this.
	holdLimit = 128 << 10
	// Unsent output beyond this many times the limit cuts the peer off: it
	// asked for more than it reads.
	overrun = 4
)

// errCrowded says that the server's connections together have too much to write. It is an
// ErrBusy.
var errCrowded = fmt.Errorf("%w for peers that do not read; try again later", ErrBusy)

// output is what a connection still has to write, and the account of what it
// owes. One goroutine, run, writes.
type output struct {
	nc     net.Conn
	limits ConnLimits
	all    *unsent       // of the server; nil: no bound over connections
	wake   chan struct{} // capacity 1

	mu      sync.Mutex
	drained sync.Cond // on mu: something was written, settled, or closed
	full    [][]byte  // segments in front of tail
	tail    []byte
	spare   []byte   // the tail before, to be used again
	lent    []func() // gives back bodies in full that were lent
	signal  bool     // run has been woken and has not taken the segments yet
	unsent  int      // bytes in full, tail, and the write under way
	owed    int      // requests without an answer
	owedLen int      // their bytes
	wrote   int64    // count of writes; tells an idle connection from a busy one
	err     error    // set once: nothing is queued any more
	parked  bool     // the reader waits on drained
}

// unsent is what all connections of a server have to write. Over the limit no request is
// taken of a connection that has something to write; over twice the limit large answers are
// refused, until peers have read or been cut off.
type unsent struct {
	limit   int64
	bytes   atomic.Int64
	refused atomic.Uint64 // answers
}

func (u *unsent) add(n int) {
	if u != nil {
		u.bytes.Add(int64(n))
	}
}

func (u *unsent) over() bool { return u != nil && u.bytes.Load() > u.limit }

func (u *unsent) refuses(n int) bool { return u != nil && u.bytes.Load()+int64(n) > 2*u.limit }

func newOutput(nc net.Conn, limits ConnLimits, all *unsent) *output {
	o := &output{nc: nc, limits: limits, all: all, wake: make(chan struct{}, 1)}
	o.drained.L = &o.mu
	return o
}

// put queues c. settled bytes of a request are taken off the account with it
// (none if negative). With hold the writer is not woken: release will.
func (o *output) put(c *remoting.Command, settled int, hold bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return o.err
	}
	if o.unsent > overrun*o.limits.MaxPendingBytes {
		return fmt.Errorf("%w: %d bytes", ErrBusy, o.unsent)
	}
	if len(c.Body) > copyLimit && o.all.refuses(len(c.Body)) {
		o.all.refused.Add(1)
		return errCrowded
	}
	before := len(o.tail)
	tail, err := remoting.AppendFrameHeader(o.tail, c)
	if err != nil {
		return err
	}
	n := len(tail) - before + len(c.Body)
	o.unsent += n
	o.all.add(n)
	if len(c.Body) <= copyLimit {
		o.tail = append(tail, c.Body...)
		c.Done()
	} else {
		o.full = append(o.full, tail, c.Body)
		o.tail, o.spare = o.spare[:0], nil
		if c.Release != nil {
			o.lent = append(o.lent, c.Release)
			c.Release = nil
		}
	}
	if settled >= 0 {
		o.settleLocked(settled)
	}
	if !hold || o.unsent > holdLimit {
		o.wakeLocked()
	}
	return nil
}

// release wakes the writer for answers that were held.
func (o *output) release() {
	o.mu.Lock()
	if o.unsent > 0 {
		o.wakeLocked()
	}
	o.mu.Unlock()
}

func (o *output) wakeLocked() {
	if o.signal || len(o.tail) == 0 && len(o.full) == 0 {
		return
	}
	o.signal = true
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// owe enters a request of n bytes and waits while too much is owed or unsent.
// It returns false when the connection is being closed.
func (o *output) owe(n int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.err == nil && (o.owed >= o.limits.MaxPending || o.owedLen > o.limits.MaxPendingBytes || o.unsent > o.limits.MaxPendingBytes ||
		o.unsent > 0 && o.all.over()) {
		o.wakeLocked()
		o.parked = true
		o.drained.Wait()
		o.parked = false
	}
	o.owed++
	o.owedLen += n
	return o.err == nil
}

// settle takes a request off the account that gets no answer.
func (o *output) settle(n int) {
	o.mu.Lock()
	o.settleLocked(n)
	o.mu.Unlock()
}

func (o *output) settleLocked(n int) {
	o.owed--
	o.owedLen -= n
	if o.parked || o.owed == 0 {
		o.drained.Broadcast()
	}
}

// settledAndSent waits until nothing is owed and nothing is unsent, or the
// output is closed.
func (o *output) settledAndSent() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.err == nil && (o.owed > 0 || o.unsent > 0) {
		o.wakeLocked()
		o.drained.Wait()
	}
}

// close makes every later put fail with err.
func (o *output) close(err error) {
	o.mu.Lock()
	if o.err == nil {
		o.err = err
	}
	o.drained.Broadcast()
	o.mu.Unlock()
}

// abandon takes what will never be written off the server's account. It is called after
// close, when run has returned.
func (o *output) abandon() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all.add(-o.unsent)
	o.unsent = 0
}

func (o *output) writes() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.wrote
}

// run writes until stop is closed or a write fails.
func (o *output) run(stop <-chan struct{}) error {
	for {
		select {
		case <-stop:
			return nil
		case <-o.wake:
		}
		// Whoever woke us often has more to say: let it.
		runtime.Gosched()
		segments, tail, lent, n := o.takeSegments()
		if err := o.write(segments, tail); err != nil {
			return err
		}
		for _, release := range lent {
			release()
		}
		o.written(tail, n)
	}
}

func (o *output) takeSegments() (full [][]byte, tail []byte, lent []func(), n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.signal = false
	full, tail, lent = o.full, o.tail, o.lent
	o.full, o.lent = nil, nil
	o.tail, o.spare = o.spare[:0], nil
	for _, s := range full {
		n += len(s)
	}
	return full, tail, lent, n + len(tail)
}

func (o *output) written(tail []byte, n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.unsent -= n
	o.all.add(-n)
	o.wrote++
	if cap(tail) <= keepLimit && o.spare == nil {
		o.spare = tail[:0]
	}
	if o.parked || o.unsent == 0 {
		o.drained.Broadcast()
	}
}

func (o *output) write(full [][]byte, tail []byte) error {
	if len(full) == 0 {
		return o.writeAll(tail)
	}
	var group net.Buffers
	size := 0
	for _, s := range append(full, tail) {
		for len(s) > 0 {
			part := s[:min(len(s), writeLimit-size)]
			group, size, s = append(group, part), size+len(part), s[len(part):]
			if size == writeLimit {
				if err := o.writeGroup(group); err != nil {
					return err
				}
				group, size = nil, 0
			}
		}
	}
	return o.writeGroup(group)
}

func (o *output) writeGroup(group net.Buffers) error {
	if len(group) == 0 {
		return nil
	}
	if err := o.nc.SetWriteDeadline(time.Now().Add(o.limits.WriteTimeout)); err != nil {
		return err
	}
	_, err := group.WriteTo(o.nc)
	return err
}

func (o *output) writeAll(b []byte) error {
	for len(b) > 0 {
		if err := o.nc.SetWriteDeadline(time.Now().Add(o.limits.WriteTimeout)); err != nil {
			return err
		}
		n, err := o.nc.Write(b[:min(len(b), writeLimit)])
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
