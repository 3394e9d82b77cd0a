package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/client/internal/routecache"
	"github.com/millrace/millrace/client/internal/session"
	"github.com/millrace/millrace/internal/pause"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

// Client asks name servers and brokers. Its methods may be called concurrently.
type Client struct {
	s *session.Session
}

// New makes a client. It starts nothing.
func New(opts ...client.Option) (*Client, error) {
	cfg := session.DefaultConfig()
	for _, o := range opts {
		o.ApplySession(&cfg)
	}
	s, err := session.New(cfg, nil)
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	return &Client{s: s}, nil
}

// Start is for symmetry with the other roles: it connects to nothing yet.
func (c *Client) Start(context.Context) error { return c.s.Start(nobody{}) }

// Close joins the client's goroutines.
func (c *Client) Close(context.Context) error { return c.s.Close() }

// nobody is a member of no group.
type nobody struct{}

func (nobody) Heartbeat() []byte { return nil }
func (nobody) RoutesChanged()    {}

// Permissions of a topic.
const (
	PermRead  = 4
	PermWrite = 2
)

// AttributeWriter declares a topic's queues as owned by the writer that it names.
const AttributeWriter = "millrace.writer"

// maxQueues is how many queues of a topic a broker can have.
const maxQueues = 65536

// TopicConfig is a topic as it is to be.
type TopicConfig struct {
	Name       string
	Queues     int               // readable and writable alike
	Perm       int               // 0 = read and write
	Attributes map[string]string // set or changed; others stay
}

// CreateTopic creates or changes a topic on one broker, or on every broker of the
// cluster when broker is "". When it returns, a name server tells of those queues.
func (c *Client) CreateTopic(ctx context.Context, t TopicConfig, broker string) error {
	if err := message.CheckTopic(t.Name); err != nil {
		return fmt.Errorf("create topic: %w", err)
	}
	if t.Queues < 1 || t.Queues > maxQueues {
		return fmt.Errorf("create topic %s: it needs 1 to %d queues, not %d", t.Name, maxQueues, t.Queues)
	}
	brokers, err := c.targets(ctx, broker)
	if err == nil {
		err = c.onBrokers(ctx, brokers, t.command)
	}
	if err == nil {
		err = c.waitForRoute(ctx, t, brokers)
	}
	if err != nil {
		return fmt.Errorf("create topic %s: %w", t.Name, err)
	}
	return nil
}

// waitForRoute asks until a name server knows the topic's queues on every broker:
// brokers register a moment after they answer.
func (c *Client) waitForRoute(ctx context.Context, t TopicConfig, brokers []string) error {
	ctx, cancel := context.WithTimeout(ctx, c.s.Config().RequestTimeout)
	defer cancel()
	for wait := 2 * time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		route, err := c.s.Refresh(ctx, t.Name)
		if err == nil && announced(route, t, brokers) {
			return nil
		}
		if ended := pause.For(ctx, wait); ended != nil {
			return fmt.Errorf("the brokers made it, but no name server tells of it yet: %w", errors.Join(ended, err))
		}
	}
}

func announced(route *routecache.Route, t TopicConfig, brokers []string) bool {
	have := make(map[string]int)
	for _, q := range route.Queues {
		have[q.Broker] = int(max(q.ReadQueues, q.WriteQueues))
	}
	for _, b := range brokers {
		if have[b] != t.Queues {
			return false
		}
	}
	return true
}

func (t TopicConfig) command() *remoting.Command {
	perm := t.Perm
	if perm == 0 {
		perm = PermRead | PermWrite
	}
	parts := make([]string, 0, len(t.Attributes))
	for _, k := range slices.Sorted(maps.Keys(t.Attributes)) {
		parts = append(parts, "+"+k+"="+t.Attributes[k])
	}
	return session.Request(protocol.UpdateAndCreateTopic, &protocol.CreateTopicHeader{
		Topic: t.Name, DefaultTopic: message.TopicAutoCreate,
		ReadQueueNums: int32(t.Queues), WriteQueueNums: int32(t.Queues), Perm: int32(perm),
		TopicFilterType: protocol.FilterSingleTag, Attributes: strings.Join(parts, ","),
	})
}

// ErrNoTopic says that no broker had the topic that was to be deleted.
var ErrNoTopic = errors.New("there is no such topic")

// DeleteTopic removes a topic and its messages from one broker, or from every broker
// and the name servers when broker is "". A topic that belongs to a writer is refused;
// one that no broker has is ErrNoTopic, though what was left of it goes.
func (c *Client) DeleteTopic(ctx context.Context, topic, broker string) error {
	return c.deleteTopic(ctx, topic, broker, false)
}

// ForceDeleteTopic is DeleteTopic for topics that belong to a writer: those of a pipeline
// that is deleted.
func (c *Client) ForceDeleteTopic(ctx context.Context, topic, broker string) error {
	return c.deleteTopic(ctx, topic, broker, true)
}

func (c *Client) deleteTopic(ctx context.Context, topic, broker string, force bool) error {
	brokers, err := c.targets(ctx, broker)
	existed := false
	if err == nil {
		var errs []error
		for _, b := range brokers {
			had, err := c.deleteOn(ctx, b, &protocol.DeleteTopicHeader{Topic: topic, Force: force})
			existed = existed || had
			errs = append(errs, err)
		}
		err = errors.Join(errs...)
	}
	if err == nil && broker == "" {
		for _, ns := range c.s.Config().NameServers {
			err = errors.Join(err, c.call(ctx, ns, session.Request(protocol.DeleteTopicInNamesrv,
				&protocol.DeleteTopicInNamesrvHeader{Topic: topic})))
		}
	}
	if err == nil && !existed {
		err = ErrNoTopic
	}
	if err != nil {
		return fmt.Errorf("delete topic %s: %w", topic, err)
	}
	return nil
}

// deleteOn tells whether the broker had the topic; Apache RocketMQ's does not say, so that
// it is believed to have had it.
func (c *Client) deleteOn(ctx context.Context, broker string, h *protocol.DeleteTopicHeader) (existed bool, err error) {
	ans, err := c.s.Call(ctx, broker, func() *remoting.Command { return session.Request(protocol.DeleteTopicInBroker, h) })
	var said protocol.DeleteTopicResponseHeader
	if err == nil {
		err = said.Decode(ans)
	}
	if err != nil {
		return false, fmt.Errorf("broker %s: %w", broker, err)
	}
	return !said.Missing, nil
}

// targets is one broker, or all of them for "".
func (c *Client) targets(ctx context.Context, broker string) ([]string, error) {
	if broker != "" {
		return []string{broker}, nil
	}
	cl, err := c.ClusterInfo(ctx)
	if err != nil {
		return nil, err
	}
	if len(cl.Brokers) == 0 {
		return nil, errors.New("no broker is registered with these name servers")
	}
	names := make([]string, len(cl.Brokers))
	for i, b := range cl.Brokers {
		names[i] = b.Name
	}
	return names, nil
}

// onBrokers sends a request to the brokers' masters, and tells which did not carry it
// out.
func (c *Client) onBrokers(ctx context.Context, brokers []string, mk func() *remoting.Command) error {
	var errs []error
	for _, b := range brokers {
		errs = append(errs, c.onBroker(ctx, b, mk))
	}
	return errors.Join(errs...)
}

func (c *Client) onBroker(ctx context.Context, broker string, mk func() *remoting.Command) error {
	if _, err := c.s.Call(ctx, broker, mk); err != nil {
		return fmt.Errorf("broker %s: %w", broker, err)
	}
	return nil
}

func (c *Client) call(ctx context.Context, addr string, req *remoting.Command) error {
	ctx, cancel := context.WithTimeout(ctx, c.s.Config().RequestTimeout)
	defer cancel()
	ans, err := c.s.Invoke(ctx, addr, req)
	if err == nil {
		err = protocol.AsError(ans)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", addr, err)
	}
	return nil
}
