package txn

import (
	"errors"
	"fmt"

	"github.com/millrace/millrace/broker/store"
)

var errInDoubt = errors.New("resolutions of half messages are not durable yet")

// walkChunk is how many halves are looked at with the mutex held.
const walkChunk = 1000

// beforeDelete carries forward what the log below upTo still says of pending halves and of
// writers. It waits until the copies are durable.
func (s *Service) beforeDelete(upTo int64) error {
	if err := s.writers.CarryForward(upTo); err != nil {
		return err
	}
	var below []*half
	s.walk(func(h *half) {
		if h.phys < upTo {
			below = append(below, h)
		}
	})
	if err := s.carry(below); err != nil {
		return err
	}
	// Last, since a half may be decided while others are carried: what is pending now is
	// above upTo, so that no decision that comes later is of a half below it.
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.index.inDoubt(upTo)) > 0 {
		return errInDoubt
	}
	return nil
}

// walk looks at every pending half, oldest first, with the mutex held for a moment at a
// time.
func (s *Service) walk(look func(*half)) {
	s.mu.Lock()
	cursor := s.index.startWalk()
	for s.index.walk(cursor, walkChunk, look) {
		s.mu.Unlock()
		s.mu.Lock()
	}
	s.mu.Unlock()
}

// carrying is a half's copy on its way to the log's end, and the gate that it passes.
type carrying struct {
	s    *Service
	h    *half
	req  store.PutRequest
	size int32
}

// Admit lets the copy in while the half is pending: one that is decided needs none.
func (c *carrying) Admit(int64) error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.h.phase != pending {
		return errDecided
	}
	return nil
}

// Appended makes the copy the half's newest.
func (c *carrying) Appended(queueOffset, phys int64) {
	c.s.mu.Lock()
	c.s.moveLocked(c.h, phys, queueOffset, c.size)
	c.s.mu.Unlock()
}

// carry puts halves again, a bounded number at a time, and waits for them.
func (s *Service) carry(halves []*half) error {
	const inFlight = 64
	for len(halves) > 0 {
		n := min(len(halves), inFlight)
		results := make(chan error, n)
		sent := 0
		var failed error
		for _, h := range halves[:n] {
			if err := s.carryOne(h, results); err != nil {
				failed = err
				break
			}
			sent++
		}
		for range sent {
			if err := <-results; err != nil && !errors.Is(err, errDecided) {
				failed = err
			}
		}
		if failed != nil {
			return fmt.Errorf("carry half messages forward: %w", failed)
		}
		halves = halves[n:]
	}
	return nil
}

func (s *Service) carryOne(h *half, results chan<- error) error {
	s.mu.Lock()
	phys, decided := h.phys, h.phase != pending
	s.mu.Unlock()
	if decided {
		results <- nil
		return nil
	}
	rec, _, err := s.log.ReadRecord(phys)
	if err != nil {
		return err
	}
	c := &carrying{s: s, h: h}
	copied := carriedRecord(h, &rec)
	n, err := copied.EncodedLen()
	if err != nil {
		return err
	}
	c.size = int32(n)
	c.req = store.PutRequest{Record: copied, Gate: c, MustBeDurable: true, WhenFull: true, Done: func(r store.PutResult) { results <- r.Err }}
	s.log.Put(&c.req)
	return nil
}

// sweep settles halves whose resolution became durable after their flush had taken too
// long to be waited for.
func (s *Service) sweep() {
	flushed := s.log.FlushedPhysical()
	s.mu.Lock()
	list := s.index.settledBelow(flushed)
	s.mu.Unlock()
	for _, h := range list {
		s.settle(h)
	}
}
