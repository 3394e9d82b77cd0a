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

// Handler handles messages of one queue, in offset order. An error means that none of
// them counts as handled: they are given to it again after a back-off, in this process,
// until it succeeds or the queue goes to another member. (Handing a message back to the
// broker for a delayed retry is not done, so a message that can never be handled must be
// put aside by the handler itself.) ctx ends when the queue is taken away or the consumer
// closes. The messages may be kept, see ReceivedMessage.
type Handler func(ctx context.Context, msgs []*ReceivedMessage) error

// PushConsumer receives the messages of a group's topics and hands them to a handler. The
// group's members share the queues of each topic; each message is handled at least once.
// A consumer that joins or leaves moves queues, and what was handled but not yet
// committed is then handled again.
//
// An offset that the queue does not hold is logged with both offsets, and consumption
// goes on at the queue's nearest end.
type PushConsumer struct {
	group  string
	handle Handler
	cfg    consumerConfig
	s      *session.Session
	slots  chan struct{} // one for each handler that may run

	balance chan struct{} // capacity 1: share queues anew
	work    sync.WaitGroup
	stop    context.CancelFunc

	mu      sync.Mutex
	workers map[message.Queue]*worker
}

// NewPushConsumer makes a consumer of a group. It starts nothing.
func NewPushConsumer(group string, h Handler, opts ...ConsumerOption) (*PushConsumer, error) {
	cfg := defaultConsumerConfig()
	for _, o := range opts {
		o.applyConsumer(&cfg)
	}
	err := errors.Join(message.CheckGroup(group), cfg.validate())
	if h == nil {
		err = errors.Join(err, errors.New("the handler is nil"))
	}
	if err != nil {
		return nil, fmt.Errorf("consumer %q: %w", group, err)
	}
	if len(cfg.assigned) == 0 {
		// Members of other languages hand messages back to the group's retry topic.
		retry, err := parseSubscription(message.RetryTopic(group), protocol.SubscriptionAll, false, cfg.subscriptions[0].version)
		if err != nil {
			return nil, fmt.Errorf("consumer %q: %w", group, err)
		}
		cfg.subscriptions = append(cfg.subscriptions, retry)
	}
	c := &PushConsumer{
		group: group, handle: h, cfg: cfg, slots: make(chan struct{}, cfg.concurrency),
		balance: make(chan struct{}, 1), workers: make(map[message.Queue]*worker),
	}
	s, err := session.New(cfg.session, c.serve)
	if err != nil {
		return nil, fmt.Errorf("consumer %q: %w", group, err)
	}
	c.s = s
	return c, nil
}

// Start joins the group and begins to consume. It returns before the first message.
func (c *PushConsumer) Start(context.Context) error {
	if err := c.s.Start(c); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	c.work.Go(func() { c.run(ctx) })
	c.work.Go(func() { c.persistLoop(ctx) })
	return nil
}

// Close leaves the group: it waits for handlers that run, stores the offsets, gives back
// locks, and joins every goroutine. When ctx ends first, handlers that do not heed their
// context are left behind and the error says so.
func (c *PushConsumer) Close(ctx context.Context) error {
	if c.stop == nil {
		return c.s.Close()
	}
	c.stop()
	gone := make(chan struct{})
	go func() { c.work.Wait(); close(gone) }()
	var err error
	select {
	case <-gone:
		c.s.Farewell(ctx, &protocol.UnregisterClientHeader{ClientID: c.s.ClientID(), ConsumerGroup: c.group})
	case <-ctx.Done():
		err = fmt.Errorf("consumer %s: handlers were still running at close: %w", c.group, ctx.Err())
	}
	return errors.Join(err, c.s.Close())
}

// Queues returns the queues that this member consumes now.
func (c *PushConsumer) Queues() []message.Queue {
	c.mu.Lock()
	defer c.mu.Unlock()
	var queues []message.Queue
	for q, w := range c.workers {
		if w.ctx.Err() == nil {
			queues = append(queues, q)
		}
	}
	sortQueues(queues)
	return queues
}

// Commit says up to where a queue is done: offset is the next one to be read. It is
// stored soon, and at close. Only with WithManualCommit.
func (c *PushConsumer) Commit(q message.Queue, offset int64) error {
	if !c.cfg.manual {
		return errors.New("the consumer commits by itself; use WithManualCommit")
	}
	c.mu.Lock()
	w := c.workers[q]
	c.mu.Unlock()
	if w == nil {
		return fmt.Errorf("%s is not consumed here", queueText(q))
	}
	w.manual.Store(offset)
	return nil
}

// Heartbeat is for the session.
func (c *PushConsumer) Heartbeat() []byte {
	if len(c.cfg.assigned) > 0 {
		return nil
	}
	d := protocol.ConsumerData{GroupName: c.group, ConsumeType: protocol.ConsumePassively,
		MessageModel: protocol.ModelClustering, ConsumeFromWhere: c.cfg.start.wire()}
	for i := range c.cfg.subscriptions {
		d.SubscriptionDataSet = append(d.SubscriptionDataSet, c.cfg.subscriptions[i].data())
	}
	b, err := protocol.EncodeBody(&protocol.HeartbeatData{ClientID: c.s.ClientID(), ConsumerDataSet: []protocol.ConsumerData{d}})
	if err != nil {
		panic("BUG: heartbeat: " + err.Error())
	}
	return b
}

// RoutesChanged is for the session.
func (c *PushConsumer) RoutesChanged() { c.rebalanceSoon() }

func (c *PushConsumer) rebalanceSoon() {
	select {
	case c.balance <- struct{}{}:
	default:
	}
}

// serve takes requests of brokers.
func (c *PushConsumer) serve(req *remoting.Command) bool {
	if req.Code != protocol.NotifyConsumerIDsChanged {
		return false
	}
	c.rebalanceSoon()
	return true
}

// persistLoop stores offsets that moved.
func (c *PushConsumer) persistLoop(ctx context.Context) {
	t := time.NewTicker(c.cfg.persist)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		c.mu.Lock()
		workers := make([]*worker, 0, len(c.workers))
		for _, w := range c.workers {
			workers = append(workers, w)
		}
		c.mu.Unlock()
		for _, w := range workers {
			w.persist(ctx)
		}
	}
}

func (s StartFrom) wire() string {
	switch {
	case s.first:
		return protocol.FromFirstOffset
	case !s.at.IsZero():
		return protocol.FromTimestamp
	}
	return protocol.FromLastOffset
}
