package client

import (
	"context"
	"sort"
	"sync"
)

// tracker keeps the account of one queue's messages that were pulled and are not yet
// handled: how much there is of them, and up to where the queue is done without a hole.
type tracker struct {
	maxMessages int
	maxBytes    int64
	room        chan struct{} // capacity 1: something was handled

	mu      sync.Mutex
	pending []tracked // in offset order; the first one is not done
	bytes   int64
	next    int64 // where the next pull goes on
}

type tracked struct {
	offset int64
	size   int64
	done   bool
}

func newTracker(start int64, maxMessages int, maxBytes int64) *tracker {
	return &tracker{maxMessages: maxMessages, maxBytes: maxBytes, next: start, room: make(chan struct{}, 1)}
}

// waitRoom waits until there is room for another pull.
func (t *tracker) waitRoom(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		t.mu.Lock()
		ok := len(t.pending) < t.maxMessages && t.bytes < t.maxBytes
		t.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-t.room:
		case <-ctx.Done():
		}
	}
}

// add takes what a pull brought, in offset order. The queue has nothing else that is
// wanted before next.
func (t *tracker) add(msgs []ReceivedMessage, next int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range msgs {
		size := int64(msgs[i].TotalSize)
		t.pending = append(t.pending, tracked{offset: msgs[i].QueueOffset, size: size})
		t.bytes += size
	}
	t.next = next
}

// done marks messages as handled, in any order.
func (t *tracker) done(msgs []*ReceivedMessage) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range msgs {
		i := sort.Search(len(t.pending), func(i int) bool { return t.pending[i].offset >= m.QueueOffset })
		if i < len(t.pending) && t.pending[i].offset == m.QueueOffset {
			t.pending[i].done = true
		}
	}
	k := 0
	for ; k < len(t.pending) && t.pending[k].done; k++ {
		t.bytes -= t.pending[k].size
	}
	t.pending = t.pending[k:]
	select {
	case t.room <- struct{}{}:
	default:
	}
}

// position is the offset up to which everything is handled.
func (t *tracker) position() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.pending) > 0 {
		return t.pending[0].offset
	}
	return t.next
}
