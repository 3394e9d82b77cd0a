package txn

import (
	"fmt"

	"github.com/millrace/millrace/broker/store"
	"github.com/millrace/millrace/broker/writer"
	"github.com/millrace/millrace/message"
)

// putting is a half on its way into the log, and the gate that it passes.
type putting struct {
	s    *Service
	seat *writer.HalfSeat // nil for an ordinary producer's
	h    *half
	rec  *message.Record
	req  store.PutRequest
}

// PutHalf stores rec, whose topic and queue are those it is bound for, as a half. done is
// called exactly once, as store.PutRequest.Done is; an error that comes back was not
// handed to done. ch is where the request came from; it may be nil.
//
// A half for an owned queue is refused with writer.ErrFenced, ErrPendingFull or
// ErrIllegal, an ordinary one with ErrTooManyHalves.
func (s *Service) PutHalf(rec *message.Record, ch Channel, done func(store.PutResult)) error {
	half, err := halfRecord(rec)
	if err != nil {
		return err
	}
	size, err := half.EncodedLen()
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrMessageTooLarge, err)
	}
	p := &putting{s: s, rec: half}
	if p.seat, err = s.writers.Half(rec, int64(size)); err != nil {
		return err
	}
	if p.h, err = parseHalf(half, -1, int32(size), s.writers.Owner); err != nil {
		return err
	}
	p.h.stored = s.now().UnixMilli()
	if p.seat != nil {
		if p.h.key == "" {
			return fmt.Errorf("a half message for an owned queue needs a %s: %w", message.PropertyUniqueKey, writer.ErrIllegal)
		}
		if ch != nil {
			s.Holds(p.seat.Link.Writer, p.seat.Link.Term, ch)
		}
	}
	p.req = store.PutRequest{Record: half, Gate: p, MustBeDurable: p.seat != nil, Done: done}
	s.log.Put(&p.req)
	return nil
}

// Admit checks term and room.
func (p *putting) Admit(int64) error {
	if p.seat != nil {
		return p.seat.Admit()
	}
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if p.s.index.ordinary >= p.s.cfg.MaxHalves {
		return ErrTooManyHalves
	}
	return nil
}

// Appended makes the half pending.
func (p *putting) Appended(queueOffset, phys int64) {
	h := p.h
	h.first, h.phys, h.queueFirst, h.queue = phys, phys, queueOffset, queueOffset
	p.s.mu.Lock()
	p.s.addLocked(h)
	p.s.mu.Unlock()
}

func (s *Service) addLocked(h *half) {
	s.index.add(h)
	if w := h.owner(); w != "" {
		s.writers.AddPending(w, h.bytes)
	}
}

func (s *Service) decideLocked(h *half, p phase, offset, phys int64) {
	s.index.decide(h, p, offset, phys)
	if w := h.owner(); w != "" {
		s.writers.AddPending(w, -h.bytes)
	}
}
