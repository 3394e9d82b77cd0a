package writer

import (
	"fmt"
	"strings"

	"github.com/millrace/millrace/broker/store"
	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/message"
)

// Seat is a message's claim to the place behind its queue's last message. It is a
// store.Gate: the claim is judged inside the append.
type Seat struct {
	r    *Registry
	q    *queue
	link Link
	term uint64
}

// Gate is the gate that a send has to pass; nil for a queue that nobody owns.
func (r *Registry) Gate(rec *message.Record) (store.Gate, error) {
	owner := r.topics.Writer(rec.Topic)
	if owner == "" {
		return nil, nil
	}
	l, err := r.link(owner, rec)
	if err != nil {
		return nil, err
	}
	return r.Seat(store.QueueID{Topic: rec.Topic, ID: rec.QueueID}, l, l.Term)
}

// link reads the link of a message that wants to enter a queue of owner.
func (r *Registry) link(owner string, rec *message.Record) (Link, error) {
	l, err := ParseLink(rec.Properties)
	if err != nil {
		return Link{}, fmt.Errorf("topic %s belongs to writer %s: %w", rec.Topic, owner, err)
	}
	if l.Writer != owner {
		return Link{}, fmt.Errorf("topic %s belongs to writer %s, the message is of %.64q: %w", rec.Topic, owner, l.Writer, ErrIllegal)
	}
	return l, nil
}

// Seat claims a place for the message with this link, requested under term. It refuses
// early what the gate would refuse for its term.
func (r *Registry) Seat(id store.QueueID, l Link, term uint64) (*Seat, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.writers[l.Writer]
	if err := w.checkTermLocked(term); err != nil {
		return nil, err
	}
	if w == nil {
		w = r.writerLocked(l.Writer) // only where the fence is missing
	}
	q := w.queues[id]
	if q == nil {
		q = w.queueLocked(store.QueueID{Topic: clone(id.Topic), ID: id.ID})
	}
	return &Seat{r: r, q: q, link: l, term: term}, nil
}

// checkTermLocked is the fence: only the current term is let through.
func (w *state) checkTermLocked(term uint64) error {
	if seeded.On(seeded.FenceMissing) {
		return nil
	}
	if w == nil || w.term != term || w.opening > term {
		return ErrFenced
	}
	return nil
}

// Admit is the link rule: the term is current and the message names the queue's last one.
func (s *Seat) Admit(int64) error {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	q := s.q
	if err := q.owner.checkTermLocked(s.term); err != nil {
		return err
	}
	if q.forgotten {
		return fmt.Errorf("topic %s was deleted: %w", q.id.Topic, ErrIllegal)
	}
	if seeded.On(seeded.LinkNotChecked) {
		return nil
	}
	switch {
	case s.link.Hi <= q.hi:
		return &LinkError{Duplicate: true, Last: q.hi}
	case s.link.Prev != q.hi:
		return &LinkError{Last: q.hi}
	}
	return nil
}

// Appended makes the message its queue's last one.
func (s *Seat) Appended(queueOffset, physOffset int64) {
	s.r.mu.Lock()
	s.q.setLocked(&s.link, queueOffset, physOffset)
	s.r.mu.Unlock()
}

// Last is the mr_hi of the queue's last message.
func (s *Seat) Last() uint64 {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	return s.q.hi
}

// HalfSeat admits a half message: its term is current and there is room for it.
type HalfSeat struct {
	r     *Registry
	Link  Link
	bytes int64
}

// Half claims room for a half message bound for an owned queue. It returns nil for a
// message bound for any other, and refuses early what the gate would refuse for its term.
func (r *Registry) Half(rec *message.Record, bytes int64) (*HalfSeat, error) {
	owner := r.topics.Writer(rec.Topic)
	if owner == "" {
		return nil, nil
	}
	l, err := r.link(owner, rec)
	if err != nil {
		return nil, err
	}
	if err := r.CheckTerm(owner, l.Term); err != nil {
		return nil, err
	}
	return &HalfSeat{r: r, Link: l, bytes: bytes}, nil
}

// Admit checks term and room.
func (s *HalfSeat) Admit() error {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	w := s.r.writers[s.Link.Writer]
	if err := w.checkTermLocked(s.Link.Term); err != nil {
		return err
	}
	if w != nil && w.pending+s.bytes > s.r.cfg.MaxPendingBytes {
		return ErrPendingFull
	}
	return nil
}

// AddPending counts a half that became pending, or (with a negative number) one that was
// resolved.
func (r *Registry) AddPending(name string, bytes int64) {
	r.mu.Lock()
	r.writerLocked(name).pending += bytes
	r.mu.Unlock()
}

// CheckTerm says ErrFenced for a term that is not the writer's current one. It saves work;
// the gates decide.
func (r *Registry) CheckTerm(name string, term uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.writers[name].checkTermLocked(term)
}

func clone(s string) string { return strings.Clone(s) }
