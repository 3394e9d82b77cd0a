package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/millrace/millrace/client/internal/session"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

// DefaultProducerGroup is the group of producers that name none.
const DefaultProducerGroup = "MILLRACE_PRODUCER"

type producerConfig struct {
	session    session.Config
	send       sendConfig
	group      string
	retries    int
	autoCreate bool
	check      TransactionChecker
}

type producerOption func(*producerConfig)

func (f producerOption) applyProducer(c *producerConfig) { f(c) }

// WithRetries sets how many further attempts a send gets (2).
func WithRetries(n int) ProducerOption {
	return producerOption(func(c *producerConfig) { c.retries = n })
}

// WithTopicCreation allows sends to create topics, where the brokers do (default true).
func WithTopicCreation(allowed bool) ProducerOption {
	return producerOption(func(c *producerConfig) { c.autoCreate = allowed })
}

// WithTransactionChecker answers brokers that ask what became of a transaction, see
// SendInTransaction.
func WithTransactionChecker(f TransactionChecker) ProducerOption {
	return producerOption(func(c *producerConfig) { c.check = f })
}

func (c *producerConfig) validate() error {
	err := errors.Join(message.CheckGroup(c.group), c.send.validate())
	if c.retries < 0 {
		err = errors.Join(err, fmt.Errorf("retries must not be negative: %d", c.retries))
	}
	return err
}

// Producer sends messages to topics that anybody may write to. A send that fails in a
// way that may pass is tried again at another broker; when it is unknown whether the
// first attempt was stored, that can leave the message twice, with the same id.
type Producer struct {
	cfg    producerConfig
	s      *session.Session
	fly    inflight
	turn   atomic.Uint32
	checks chan struct{} // a slot for each check-back that is being answered
}

// maxChecks is how many check-backs are answered at the same time; brokers ask again.
const maxChecks = 64

// NewProducer makes a producer. It starts nothing.
func NewProducer(opts ...ProducerOption) (*Producer, error) {
	cfg := producerConfig{session: session.DefaultConfig(), send: defaultSendConfig(),
		group: DefaultProducerGroup, retries: 2, autoCreate: true}
	for _, o := range opts {
		o.applyProducer(&cfg)
	}
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("producer: %w", err)
	}
	p := &Producer{
		cfg: cfg, checks: make(chan struct{}, maxChecks),
		fly: inflight{maxMessages: cfg.send.maxMessages, maxBytes: cfg.send.maxBytes},
	}
	s, err := session.New(cfg.session, p.serve)
	if err != nil {
		return nil, fmt.Errorf("producer: %w", err)
	}
	p.s = s
	return p, nil
}

// Start begins heartbeats and route refreshes. It connects to nothing yet.
func (p *Producer) Start(context.Context) error { return p.s.Start(p) }

// Close refuses new sends, waits for those in flight until ctx ends, and joins every
// goroutine. Callbacks have all been called when it returns.
func (p *Producer) Close(ctx context.Context) error {
	err := p.fly.drain(ctx)
	if p.s.Running() {
		p.s.Farewell(ctx, &protocol.UnregisterClientHeader{ClientID: p.s.ClientID(), ProducerGroup: p.cfg.group})
	}
	return errors.Join(err, p.s.Close())
}

// Heartbeat is for the session.
func (p *Producer) Heartbeat() []byte { return producerHeartbeat(p.s.ClientID(), p.cfg.group) }

// RoutesChanged is for the session.
func (p *Producer) RoutesChanged() {}

// Send stores a message in some queue of its topic. See SendResult.Status for how safe
// it is. The message must not be changed before Send returns.
func (p *Producer) Send(ctx context.Context, m *message.Message) (SendResult, error) {
	return p.sendWait(ctx, m, p.anyQueue)
}

// SendTo stores a message in the queue that it names.
func (p *Producer) SendTo(ctx context.Context, q message.Queue, m *message.Message) (SendResult, error) {
	return p.sendWait(ctx, m, thisQueue(q))
}

// SendByKey stores a message in the queue that its key's hash selects (see KeyHash), so
// that messages of equal keys keep their order as long as the topic's queues stay the
// same. A queue whose broker is away is not replaced by another.
func (p *Producer) SendByKey(ctx context.Context, m *message.Message, key ...[]byte) (SendResult, error) {
	return p.sendWait(ctx, m, keyQueue(KeyHash(key...)))
}

// Selector picks the queue of a message among all writable queues of its topic, which
// are sorted by broker name and number. It must not keep or change the slice.
type Selector func(queues []message.Queue) message.Queue

// SendSelect stores a message in the queue that pick returns.
func (p *Producer) SendSelect(ctx context.Context, m *message.Message, pick Selector) (SendResult, error) {
	return p.sendWait(ctx, m, selectQueue(pick))
}

// SendAsync is Send without waiting: done is called exactly once, on any goroutine, and
// must not block. SendAsync itself waits while too much is in flight, for the first
// route of a topic and for a connection, until ctx ends; ctx also ends retries.
func (p *Producer) SendAsync(ctx context.Context, m *message.Message, done func(SendResult, error)) {
	p.start(ctx, m, p.anyQueue, done)
}

// SendToAsync is SendTo as SendAsync is Send. Messages to one queue arrive in the order
// of the calls as long as none fails.
func (p *Producer) SendToAsync(ctx context.Context, q message.Queue, m *message.Message, done func(SendResult, error)) {
	p.start(ctx, m, thisQueue(q), done)
}

// SendOneway sends without being told the outcome: nil means that it was queued.
func (p *Producer) SendOneway(ctx context.Context, m *message.Message) error {
	o, err := p.prepare(m)
	if err != nil {
		return err
	}
	route, err := p.route(ctx, o.topic)
	if err != nil {
		return fmt.Errorf("send to %s: %w", m.Topic, err)
	}
	q, addr, err := p.anyQueue(route, "")
	if err != nil {
		return fmt.Errorf("send to %s: %w", m.Topic, err)
	}
	if err := p.s.Oneway(ctx, addr, o.request(q)); err != nil {
		return fmt.Errorf("send to %s: %w", m.Topic, err)
	}
	return nil
}

// SendBatch stores messages of one topic next to each other in one queue: all of them or
// none. Delayed, transactional and retried messages cannot be in a batch, and bodies are
// not compressed. The result's MsgID lists the ids, joined by commas.
func (p *Producer) SendBatch(ctx context.Context, msgs []*message.Message) (SendResult, error) {
	return p.sendBatch(ctx, msgs, p.anyQueue)
}

// SendBatchTo is SendBatch to one queue.
func (p *Producer) SendBatchTo(ctx context.Context, q message.Queue, msgs []*message.Message) (SendResult, error) {
	return p.sendBatch(ctx, msgs, thisQueue(q))
}

func (p *Producer) sendBatch(ctx context.Context, msgs []*message.Message, pick picker) (SendResult, error) {
	o, err := p.batch(msgs)
	if err != nil {
		return SendResult{}, err
	}
	a := newAwait[SendResult]()
	p.launch(ctx, o, pick, a.done)
	return a.wait(ctx)
}

func (p *Producer) batch(msgs []*message.Message) (outgoing, error) {
	if len(msgs) == 0 {
		return outgoing{}, errors.New("send batch: it is empty")
	}
	topic := msgs[0].Topic
	ids := make([]string, len(msgs))
	var body []byte
	for i, m := range msgs {
		if err := p.batchable(m, topic); err != nil {
			return outgoing{}, fmt.Errorf("send batch to %s: message %d: %w", topic, i, err)
		}
		ids[i] = p.messageID(m)
		props, err := encodeProperties(m, ids[i], nil)
		if err == nil {
			body, err = message.AppendBatchItem(body, message.BatchItem{Flag: m.Flag, Body: m.Body, Properties: props})
		}
		if err != nil {
			return outgoing{}, fmt.Errorf("send batch to %s: message %d: %w", topic, i, err)
		}
	}
	if len(body) > p.cfg.send.maxBody {
		return outgoing{}, fmt.Errorf("send batch to %s: it has %d bytes, the limit is %d", topic, len(body), p.cfg.send.maxBody)
	}
	o := p.cfg.send.outgoing(topic, p.cfg.group, strings.Join(ids, ","))
	o.body, o.batch = body, true
	return o, nil
}

func (p *Producer) batchable(m *message.Message, topic string) error {
	if err := p.cfg.send.check(m); err != nil {
		return err
	}
	switch {
	case m.Topic != topic:
		return fmt.Errorf("its topic is %s: a batch has one topic", m.Topic)
	case message.IsRetryTopic(topic):
		return errors.New("a retry topic takes no batches")
	case message.TransactionState(m.SysFlag) != message.TransactionNone:
		return errors.New("a transactional message cannot be in a batch")
	}
	for _, k := range []string{message.PropertyDelay, message.PropertyTimerDelayMs, message.PropertyTimerDelaySec,
		message.PropertyTimerDeliverMs} {
		if m.Property(k) != "" {
			return fmt.Errorf("a delayed message (%s) cannot be in a batch", k)
		}
	}
	return nil
}

// messageID is the id that a message has, or a new one.
func (p *Producer) messageID(m *message.Message) string {
	if id := m.Property(message.PropertyUniqueKey); id != "" {
		return id
	}
	return p.s.NextID()
}

func (p *Producer) prepare(m *message.Message, extra ...remoting.Field) (outgoing, error) {
	if !p.s.Running() {
		return outgoing{}, fmt.Errorf("%w: %w", ErrNotSent, ErrClosed)
	}
	o, err := p.cfg.send.prepare(m, p.cfg.group, p.messageID(m), extra)
	if err != nil {
		return o, fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	return o, nil
}

func (p *Producer) sendWait(ctx context.Context, m *message.Message, pick picker) (SendResult, error) {
	a := newAwait[SendResult]()
	p.start(ctx, m, pick, a.done)
	return a.wait(ctx)
}

func (p *Producer) start(ctx context.Context, m *message.Message, pick picker, done func(SendResult, error)) {
	o, err := p.prepare(m)
	if err != nil {
		done(SendResult{}, err)
		return
	}
	p.launch(ctx, o, pick, done)
}

// launch takes a place in flight and makes the first attempt.
func (p *Producer) launch(ctx context.Context, o outgoing, pick picker, done func(SendResult, error)) {
	if !p.s.Running() {
		done(SendResult{}, fmt.Errorf("%w: %w", ErrNotSent, ErrClosed))
		return
	}
	if err := p.fly.acquire(ctx, o.size()); err != nil {
		done(SendResult{}, fmt.Errorf("send to %s: %w", o.topic, err))
		return
	}
	f := &flight{p: p, ctx: ctx, o: o, pick: pick, done: done}
	f.attempt()
}
