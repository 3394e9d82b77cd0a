package client

import (
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/client/internal/rebalance"
	"github.com/millrace/millrace/client/internal/session"
	"github.com/millrace/millrace/message"
)

type consumerConfig struct {
	session       session.Config
	orderly       bool
	manual        bool
	concurrency   int
	pullBatch     int
	consumeBatch  int
	maxMessages   int
	maxBytes      int64
	pullWait      time.Duration
	rebalance     time.Duration
	relock        time.Duration
	persist       time.Duration
	retryMin      time.Duration
	retryMax      time.Duration
	start         StartFrom
	strategy      rebalance.Strategy
	subscriptions []subscription
	assigned      map[message.Queue]int64
	errs          []error
}

func defaultConsumerConfig() consumerConfig {
	return consumerConfig{
		session: session.DefaultConfig(), concurrency: 20, pullBatch: 32, consumeBatch: 1,
		maxMessages: 1000, maxBytes: 100 << 20, pullWait: 15 * time.Second,
		rebalance: 20 * time.Second, relock: 20 * time.Second, persist: 5 * time.Second,
		retryMin: time.Second, retryMax: 30 * time.Second, strategy: rebalance.Averagely,
	}
}

type consumerOption func(*consumerConfig)

func (f consumerOption) applyConsumer(c *consumerConfig) { f(c) }

// WithSubscription subscribes to a topic: "*" for all messages, or tags as in "a || b".
// Every member of a group must have the same subscriptions.
func WithSubscription(topic, expression string) ConsumerOption {
	return withSubscription(topic, expression, false)
}

// WithSQLSubscription subscribes to the messages of a topic whose properties fulfil an
// SQL92 expression, where brokers allow that.
func WithSQLSubscription(topic, expression string) ConsumerOption {
	return withSubscription(topic, expression, true)
}

func withSubscription(topic, expression string, sql bool) ConsumerOption {
	return consumerOption(func(c *consumerConfig) {
		s, err := parseSubscription(topic, expression, sql, time.Now().UnixMilli())
		c.errs = append(c.errs, err)
		c.subscriptions = append(c.subscriptions, s)
	})
}

// CommittedPosition in WithAssignment means the group's committed offset.
const CommittedPosition int64 = -1

// WithAssignment consumes fixed queues from given offsets instead of sharing topics with
// the group; CommittedPosition asks for what the group committed. The consumer is then no
// member of the group.
func WithAssignment(queues map[message.Queue]int64) ConsumerOption {
	return consumerOption(func(c *consumerConfig) { c.assigned = queues })
}

// WithOrderly handles each queue's messages one batch after the other, in order, under a
// lock at the broker that keeps other members out. Brokers without locks (Millrace's, so
// far) let two members overlap while the group changes. The default is concurrent.
func WithOrderly() ConsumerOption {
	return consumerOption(func(c *consumerConfig) { c.orderly = true })
}

// WithManualCommit leaves it to the application to say, by PushConsumer.Commit, up to
// where a queue is done.
func WithManualCommit() ConsumerOption {
	return consumerOption(func(c *consumerConfig) { c.manual = true })
}

// WithConcurrency is how many handlers run at the same time (20).
func WithConcurrency(n int) ConsumerOption {
	return consumerOption(func(c *consumerConfig) { c.concurrency = n })
}

// WithBatch is how many messages a pull asks for (32) and a handler gets (1).
func WithBatch(pull, handle int) ConsumerOption {
	return consumerOption(func(c *consumerConfig) { c.pullBatch, c.consumeBatch = pull, handle })
}

// WithQueueLimits bounds, per queue, what is pulled and not handled (1000 messages,
// 100 MiB). A pull may exceed them by what it brings.
func WithQueueLimits(messages int, bytes int64) ConsumerOption {
	return consumerOption(func(c *consumerConfig) { c.maxMessages, c.maxBytes = messages, bytes })
}

// WithHandlerRetry is the back-off after a handler that failed (1 s, doubled up to 30 s).
func WithHandlerRetry(first, longest time.Duration) ConsumerOption {
	return consumerOption(func(c *consumerConfig) { c.retryMin, c.retryMax = first, longest })
}

// WithIntervals sets how often queues are shared anew (20 s), locks are renewed (20 s)
// and offsets are stored (5 s).
func WithIntervals(rebalance, relock, persist time.Duration) ConsumerOption {
	return consumerOption(func(c *consumerConfig) { c.rebalance, c.relock, c.persist = rebalance, relock, persist })
}

// WithPullWait is how long a broker may hold a pull while there is nothing new (15 s).
func WithPullWait(d time.Duration) ConsumerOption {
	return consumerOption(func(c *consumerConfig) { c.pullWait = d })
}

// WithCircleStrategy deals queues out one by one instead of in runs. Every member of a
// group must use the same strategy.
func WithCircleStrategy() ConsumerOption {
	return consumerOption(func(c *consumerConfig) { c.strategy = rebalance.Circle })
}

// StartFrom is where a group begins in a queue that it never committed an offset for.
type StartFrom struct {
	first bool
	at    time.Time
}

// StartLast begins with messages to come (the default), StartFirst with the oldest,
// StartAt with the first one stored at or after a time.
func StartLast() StartFrom { return StartFrom{} }

// StartFirst begins with the oldest message.
func StartFirst() StartFrom { return StartFrom{first: true} }

// StartAt begins with the first message stored at or after t.
func StartAt(t time.Time) StartFrom { return StartFrom{at: t} }

// WithStart says where a new group begins.
func WithStart(s StartFrom) ConsumerOption {
	return consumerOption(func(c *consumerConfig) { c.start = s })
}

func (c *consumerConfig) validate() error {
	errs := c.errs
	if (len(c.subscriptions) == 0) == (len(c.assigned) == 0) {
		errs = append(errs, errors.New("give either subscriptions (WithSubscription) or an assignment (WithAssignment)"))
	}
	seen := make(map[string]bool)
	for _, s := range c.subscriptions {
		if seen[s.topic] {
			errs = append(errs, fmt.Errorf("topic %s is subscribed to twice", s.topic))
		}
		seen[s.topic] = true
	}
	for _, n := range []struct {
		name  string
		value int64
	}{
		{"concurrency", int64(c.concurrency)}, {"pull batch", int64(c.pullBatch)}, {"handler batch", int64(c.consumeBatch)},
		{"queue limit in messages", int64(c.maxMessages)}, {"queue limit in bytes", c.maxBytes},
		{"rebalance interval", int64(c.rebalance)}, {"relock interval", int64(c.relock)}, {"persist interval", int64(c.persist)},
		{"handler retry", int64(c.retryMin)}, {"longest handler retry", int64(c.retryMax)}, {"pull wait", int64(c.pullWait)},
	} {
		if n.value <= 0 {
			errs = append(errs, fmt.Errorf("%s must be positive, not %d", n.name, n.value))
		}
	}
	return errors.Join(errs...)
}
