package txn

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/millrace/millrace/broker/store"
	"github.com/millrace/millrace/broker/writer"
	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/message"
)

// Ref names a half: where its first copy was stored, its unique key, and the transaction
// id that must match as well.
type Ref struct {
	First         int64
	Key           string
	TransactionID string
}

// EndRequest decides one half.
type EndRequest struct {
	Ref
	Commit bool
	// Writer and Term are set when a writer asks.
	Writer string
	Term   uint64
	// Group and QueueOffset are an ordinary producer's: its group, and the half-queue
	// offset that it was told.
	Group       string
	QueueOffset int64
}

// maxWaiting bounds those who wait for one half's resolution to become durable.
const maxWaiting = 64

// End decides a half, once. done is called exactly once, on the caller's goroutine or on
// one of the store; it must not block. The outcome is that of the half, whoever decided
// it, and durable.
func (s *Service) End(req EndRequest, done func(Outcome)) {
	s.mu.Lock()
	h := s.index.halves[req.First]
	if h == nil {
		o, ok := s.index.remembered(req.First, req.Key)
		s.mu.Unlock()
		if ok {
			done(o)
		} else {
			s.lookup(req, done)
		}
		return
	}
	if !h.matches(&req) {
		s.mu.Unlock()
		done(Outcome{Verdict: Gone})
		return
	}
	if h.phase != pending && !seeded.On(seeded.EndTwice) {
		s.awaitLocked(h, done)
		return
	}
	phys := h.phys
	s.mu.Unlock()
	if err := s.mayEnd(h, &req); err != nil {
		done(outcomeOf(err))
		return
	}
	if req.Commit {
		s.commit(h, phys, req.Term, done)
	} else {
		s.rollback(h, req.Term, done)
	}
}

// matches tells whether the request means h: both of its names, and the group of an
// ordinary producer.
func (h *half) matches(req *EndRequest) bool {
	if h.key != req.Key || h.owner() != req.Writer && req.Writer != "" {
		return false
	}
	if req.TransactionID != "" && req.TransactionID != h.key {
		return false
	}
	if h.link != nil {
		return req.TransactionID != ""
	}
	return h.group == req.Group && h.queueFirst == req.QueueOffset
}

// mayEnd refuses early what the gate would refuse, and what it does not look at.
func (s *Service) mayEnd(h *half, req *EndRequest) error {
	if queues := s.deps.Queues; req.Commit && queues != nil {
		if n := queues(h.to.Topic); h.to.ID >= n {
			return fmt.Errorf("%w: topic %s, queue %d: the topic has %d; create it again or roll back", ErrNoQueue, h.to.Topic, h.to.ID, n)
		}
	}
	if h.link != nil {
		if req.Writer == "" && !seeded.On(seeded.FenceMissing) {
			return writer.ErrFenced // whoever asks has no term
		}
		if err := s.writers.CheckTerm(h.link.Writer, req.Term); err != nil {
			return err
		}
	}
	if req.Commit && s.writers.Owner(h.to.Topic) != h.owner() {
		return ErrOwned
	}
	return nil
}

// awaitLocked answers with the outcome of a decided half, now or when it is durable. It
// unlocks.
func (s *Service) awaitLocked(h *half, done func(Outcome)) {
	switch {
	case h.settled:
		o := h.outcome()
		s.mu.Unlock()
		done(o)
	case len(h.waiting) >= maxWaiting:
		s.mu.Unlock()
		done(Outcome{Verdict: Failed, Err: errBusy})
	default:
		h.waiting = append(h.waiting, done)
		s.mu.Unlock()
	}
}

// ending is a decision on its way into the log, and the gate that it passes.
type ending struct {
	s    *Service
	h    *half
	seat *writer.Seat // for the final message of a writer's half
	term uint64
	to   phase
	done func(Outcome)

	began time.Time
	rec   message.Record
	req   store.PutRequest
}

// Admit lets the decision in while the half is pending; for a writer's half the term must
// be current, and a final message must stand behind its queue's last one.
func (e *ending) Admit(queueOffset int64) error {
	e.s.mu.Lock()
	decided := e.h.phase != pending
	e.s.mu.Unlock()
	if decided && !seeded.On(seeded.EndTwice) {
		return errDecided
	}
	if e.seat != nil {
		return e.seat.Admit(queueOffset)
	}
	if e.h.link != nil {
		return e.s.writers.CheckTerm(e.h.link.Writer, e.term)
	}
	return nil
}

// Appended makes the decision final.
func (e *ending) Appended(queueOffset, phys int64) {
	if e.seat != nil {
		e.seat.Appended(queueOffset, phys)
	}
	e.s.mu.Lock()
	if e.h.phase == pending {
		e.s.decideLocked(e.h, e.to, queueOffset, phys)
	}
	e.s.mu.Unlock()
}

// finished is the store's callback.
func (e *ending) finished(res store.PutResult) {
	s, h := e.s, e.h
	switch {
	case res.Err == nil:
		s.settle(h)
		s.metrics.decided(e.to, s.now().Sub(e.began))
		if e.to == committed {
			s.queueOp(h)
		}
		e.done(h.outcome())
	case errors.Is(res.Err, errDecided):
		s.mu.Lock()
		s.awaitLocked(h, e.done)
	default:
		// After a flush that took too long the decision stands in the log but may yet
		// be lost: sweep settles it, and whoever waits is told to ask again.
		if errors.Is(res.Err, store.ErrFlushTimeout) || errors.Is(res.Err, store.ErrFailed) {
			s.release(h, res.Err)
		}
		e.done(outcomeOf(res.Err))
	}
}

// settle says that a half's resolution is durable and tells those who wait.
func (s *Service) settle(h *half) {
	s.mu.Lock()
	waiting := s.index.settle(h, s.applied.Load())
	s.mu.Unlock()
	for _, done := range waiting {
		done(h.outcome())
	}
}

// release tells those who wait for h that its outcome is not known to be durable.
func (s *Service) release(h *half, err error) {
	s.mu.Lock()
	waiting := h.waiting
	h.waiting = nil
	s.mu.Unlock()
	for _, done := range waiting {
		done(outcomeOf(err))
	}
}

// commit appends the final message of a half whose newest copy is at phys.
func (s *Service) commit(h *half, phys int64, term uint64, done func(Outcome)) {
	rec, err := s.read(h, phys)
	if err != nil {
		done(Outcome{Verdict: Failed, Err: err})
		return
	}
	e := &ending{s: s, h: h, term: term, to: committed, done: done, began: s.now()}
	if h.link != nil {
		if e.seat, err = s.writers.Seat(h.to, *h.link, term); err != nil {
			done(outcomeOf(err))
			return
		}
	}
	finalRecord(&e.rec, h, &rec, term)
	e.req = store.PutRequest{Record: &e.rec, Gate: e, MustBeDurable: h.link != nil, Done: e.finished}
	s.log.Put(&e.req)
}

// read returns a half's newest copy. Retention may carry the half forward meanwhile.
func (s *Service) read(h *half, phys int64) (message.Record, error) {
	for {
		rec, _, err := s.log.ReadRecord(phys)
		if err == nil {
			return rec, nil
		}
		s.mu.Lock()
		now := h.phys
		s.mu.Unlock()
		if now == phys {
			return message.Record{}, err
		}
		phys = now
	}
}

// rollback appends the operation record that says so.
func (s *Service) rollback(h *half, term uint64, done func(Outcome)) {
	e := &ending{s: s, h: h, term: term, to: rolledBack, done: done, began: s.now()}
	s.mu.Lock()
	queue := h.queue
	s.mu.Unlock()
	e.rec = *opRecord([]int64{queue})
	e.rec.Properties = message.AppendProperty(e.rec.Properties, PropertyHalf, strconv.FormatInt(h.first, 10))
	e.rec.Properties = message.AppendProperty(e.rec.Properties, propertyEnd, endRollback)
	e.req = store.PutRequest{Record: &e.rec, Gate: e, MustBeDurable: h.link != nil, Done: e.finished}
	s.log.Put(&e.req)
}
