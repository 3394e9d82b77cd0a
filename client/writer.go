package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/millrace/millrace/client/internal/session"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

type writerConfig struct {
	session session.Config
	send    sendConfig
}

// Writer is the single writer of owned queues (delivery protocol, B1 to B6). It holds a
// term at each broker that it opened; every message carries that term and its link, and
// the broker lets it in only right behind the one that it names. A Writer never sends
// anything twice: what to do about a refusal or an unknown outcome is its owner's
// decision.
//
// Requests to one broker leave in the order of the calls, on one connection, and any
// number may wait for their answers.
type Writer struct {
	name string
	cfg  writerConfig
	s    *session.Session
	fly  inflight

	mu      sync.Mutex
	terms   map[string]uint64 // by broker: of the last opening that succeeded
	onCheck func(Half)
}

// NewWriter makes a writer of that name; the name is what owned topics are declared
// with (attribute millrace.writer), and its producer group. It starts nothing.
func NewWriter(name string, opts ...WriterOption) (*Writer, error) {
	cfg := writerConfig{session: session.DefaultConfig(), send: defaultSendConfig()}
	cfg.send.timeout = 10 * time.Second
	cfg.send.compressFrom = -1
	for _, o := range opts {
		o.applyWriter(&cfg)
	}
	if err := errors.Join(message.CheckGroup(name), cfg.send.validate()); err != nil {
		return nil, fmt.Errorf("writer %q: %w", name, err)
	}
	w := &Writer{
		name: name, cfg: cfg, terms: make(map[string]uint64),
		fly: inflight{maxMessages: cfg.send.maxMessages, maxBytes: cfg.send.maxBytes},
	}
	s, err := session.New(cfg.session, w.serve)
	if err != nil {
		return nil, fmt.Errorf("writer %q: %w", name, err)
	}
	w.s = s
	return w, nil
}

// Name is the writer's name.
func (w *Writer) Name() string { return w.name }

// OnCheck sets what happens when a broker asks what became of a half. f only wakes
// somebody: it must not block, and nothing is answered. Call it before Start.
func (w *Writer) OnCheck(f func(Half)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.onCheck = f
}

// Start begins heartbeats. It connects to nothing yet.
func (w *Writer) Start(context.Context) error { return w.s.Start(w) }

// Close refuses new work, waits for the answers that are due until ctx ends, and joins
// every goroutine. Callbacks have all been called when it returns.
func (w *Writer) Close(ctx context.Context) error {
	err := w.fly.drain(ctx)
	if w.s.Running() {
		w.s.Farewell(ctx, &protocol.UnregisterClientHeader{ClientID: w.s.ClientID(), ProducerGroup: w.name})
	}
	return errors.Join(err, w.s.Close())
}

// Heartbeat makes the writer a producer group at every broker, so that check-backs reach
// it.
func (w *Writer) Heartbeat() []byte { return producerHeartbeat(w.s.ClientID(), w.name) }

// RoutesChanged is for the session.
func (w *Writer) RoutesChanged() {}

// Open takes the writer at one broker under a term: every lower term is fenced there
// from now on, durably. The same opener (a random id for each attempt of its owner)
// asking again succeeds again, with present values, so a lost answer, which is
// ErrUncertain after the send timeout, may be repeated. *StaleError when the broker knows
// a term at least as high.
func (w *Writer) Open(ctx context.Context, broker string, term uint64, opener string) (WriterState, error) {
	if !w.s.Running() {
		return WriterState{}, ErrClosed
	}
	w.s.AddBroker(broker)
	limited, cancel := context.WithTimeout(ctx, w.cfg.send.timeout)
	defer cancel()
	ans, err := w.s.InvokeBroker(limited, broker, func() *remoting.Command {
		return session.Request(protocol.OpenWriter, &protocol.OpenWriterHeader{Writer: w.name, Term: term, Opener: opener})
	})
	if err == nil {
		err = writerError(ans)
	}
	if err != nil {
		return WriterState{}, fmt.Errorf("open writer %s at broker %s, term %d: %w", w.name, broker, term, err)
	}
	st, err := parseOpenAnswer(ans, broker)
	if err != nil {
		return WriterState{}, fmt.Errorf("open writer %s at broker %s, term %d: %w", w.name, broker, term, err)
	}
	w.mu.Lock()
	w.terms[broker] = term
	w.mu.Unlock()
	w.s.Kick()
	return st, nil
}

// Send lets one message into an owned queue, behind the one that link names. On nil it
// is stored at the broker's guarantee. *DuplicateError, *GapError and ErrFenced refuse
// it; with ErrNotSent nothing happened; after any other error the outcome is unknown.
func (w *Writer) Send(ctx context.Context, q message.Queue, m *message.Message, link Link) (SendResult, error) {
	a := newAwait[SendResult]()
	w.start(ctx, q, m, link, false, func(r SendResult, err error) { a.done(r, err) })
	return a.wait(ctx)
}

// SendAsync is Send without waiting: done is called exactly once, on any goroutine, and
// must not block. It waits while too much is in flight, and for a connection.
func (w *Writer) SendAsync(q message.Queue, m *message.Message, link Link, done func(SendResult, error)) {
	w.start(w.s.Context(), q, m, link, false, done)
}

// SendHalf stores a message that stays invisible until Resolve commits it. On nil it is
// stored at the broker's guarantee. A half is not held against the queue's last message
// before it is committed.
func (w *Writer) SendHalf(ctx context.Context, q message.Queue, m *message.Message, link Link) (HalfRef, error) {
	a := newAwait[HalfRef]()
	w.startHalf(ctx, q, m, link, a.done)
	return a.wait(ctx)
}

// SendHalfAsync is SendHalf without waiting, as SendAsync is Send.
func (w *Writer) SendHalfAsync(q message.Queue, m *message.Message, link Link, done func(HalfRef, error)) {
	w.startHalf(w.s.Context(), q, m, link, done)
}

func (w *Writer) startHalf(ctx context.Context, q message.Queue, m *message.Message, link Link, done func(HalfRef, error)) {
	w.start(ctx, q, m, link, true, func(r SendResult, err error) {
		if err != nil {
			done(HalfRef{}, err)
			return
		}
		ref, err := halfRef(r)
		done(ref, err)
	})
}

// term is the term that the writer holds at a broker.
func (w *Writer) term(broker string) (uint64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t, ok := w.terms[broker]
	if !ok {
		return 0, fmt.Errorf("%w: %w: %s", ErrNotSent, ErrNotOpen, broker)
	}
	return t, nil
}

// start sends one message and calls done exactly once.
func (w *Writer) start(ctx context.Context, q message.Queue, m *message.Message, link Link, half bool, done func(SendResult, error)) {
	o, addr, err := w.prepare(ctx, q, m, link, half)
	if err == nil {
		err = w.fly.acquire(ctx, o.size())
	}
	if err != nil {
		done(SendResult{}, fmt.Errorf("writer %s, %s: %w", w.name, queueText(q), err))
		return
	}
	w.s.InvokeAsync(ctx, addr, o.request(q), w.cfg.send.timeout, func(ans *remoting.Command, err error) {
		defer w.fly.release(o.size())
		var r SendResult
		if err == nil {
			err = writerError(ans)
		} else {
			w.s.RefreshSoon(q.Topic)
		}
		if err == nil {
			r, err = parseSendAnswer(ans, &o, q)
		}
		if err != nil {
			err = fmt.Errorf("writer %s, %s: %w", w.name, queueText(q), err)
		}
		done(r, err)
	})
}

func (w *Writer) prepare(ctx context.Context, q message.Queue, m *message.Message, link Link, half bool) (outgoing, string, error) {
	if !w.s.Running() {
		return outgoing{}, "", fmt.Errorf("%w: %w", ErrNotSent, ErrClosed)
	}
	if m.Topic != "" && m.Topic != q.Topic {
		panic("BUG: the message's topic is not the queue's")
	}
	term, err := w.term(q.BrokerName)
	if err != nil {
		return outgoing{}, "", err
	}
	if link.Lo > link.Hi || link.Prev >= link.Hi {
		return outgoing{}, "", fmt.Errorf("%w: link %d..%d behind %d runs backwards", ErrNotSent, link.Lo, link.Hi, link.Prev)
	}
	addr, err := w.s.Master(ctx, q.BrokerName)
	if err != nil {
		return outgoing{}, "", fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	mm := *m
	mm.Topic = q.Topic
	if half {
		mm.SysFlag = message.WithTransactionState(mm.SysFlag, message.TransactionPrepared)
	}
	o, err := w.cfg.send.prepare(&mm, w.name, w.s.NextID(), w.linkFields(term, link, half))
	if err != nil {
		return outgoing{}, "", fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	return o, addr, nil
}

// Resolve decides halves at one broker in one request: commits in the given order, then
// rollbacks. The results are in request order. ErrFenced when the whole request was
// refused. An error leaves the outcome of each unknown; asking again is safe.
func (w *Writer) Resolve(ctx context.Context, broker string, commit, rollback []HalfRef) ([]ResolveResult, error) {
	a := newAwait[[]ResolveResult]()
	w.ResolveAsync(ctx, broker, commit, rollback, a.done)
	return a.wait(ctx)
}

// ResolveAsync is Resolve without waiting for the answer, as SendAsync is Send.
func (w *Writer) ResolveAsync(ctx context.Context, broker string, commit, rollback []HalfRef, done func([]ResolveResult, error)) {
	fail := func(err error) {
		done(nil, fmt.Errorf("resolve %d+%d halves of writer %s at broker %s: %w", len(commit), len(rollback), w.name, broker, err))
	}
	term, err := w.term(broker)
	if err != nil {
		fail(err)
		return
	}
	addr, err := w.s.Master(ctx, broker)
	if err != nil {
		fail(fmt.Errorf("%w: %w", ErrNotSent, err))
		return
	}
	req, err := resolveRequest(w.name, term, commit, rollback)
	if err == nil {
		err = w.fly.acquire(ctx, int64(len(req.Body)))
	}
	if err != nil {
		fail(err)
		return
	}
	n := int64(len(req.Body))
	w.s.InvokeAsync(ctx, addr, req, w.cfg.send.timeout, func(ans *remoting.Command, err error) {
		defer w.fly.release(n)
		var results []ResolveResult
		if err == nil {
			err = writerError(ans)
		}
		if err == nil {
			results, err = parseResolveAnswer(ans, commit, rollback)
		}
		if err != nil {
			fail(err)
			return
		}
		done(results, nil)
	})
}

// serve takes check-backs.
func (w *Writer) serve(req *remoting.Command) bool {
	if req.Code != protocol.CheckTransactionState {
		return false
	}
	w.mu.Lock()
	f := w.onCheck
	w.mu.Unlock()
	if f != nil {
		h, err := checkedHalf(req)
		if err != nil {
			w.s.Log().Warn("check-back cannot be read", "error", err)
			return true
		}
		f(h)
	}
	return true
}
