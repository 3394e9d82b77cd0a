package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/millrace/millrace/client/internal/rebalance"
	"github.com/millrace/millrace/client/internal/session"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

func sortQueues(queues []message.Queue) { slices.SortFunc(queues, rebalance.CompareQueues) }

// run shares queues until ctx ends: at the start, every interval, and when the group or
// the routes changed.
func (c *PushConsumer) run(ctx context.Context) {
	if len(c.cfg.assigned) > 0 {
		c.assign(ctx, slices.Collect(maps.Keys(c.cfg.assigned)), func(message.Queue) bool { return true })
		<-ctx.Done()
		return
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-c.balance:
		}
		next := c.cfg.rebalance
		if !c.share(ctx) {
			next = min(next, c.cfg.session.RetryBackoff)
		}
		timer.Reset(next)
	}
}

// share computes this member's queues of every topic. It returns false when a topic
// could not be shared; its queues then stay as they are.
func (c *PushConsumer) share(ctx context.Context) bool {
	ok := true
	for i := range c.cfg.subscriptions {
		sub := &c.cfg.subscriptions[i]
		mine, err := c.allocate(ctx, sub.topic)
		switch {
		case err == nil:
			c.assign(ctx, mine, func(q message.Queue) bool { return q.Topic == sub.topic })
		case errors.Is(err, ErrTopicNotFound) && message.IsRetryTopic(sub.topic):
		case ctx.Err() == nil:
			ok = false
			c.s.Log().Warn("queues cannot be shared", "group", c.group, "topic", sub.topic, "error", err)
		}
	}
	return ok
}

// allocate returns the queues of a topic that are this member's.
func (c *PushConsumer) allocate(ctx context.Context, topic string) ([]message.Queue, error) {
	known := c.s.Cached(topic) != nil
	route, err := c.s.Route(ctx, topic)
	if err != nil {
		return nil, err
	}
	if !known && !c.s.Greet(ctx) {
		return nil, errors.New("not every broker of the topic took the heartbeat")
	}
	var errs []error
	for _, b := range route.Brokers {
		members, err := c.members(ctx, b.Name)
		if err == nil && !slices.Contains(members, c.s.ClientID()) {
			c.s.Kick()
			err = errors.New("the broker does not count this client as a member yet")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("members at broker %s: %w", b.Name, err))
			continue
		}
		queues := slices.Clone(route.Read)
		rebalance.Sort(members, queues)
		return c.cfg.strategy(c.s.ClientID(), slices.Compact(members), queues), nil
	}
	return nil, errors.Join(errs...)
}

// members asks one broker who is in the group.
func (c *PushConsumer) members(ctx context.Context, broker string) ([]string, error) {
	ans, err := c.s.Call(ctx, broker, func() *remoting.Command {
		return session.Request(protocol.GetConsumerListByGroup, &protocol.ConsumerGroupHeader{ConsumerGroup: c.group})
	})
	if err != nil {
		return nil, err
	}
	var list protocol.ConsumerList
	if err := protocol.DecodeBody(ans.Body, &list); err != nil {
		return nil, err
	}
	return list.ConsumerIDList, nil
}

// assign starts and stops workers so that of the queues in scope exactly want are
// consumed. A queue whose old worker has not finished is started when it has.
func (c *PushConsumer) assign(ctx context.Context, want []message.Queue, scope func(message.Queue) bool) {
	sortQueues(want)
	c.mu.Lock()
	defer c.mu.Unlock()
	var have []message.Queue
	for q := range c.workers {
		if scope(q) {
			have = append(have, q)
		}
	}
	start, stop := rebalance.Diff(have, want)
	for _, q := range stop {
		c.workers[q].cancel()
	}
	for _, q := range start {
		w := c.newWorker(ctx, q)
		c.workers[q] = w
		c.work.Go(func() {
			w.run()
			c.finished(q)
		})
	}
	if len(start)+len(stop) > 0 {
		c.s.Log().Info("queues shared anew", "group", c.group, "started", len(start), "stopped", len(stop))
	}
}

// finished forgets a worker; the queue may be this member's again by now.
func (c *PushConsumer) finished(q message.Queue) {
	c.mu.Lock()
	delete(c.workers, q)
	c.mu.Unlock()
	c.rebalanceSoon()
}
