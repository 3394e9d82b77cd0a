package client

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/millrace/millrace/client/internal/routecache"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

// picker chooses the queue of an attempt. last is the broker of the attempt before, ""
// for the first. A picker that knows only one queue returns it again.
type picker func(route *routecache.Route, last string) (q message.Queue, addr string, err error)

// anyQueue takes queues in turn, those of another broker than last's if there are any.
func (p *Producer) anyQueue(route *routecache.Route, last string) (message.Queue, string, error) {
	n := len(route.Write)
	if n == 0 {
		return message.Queue{}, "", fmt.Errorf("topic %s has no writable queue", route.Topic)
	}
	start := int(p.turn.Add(1) % uint32(n))
	for _, avoid := range []string{last, ""} {
		for i := range n {
			q := route.Write[(start+i)%n]
			if avoid != "" && q.BrokerName == avoid {
				continue
			}
			if addr, ok := route.Master(q.BrokerName); ok {
				return q, addr, nil
			}
		}
		if avoid == "" {
			break
		}
	}
	return message.Queue{}, "", fmt.Errorf("no broker of topic %s has a master", route.Topic)
}

func onlyQueue(route *routecache.Route, q message.Queue) (message.Queue, string, error) {
	addr, ok := route.Master(q.BrokerName)
	if !ok {
		return q, "", fmt.Errorf("%w: %q, which %s is on", ErrBrokerNotFound, q.BrokerName, queueText(q))
	}
	return q, addr, nil
}

func thisQueue(q message.Queue) picker {
	return func(route *routecache.Route, _ string) (message.Queue, string, error) {
		if q.Topic != route.Topic {
			return q, "", fmt.Errorf("%s is not a queue of topic %s", queueText(q), route.Topic)
		}
		return onlyQueue(route, q)
	}
}

func keyQueue(hash uint64) picker {
	return selectQueue(func(queues []message.Queue) message.Queue {
		return queues[hash%uint64(len(queues))]
	})
}

func selectQueue(pick Selector) picker {
	return func(route *routecache.Route, _ string) (message.Queue, string, error) {
		if len(route.Write) == 0 {
			return message.Queue{}, "", fmt.Errorf("topic %s has no writable queue", route.Topic)
		}
		return onlyQueue(route, pick(route.Write))
	}
}

// KeyHash is the hash that selects queues by key: xxh64 with seed 0 over the parts, each
// preceded by its length as a uvarint. The queue is the hash modulo the number of
// writable queues, in the order by broker name and number.
func KeyHash(parts ...[]byte) uint64 {
	var (
		d xxhash.Digest
		n [binary.MaxVarintLen64]byte
	)
	d.ResetWithSeed(0)
	for _, p := range parts {
		_, _ = d.Write(n[:binary.PutUvarint(n[:], uint64(len(p)))]) // never fails
		_, _ = d.Write(p)
	}
	return d.Sum64()
}

// route finds a topic's route, or the one under which a send may create it.
func (p *Producer) route(ctx context.Context, topic string) (*routecache.Route, error) {
	route, err := p.s.Route(ctx, topic)
	if !errors.Is(err, ErrTopicNotFound) || !p.cfg.autoCreate {
		return route, err
	}
	template, terr := p.s.Route(ctx, message.TopicAutoCreate)
	if terr != nil {
		return nil, err
	}
	born := &routecache.Route{Topic: topic, Brokers: template.Brokers}
	for _, q := range template.Write {
		if q.QueueID < defaultTopicQueues {
			q.Topic = topic
			born.Write = append(born.Write, q)
		}
	}
	return born, nil
}

// flight is one send from its first attempt to its outcome. Its methods run one after
// the other, though on different goroutines.
type flight struct {
	p    *Producer
	ctx  context.Context
	o    outgoing
	pick picker
	done func(SendResult, error)

	tries int
	queue message.Queue
	last  string // broker of the attempt before
	errs  []error
}

// attempt sends once. It may wait for a route or a connection.
func (f *flight) attempt() {
	f.tries++
	route, err := f.p.route(f.ctx, f.o.topic)
	if err != nil {
		f.finish(SendResult{}, fmt.Errorf("%w: %w", ErrNotSent, err))
		return
	}
	q, addr, err := f.pick(route, f.last)
	if err != nil {
		f.p.s.RefreshSoon(f.o.topic)
		f.finish(SendResult{}, fmt.Errorf("%w: %w", ErrNotSent, err))
		return
	}
	f.queue = q
	f.p.s.InvokeAsync(f.ctx, addr, f.o.request(q), f.p.cfg.send.timeout, f.answered)
}

// answered runs on the connection's reader: it does not block.
func (f *flight) answered(ans *remoting.Command, err error) {
	var r SendResult
	if err == nil {
		r, err = parseSendAnswer(ans, &f.o, f.queue)
	}
	if err == nil {
		f.finish(r, nil)
		return
	}
	var refused *AnswerError
	stale := !errors.As(err, &refused) || refused.Code == protocol.TopicNotExist
	if refused != nil && !refused.Retriable() || f.tries > f.p.cfg.retries || f.ctx.Err() != nil {
		if stale {
			f.p.s.RefreshSoon(f.o.topic)
		}
		f.finish(SendResult{}, err)
		return
	}
	f.errs = append(f.errs, fmt.Errorf("broker %s: %w", f.queue.BrokerName, err))
	f.last = f.queue.BrokerName
	if !f.p.s.Go(func() { f.again(stale) }) {
		f.finish(SendResult{}, err)
	}
}

// again makes the next attempt. Where the route may be to blame it asks for it first.
func (f *flight) again(stale bool) {
	if stale {
		_, _ = f.p.s.Refresh(f.ctx, f.o.topic) // the attempt finds out whether it helped
	}
	f.attempt()
}

// finish reports the outcome. With several attempts, one whose outcome is unknown makes
// the whole unknown.
func (f *flight) finish(r SendResult, err error) {
	if err != nil {
		for _, e := range f.errs {
			if errors.Is(e, ErrUncertain) && !errors.Is(err, ErrUncertain) {
				err = fmt.Errorf("%w after %d attempts: %w", ErrUncertain, f.tries, err)
				break
			}
		}
		err = fmt.Errorf("send to %s: %w", f.o.topic, errors.Join(append(f.errs, err)...))
	}
	f.done(r, err)
	f.p.fly.release(f.o.size())
}
