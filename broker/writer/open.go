package writer

import (
	"errors"
	"fmt"

	"github.com/millrace/millrace/broker/store"
	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/message"
)

// Opening asks for a term.
type Opening struct {
	Writer string
	Term   uint64
	Opener string // a random id of this attempt
}

// QueueState is what an opening is told of one queue.
type QueueState struct {
	Topic   string
	QueueID int32
	Hi      uint64 // mr_hi of the last message, 0 = there was none
	To      string // its mr_to
	Offset  int64  // its queue offset, -1 = there was none
	Max     int64  // queue offset of the next message
}

// State is what is true at an opening's place in the log.
type State struct {
	Term   uint64
	Queues []QueueState
	// BaseTopic, BaseOffset: the newest message with property mr_base; "" and -1 = none.
	BaseTopic  string
	BaseOffset int64
}

// maxRecordTries bounds how often a record is written anew because a queue got its first
// message between its making and its append.
const maxRecordTries = 1000

// opening is one try to append the record of an opening, or of the same term again.
type opening struct {
	r       *Registry
	w       *state
	o       Opening
	members uint64
	again   bool // carries a record forward: nothing changes but its place
	collect func()

	req   store.PutRequest
	rec   Record
	state State
	done  func(State, error)
	tries int
}

// Open closes every lower term of a writer and answers with what is true from then on.
// done is called exactly once, when the record of the opening is durable or refused, on a
// goroutine of the store or on the caller's; it must not block. collect is called inside
// the append, at the opening's place in the log, and must be quick.
//
// The same opener asking again succeeds again. A lower term, or the same one of another
// opener, is refused with *StaleError.
func (r *Registry) Open(o Opening, collect func(), done func(State, error)) {
	if err := o.check(); err != nil {
		done(State{}, err)
		return
	}
	r.mu.Lock()
	if r.writers[o.Writer] == nil && len(r.writers) >= r.cfg.MaxWriters {
		r.mu.Unlock()
		done(State{}, fmt.Errorf("writer %s: %w", o.Writer, ErrTooMany))
		return
	}
	w := r.writerLocked(o.Writer)
	if err := w.staleLocked(o); err != nil {
		r.mu.Unlock()
		done(State{}, err)
		return
	}
	w.opening, w.openingBy = o.Term, o.Opener
	r.mu.Unlock()
	op := &opening{r: r, w: w, o: o, collect: collect, done: done}
	op.put()
}

func (o *Opening) check() error {
	switch {
	case o.Term == 0:
		return fmt.Errorf("term 0: %w: terms start at 1", ErrIllegal)
	case o.Opener == "" || len(o.Opener) > 256:
		return fmt.Errorf("an opener's id of %d bytes: %w", len(o.Opener), ErrIllegal)
	}
	if err := message.CheckTopic(o.Writer); err != nil {
		return fmt.Errorf("writer's name: %w: %w", err, ErrIllegal)
	}
	return nil
}

// staleLocked refuses an opening that does not rise above what is known or on its way.
func (w *state) staleLocked(o Opening) error {
	known, by := w.term, w.opener
	if w.opening > known {
		known, by = w.opening, w.openingBy
	}
	if o.Term > known || o.Term == known && o.Opener == by {
		return nil
	}
	return &StaleError{Known: known}
}

// put makes the record of this moment and appends it.
func (op *opening) put() {
	r := op.r
	owned := r.topics.Owned(op.o.Writer)
	since := r.log.FlushedPhysical() // what is flushed has passed its gate
	r.mu.Lock()
	for _, t := range owned {
		for i := range t.Queues {
			op.w.queueLocked(store.QueueID{Topic: t.Topic, ID: i})
		}
	}
	op.members = op.w.members
	op.rec = op.w.recordLocked()
	op.rec.Since = since
	if !op.again {
		op.rec.Term, op.rec.Opener = decimal(op.o.Term), op.o.Opener
	}
	r.mu.Unlock()
	op.req = store.PutRequest{Record: op.rec.message(), Gate: op, MustBeDurable: !seeded.On(seeded.OpenNotDurable),
		WhenFull: op.again, Done: op.finished}
	op.tries++
	r.log.Put(&op.req)
}

// Admit judges the opening at its place in the log.
func (op *opening) Admit(int64) error {
	op.r.mu.Lock()
	defer op.r.mu.Unlock()
	w := op.w
	if op.again {
		if w.term != op.o.Term || w.opener != op.o.Opener || w.members != op.members {
			return errMoved
		}
		return nil
	}
	if err := w.staleLocked(op.o); err != nil {
		return err
	}
	if w.members != op.members {
		return errMoved
	}
	return nil
}

// Appended closes the lower terms and takes the state that the opener is told.
func (op *opening) Appended(_, phys int64) {
	op.r.mu.Lock()
	w := op.w
	if !op.again {
		w.term, w.opener = op.o.Term, op.o.Opener
		if w.opening <= w.term {
			w.opening, w.openingBy = 0, ""
		}
	}
	w.openAt, w.dirty = phys, false
	for i := range op.rec.Queues {
		rq := &op.rec.Queues[i]
		if q := w.queues[store.QueueID{Topic: rq.Topic, ID: rq.QueueID}]; q != nil {
			q.recorded = uint64(rq.Hi)
		}
	}
	op.state = w.stateLocked()
	op.r.mu.Unlock()
	if op.collect != nil {
		op.collect()
	}
	if seeded.On(seeded.OpenNotDurable) && op.done != nil {
		done := op.done
		op.done = nil
		go done(op.state, nil)
	}
}

func (w *state) stateLocked() State {
	s := State{Term: w.term, BaseTopic: w.base.topic, BaseOffset: w.base.offset}
	for _, q := range sortedQueues(w) {
		s.Queues = append(s.Queues, QueueState{Topic: q.id.Topic, QueueID: q.id.ID, Hi: q.hi, To: q.to, Offset: q.offset, Max: q.offset + 1})
	}
	return s
}

func (op *opening) finished(res store.PutResult) {
	if errors.Is(res.Err, errMoved) && op.tries < maxRecordTries {
		op.put()
		return
	}
	if res.Err != nil {
		op.failed(res.Err)
		return
	}
	for i := range op.state.Queues {
		if q := &op.state.Queues[i]; q.Offset < 0 {
			q.Max = op.r.log.NextOffset(q.Topic, q.QueueID)
		}
	}
	op.answer(op.state, nil)
}

// failed opens the fence again that the opening closed ahead of its record, unless the
// record may be in the log.
func (op *opening) failed(err error) {
	if !op.again {
		op.r.mu.Lock()
		if op.w.opening == op.o.Term && op.w.openingBy == op.o.Opener {
			op.w.opening, op.w.openingBy = 0, ""
		}
		op.r.mu.Unlock()
	}
	op.answer(State{}, err)
}

func (op *opening) answer(s State, err error) {
	if done := op.done; done != nil {
		op.done = nil
		done(s, err)
	}
}

// CarryForward writes the records anew that the log would lose, or of which it would lose
// the messages that prove them, when everything below upTo goes. It waits until they are
// durable.
func (r *Registry) CarryForward(upTo int64) error {
	return r.rewrite(func(w *state) bool {
		if w.openAt < upTo {
			return true
		}
		for _, q := range w.queues {
			if q.hi != q.recorded && q.phys < upTo {
				return true
			}
		}
		return false
	})
}

// Settle writes the records anew that tell of topics which are gone.
func (r *Registry) Settle() error {
	return r.rewrite(func(w *state) bool { return w.dirty })
}

func (r *Registry) rewrite(due func(*state) bool) error {
	var names []string
	r.mu.Lock()
	for name, w := range r.writers {
		if w.term != 0 && due(w) {
			names = append(names, name)
		}
	}
	r.mu.Unlock()
	for _, name := range names {
		if err := r.record(name); err != nil {
			return fmt.Errorf("write the record of writer %s anew: %w", name, err)
		}
	}
	return nil
}

// record writes a writer's record anew, under its term.
func (r *Registry) record(name string) error {
	for range maxRecordTries {
		r.mu.Lock()
		w := r.writers[name]
		o := Opening{Writer: name, Term: w.term, Opener: w.opener}
		r.mu.Unlock()
		done := make(chan error, 1)
		op := &opening{r: r, w: w, o: o, again: true, done: func(_ State, err error) { done <- err }, tries: maxRecordTries}
		op.put()
		if err := <-done; !errors.Is(err, errMoved) {
			return err
		}
	}
	return errMoved
}
