package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/client/internal/routecache"
	"github.com/millrace/millrace/client/internal/session"
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
		err = session.AnswerOK(ans)
	}
	var list struct {
		TopicList []string `json:"topicList"`
	}
	if err == nil {
		err = json.Unmarshal(ans.Body, &list)
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
		lo, err := c.queueOffset(ctx, protocol.GetMinOffset, q, "")
		if err != nil {
			return nil, err
		}
		hi, err := c.queueOffset(ctx, protocol.GetMaxOffset, q, "")
		if err != nil {
			return nil, err
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
		n, err := c.queueOffset(ctx, protocol.QueryConsumerOffset, st.Queue, group)
		if errors.Is(err, client.ErrNoOffset) {
			n, err = -1, nil
		}
		if err != nil {
			return nil, err
		}
		out[i] = GroupOffset{QueueStats: st, Committed: n}
	}
	return out, nil
}

func (c *Client) queueOffset(ctx context.Context, code int, q message.Queue, group string) (int64, error) {
	n, err := session.QueueOffset(ctx, c.s, code, q, group)
	if err != nil {
		return 0, fmt.Errorf("%s of queue %s/%s/%d: %w", protocol.RequestName(code), q.BrokerName, q.Topic, q.QueueID, err)
	}
	return n, nil
}

// SetConsumerOffset stores a group's offset of a queue.
func (c *Client) SetConsumerOffset(ctx context.Context, group string, q message.Queue, offset int64) error {
	return c.onBroker(ctx, q.BrokerName, func() *remoting.Command {
		req := remoting.NewRequest(protocol.UpdateConsumerOffset)
		req.Ext.Add("consumerGroup", group)
		req.Ext.Add("topic", q.Topic)
		req.Ext.Add("queueId", strconv.Itoa(int(q.QueueID)))
		req.Ext.Add("commitOffset", strconv.FormatInt(offset, 10))
		return req
	})
}

// BrokerRuntime asks a broker for its figures, by RocketMQ's names.
func (c *Client) BrokerRuntime(ctx context.Context, broker string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.s.Config().RequestTimeout)
	defer cancel()
	ans, err := c.s.InvokeBroker(ctx, broker, func() *remoting.Command {
		return remoting.NewRequest(protocol.GetBrokerRuntimeInfo)
	})
	if err == nil {
		err = session.AnswerOK(ans)
	}
	var kv struct {
		Table map[string]string `json:"table"`
	}
	if err == nil {
		err = json.Unmarshal(ans.Body, &kv)
	}
	if err != nil {
		return nil, fmt.Errorf("runtime of broker %s: %w", broker, err)
	}
	return kv.Table, nil
}
