package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/internal/pause"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting/protocol"
)

// worker consumes one queue. run pulls; handlers run on goroutines that it joins.
type worker struct {
	c      *PushConsumer
	q      message.Queue
	sub    subscription
	ctx    context.Context // ends when the queue is to be given up
	cancel context.CancelFunc
	manual atomic.Int64 // offset that the application committed; -1 = none

	handlers sync.WaitGroup
	batches  chan batch // orderly: to the one handler

	mu     sync.Mutex
	track  *tracker // replaced when consumption goes on elsewhere; nil before it begins
	stored int64    // offset that the broker is known to have; -1 = unknown
}

// batch is what a handler gets, and the account that it is in.
type batch struct {
	msgs  []*ReceivedMessage
	track *tracker
}

func (c *PushConsumer) newWorker(parent context.Context, q message.Queue) *worker {
	w := &worker{c: c, q: q, stored: -1, batches: make(chan batch),
		sub: subscription{topic: q.Topic, expression: protocol.SubscriptionAll}}
	for _, s := range c.cfg.subscriptions {
		if s.topic == q.Topic {
			w.sub = s
		}
	}
	w.manual.Store(-1)
	w.ctx, w.cancel = context.WithCancel(parent)
	return w
}

// run consumes the queue until it is given up, then stores its offset.
func (w *worker) run() {
	defer w.cancel()
	if w.c.cfg.orderly && len(w.c.cfg.assigned) == 0 {
		held, ok := w.lock()
		if !ok {
			return
		}
		if held {
			defer w.unlock()
			w.handlers.Go(w.keepLock)
		}
	}
	start, ok := w.begin()
	if !ok {
		w.handlers.Wait()
		return
	}
	if w.c.cfg.orderly {
		w.handlers.Go(w.handleInOrder)
	}
	w.pullAll(start)
	w.handlers.Wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), w.c.cfg.session.RequestTimeout)
	defer cancel()
	w.persist(ctx)
}

// pause waits for a back-off. It returns false when the queue is to be given up.
func (w *worker) pause(d time.Duration) bool {
	return pause.For(w.ctx, d) == nil
}

// begin finds the first offset, trying until it is told one.
func (w *worker) begin() (int64, bool) {
	for {
		offset, err := w.firstOffset()
		if err == nil {
			return offset, true
		}
		if w.ctx.Err() != nil {
			return 0, false
		}
		w.warn("first offset is not known", err)
		if !w.pause(w.c.cfg.session.RetryBackoff) {
			return 0, false
		}
	}
}

func (w *worker) firstOffset() (int64, error) {
	if o, ok := w.c.cfg.assigned[w.q]; ok && o != CommittedPosition {
		return o, nil
	}
	offset, err := w.c.s.CommittedOffset(w.ctx, w.c.group, w.q)
	if !errors.Is(err, ErrNoOffset) {
		return offset, err
	}
	switch from := w.c.cfg.start; {
	case from.first || message.IsRetryTopic(w.q.Topic):
		return w.c.s.MinOffset(w.ctx, w.q)
	case !from.at.IsZero():
		return w.c.s.SearchOffset(w.ctx, w.q, from.at)
	}
	return w.c.s.MaxOffset(w.ctx, w.q)
}

// pullAll pulls and hands out until the queue is given up.
func (w *worker) pullAll(offset int64) {
	defer close(w.batches)
	track := w.startAt(offset)
	for track.waitRoom(w.ctx) == nil {
		res, err := w.pull(offset)
		if w.ctx.Err() != nil {
			return
		}
		if err != nil {
			next, moved := w.moved(err)
			if !moved {
				w.warn("pull failed", err)
				if !w.pause(w.c.cfg.session.RetryBackoff) {
					return
				}
				continue
			}
			w.warn("the offset is not in the queue; consumption goes on at its end", err, "next", next)
			offset = next
			track = w.startAt(next)
			continue
		}
		offset = res.Next
		track.add(res.Messages, res.Next)
		w.handOut(res, track)
	}
}

// startAt opens a new account. Messages of an old one are handled, but count no more.
func (w *worker) startAt(offset int64) *tracker {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.track = newTracker(offset, w.c.cfg.maxMessages, w.c.cfg.maxBytes)
	return w.track
}

// moved tells where to go on after an offset that the queue does not hold.
func (w *worker) moved(err error) (int64, bool) {
	var below *OffsetBelowError
	var above *OffsetAboveError
	switch {
	case errors.As(err, &below):
		return below.Min, true
	case errors.As(err, &above):
		return above.Max, true
	}
	return 0, false
}

func (w *worker) pull(offset int64) (PullResult, error) {
	ctx, cancel := context.WithTimeout(w.ctx, w.c.cfg.pullWait+pullSlack)
	defer cancel()
	p := pullRequest{group: w.c.group, queue: w.q, offset: offset, max: w.c.cfg.pullBatch, wait: w.c.cfg.pullWait,
		lite: len(w.c.cfg.assigned) > 0, subscription: w.sub.expression, subVersion: w.sub.version, sql: w.sub.sql}
	ans, err := w.c.s.InvokeBroker(ctx, w.q.BrokerName, p.command)
	if err != nil {
		return PullResult{}, err
	}
	return parsePullAnswer(ans, w.q, offset, true, true, nil)
}

// handOut gives what a pull brought to handlers. Messages that the subscription does not
// want count as handled.
func (w *worker) handOut(res PullResult, track *tracker) {
	var msgs, unwanted []*ReceivedMessage
	for i := range res.Messages {
		m := &res.Messages[i]
		if !w.sub.wants(m) {
			unwanted = append(unwanted, m)
			continue
		}
		if msgs = append(msgs, m); len(msgs) == w.c.cfg.consumeBatch {
			w.submit(batch{msgs, track})
			msgs = nil
		}
	}
	track.done(unwanted)
	if len(msgs) > 0 {
		w.submit(batch{msgs, track})
	}
}

func (w *worker) submit(b batch) {
	if w.c.cfg.orderly {
		select {
		case w.batches <- b:
		case <-w.ctx.Done():
		}
		return
	}
	if !w.slot() {
		return
	}
	w.handlers.Go(func() { w.handle(b, true) })
}

// slot takes one of the places for handlers.
func (w *worker) slot() bool {
	select {
	case w.c.slots <- struct{}{}:
		return true
	case <-w.ctx.Done():
		return false
	}
}

func (w *worker) handleInOrder() {
	for b := range w.batches {
		if w.ctx.Err() == nil {
			w.handle(b, false)
		}
	}
}

// handle runs the handler until it succeeds. It does not keep its place while it waits.
func (w *worker) handle(b batch, hasSlot bool) {
	for backoff := w.c.cfg.retryMin; ; backoff = min(2*backoff, w.c.cfg.retryMax) {
		if !hasSlot && !w.slot() {
			return
		}
		err := w.call(b.msgs)
		<-w.c.slots
		hasSlot = false
		if err == nil {
			b.track.done(b.msgs)
			return
		}
		if w.ctx.Err() != nil {
			return
		}
		w.warn("handler failed", err, "offset", b.msgs[0].QueueOffset, "messages", len(b.msgs), "again_in", backoff)
		if !w.pause(backoff) {
			return
		}
	}
}

// call runs the handler once; a panic of it is an error.
func (w *worker) call(msgs []*ReceivedMessage) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the handler panicked: %v", p)
		}
	}()
	return w.c.handle(w.ctx, msgs)
}

// persist stores the offset if it moved.
func (w *worker) persist(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.track == nil {
		return
	}
	offset := w.track.position()
	if w.c.cfg.manual {
		offset = w.manual.Load()
	}
	if offset < 0 || offset == w.stored {
		return
	}
	if err := w.c.s.CommitOffset(ctx, w.c.group, w.q, offset); err != nil {
		if ctx.Err() == nil {
			w.warn("offset is not stored", err, "offset", offset)
		}
		return
	}
	w.stored = offset
}

func (w *worker) warn(what string, err error, more ...any) {
	args := append([]any{"group", w.c.group, "topic", w.q.Topic, "broker", w.q.BrokerName, "queue", w.q.QueueID, "error", err}, more...)
	w.c.s.Log().Warn(what, args...)
}
