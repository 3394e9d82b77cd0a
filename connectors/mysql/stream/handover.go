package stream

import (
	"net"
	"sync"
)

// handover passes framed events from the receiver to the reader's owner. Whatever was
// framed is on its way to the owner at once, though the receiver may be waiting for the
// server's next packet; while the owner is busy, events gather up to batchBytes, and then
// the receiver waits.
type handover struct {
	out  chan Batch
	free chan []Event
	done chan struct{}

	more chan struct{} // holds one: something gathers
	room chan struct{} // holds one: what gathered was taken

	mu     sync.Mutex
	gather Batch
}

func newHandover() *handover {
	return &handover{
		out: make(chan Batch), free: make(chan []Event, 3), done: make(chan struct{}),
		more: make(chan struct{}, 1), room: make(chan struct{}, 1),
	}
}

// run hands batches over until the one with an error was taken, or until done is closed.
func (h *handover) run() {
	for {
		select {
		case <-h.more:
		case <-h.done:
			return
		}
		b := h.take()
		select {
		case h.out <- b:
		case <-h.done:
			return
		}
		if b.Err != nil {
			return
		}
	}
}

func (h *handover) take() Batch {
	var next Batch
	select {
	case s := <-h.free:
		next.Events = s
	default:
		next.Events = make([]Event, 0, 64)
	}
	h.mu.Lock()
	b := h.gather
	h.gather = next
	h.mu.Unlock()
	wake(h.room)
	return b
}

// put adds an event; it waits while too much is gathered.
func (h *handover) put(e Event) error {
	for {
		h.mu.Lock()
		if h.gather.Bytes < batchBytes {
			h.gather.Events = append(h.gather.Events, e)
			h.gather.Bytes += len(e.Body) + headerSize
			first := len(h.gather.Events) == 1
			h.mu.Unlock()
			if first {
				wake(h.more)
			}
			return nil
		}
		h.mu.Unlock()
		select {
		case <-h.room:
		case <-h.done:
			return net.ErrClosed
		}
	}
}

// end makes what gathers the last batch.
func (h *handover) end(err error) {
	h.mu.Lock()
	h.gather.Err = err
	h.mu.Unlock()
	wake(h.more)
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
