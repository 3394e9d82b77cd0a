package client

import (
	"context"
	"fmt"
	"sync"
)

// inflight bounds the messages and bytes that wait for an answer, and lets Close wait
// for them. A message larger than the whole limit is let through alone.
type inflight struct {
	maxMessages int
	maxBytes    int64

	mu       sync.Mutex
	messages int
	bytes    int64
	waiters  []chan struct{} // closed when there may be room; oldest first
	idle     chan struct{}   // closed when nothing is in flight, nil unless waited for
	closed   bool
}

func (f *inflight) fitsLocked(bytes int64) bool {
	return f.messages == 0 || f.messages < f.maxMessages && f.bytes+bytes <= f.maxBytes
}

// acquire waits for room until ctx ends. Whoever came first is served first.
func (f *inflight) acquire(ctx context.Context, bytes int64) error {
	f.mu.Lock()
	for first := true; ; first = false {
		if f.closed {
			f.mu.Unlock()
			return ErrClosed
		}
		if f.fitsLocked(bytes) && (!first || len(f.waiters) == 0) {
			f.messages++
			f.bytes += bytes
			if len(f.waiters) > 0 && f.fitsLocked(0) {
				f.wakeLocked()
			}
			f.mu.Unlock()
			return nil
		}
		w := make(chan struct{})
		if first {
			f.waiters = append(f.waiters, w)
		} else { // it was woken and there is still no room: it keeps its turn
			f.waiters = append([]chan struct{}{w}, f.waiters...)
		}
		f.mu.Unlock()
		select {
		case <-w:
		case <-ctx.Done():
			f.giveUp(w)
			return fmt.Errorf("%w: %w: %w", ErrNotSent, ErrTooMuchInFlight, ctx.Err())
		}
		f.mu.Lock()
	}
}

// giveUp takes a waiter out, and passes on a wake-up that it may have got.
func (f *inflight) giveUp(w chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, other := range f.waiters {
		if other == w {
			f.waiters = append(f.waiters[:i], f.waiters[i+1:]...)
			return
		}
	}
	f.wakeLocked()
}

func (f *inflight) wakeLocked() {
	if len(f.waiters) > 0 {
		close(f.waiters[0])
		f.waiters = f.waiters[1:]
	}
}

func (f *inflight) release(bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.messages--
	f.bytes -= bytes
	f.wakeLocked()
	if f.messages == 0 && f.idle != nil {
		close(f.idle)
		f.idle = nil
	}
}

// drain refuses newcomers and waits until nothing is in flight or ctx ends.
func (f *inflight) drain(ctx context.Context) error {
	f.mu.Lock()
	f.closed = true
	for len(f.waiters) > 0 {
		f.wakeLocked()
	}
	if f.messages == 0 {
		f.mu.Unlock()
		return nil
	}
	if f.idle == nil {
		f.idle = make(chan struct{})
	}
	idle := f.idle
	f.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("sends were still in flight at close: %w", ctx.Err())
	}
}
