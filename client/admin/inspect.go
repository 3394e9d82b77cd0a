package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/client/internal/routecache"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

// Broker is a broker group: one name, a master and perhaps slaves.
type Broker struct {
	Cluster string
	Name    string
	Addrs   map[int64]string // by broker id; 0 is the master
}

// Cluster lists the brokers that a name server knows.
type Cluster struct {
	Brokers []Broker // sorted by name
}

// ClusterInfo asks a name server for all brokers.
func (c *Client) ClusterInfo(ctx context.Context) (Cluster, error) {
	brokers, err := c.s.Brokers(ctx)
	if err != nil {
		return Cluster{}, err
	}
	return Cluster{Brokers: convert(brokers)}, nil
}

func convert(brokers []routecache.BrokerData) []Broker {
	out := make([]Broker, len(brokers))
	for i, b := range brokers {
		out[i] = Broker(b)
	}
	slices.SortFunc(out, func(a, b Broker) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// Topics lists every topic, sorted.
func (c *Client) Topics(ctx context.Context) ([]string, error) {
	ans, err := c.s.AskNameServer(ctx, func() *remoting.Command {
		return remoting.NewRequest(protocol.GetAllTopicListFromNameserver)
	})
	if err == nil {
		err = protocol.AsError(ans)
	}
	var list protocol.TopicList
	if err == nil {
		err = protocol.DecodeBody(ans.Body, &list)
	}
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	slices.Sort(list.TopicList)
	return list.TopicList, nil
}

// Route is where a topic's queues are.
type Route struct {
	Topic   string
	Write   []message.Queue
	Read    []message.Queue
	Brokers []Broker
}

// Route asks a name server for a topic's route; client.ErrTopicNotFound when no name
// server knows it.
func (c *Client) Route(ctx context.Context, topic string) (Route, error) {
	r, err := c.s.Refresh(ctx, topic)
	if err != nil {
		return Route{}, err
	}
	return Route{Topic: topic, Write: slices.Clone(r.Write), Read: slices.Clone(r.Read), Brokers: convert(r.Brokers)}, nil
}

// QueueStats are the offsets of one queue.
type QueueStats struct {
	Queue    message.Queue
	Min, Max int64 // Max is the offset that the next message gets
}

// TopicStats asks every broker of a topic for its queues' offsets.
func (c *Client) TopicStats(ctx context.Context, topic string) ([]QueueStats, error) {
	route, err := c.s.Refresh(ctx, topic)
	if err != nil {
		return nil, err
	}
	stats := make([]QueueStats, 0, len(route.Read))
	for _, q := range route.Read {
		lo, err := c.s.MinOffset(ctx, q)
		if err != nil {
			return nil, queueError(q, err)
		}
		hi, err := c.s.MaxOffset(ctx, q)
		if err != nil {
			return nil, queueError(q, err)
		}
		stats = append(stats, QueueStats{Queue: q, Min: lo, Max: hi})
	}
	return stats, nil
}

// GroupOffset is how far a group is in one queue.
type GroupOffset struct {
	QueueStats
	Committed int64 // next offset to be read; -1 = none committed
}

// ConsumerOffsets asks for a group's offsets of a topic beside the queues' own.
func (c *Client) ConsumerOffsets(ctx context.Context, group, topic string) ([]GroupOffset, error) {
	stats, err := c.TopicStats(ctx, topic)
	if err != nil {
		return nil, err
	}
	out := make([]GroupOffset, len(stats))
	for i, st := range stats {
		n, err := c.s.CommittedOffset(ctx, group, st.Queue)
		if errors.Is(err, client.ErrNoOffset) {
			n, err = -1, nil
		}
		if err != nil {
			return nil, queueError(st.Queue, err)
		}
		out[i] = GroupOffset{QueueStats: st, Committed: n}
	}
	return out, nil
}

func queueError(q message.Queue, err error) error {
	return fmt.Errorf("offsets of queue %s/%s/%d: %w", q.BrokerName, q.Topic, q.QueueID, err)
}

// SetConsumerOffset stores a group's offset of a queue: the next one to be read.
func (c *Client) SetConsumerOffset(ctx context.Context, group string, q message.Queue, offset int64) error {
	if err := c.s.CommitOffset(ctx, group, q, offset); err != nil {
		return queueError(q, err)
	}
	return nil
}

// BrokerRuntime asks a broker for its figures, by RocketMQ's names.
func (c *Client) BrokerRuntime(ctx context.Context, broker string) (map[string]string, error) {
	ans, err := c.s.Call(ctx, broker, func() *remoting.Command { return remoting.NewRequest(protocol.GetBrokerRuntimeInfo) })
	var kv protocol.KVTable
	if err == nil {
		err = protocol.DecodeBody(ans.Body, &kv)
	}
	if err != nil {
		return nil, fmt.Errorf("runtime of broker %s: %w", broker, err)
	}
	return kv.Table, nil
}

// BrokerConfig asks a broker for its configuration, by RocketMQ's names. Secrets are not
// in it.
func (c *Client) BrokerConfig(ctx context.Context, broker string) (map[string]string, error) {
	ans, err := c.s.Call(ctx, broker, func() *remoting.Command { return remoting.NewRequest(protocol.GetBrokerConfig) })
	if err != nil {
		return nil, fmt.Errorf("configuration of broker %s: %w", broker, err)
	}
	return protocol.DecodeProperties(ans.Body), nil
}
