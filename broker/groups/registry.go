package groups

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace/remoting"
)

// ErrTooMany refuses a group or a member for which there is no room.
var ErrTooMany = errors.New("too many clients or groups on this broker")

// Expiry is how long a client lives without a heartbeat.
const Expiry = 120 * time.Second

// Channel is a client's connection. Implementations are comparable.
type Channel interface {
	Oneway(*remoting.Command) error
	RemoteAddr() net.Addr
}

// Client is one member of a group.
type Client struct {
	ID       string
	Channel  Channel
	Language remoting.Language
	Version  int
}

// Consumer is how a consumer group consumes, and what.
type Consumer struct {
	Type          string // CONSUME_PASSIVELY, …
	Model         string // CLUSTERING or BROADCASTING
	FromWhere     string
	Subscriptions []*Subscription
}

// Limits bound what clients can register.
type Limits struct {
	Groups        int // of each kind
	Members       int // of one group
	Subscriptions int // of one group
}

// Changed is told who remains when the members of a consumer group changed.
type Changed func(group string, members []Channel)

type member struct {
	Client
	beat time.Time
}

// memberKey names a member. A client id is not enough: processes in containers of one
// address and pid have the same, and one that goes must not take another along.
type memberKey struct {
	channel Channel
	id      string
}

type consumerGroup struct {
	info          Consumer
	subscriptions map[string]*Subscription
	members       map[memberKey]*member
	conflicts     int64     // beats that contradicted another member's subscription
	lastBeat      memberKey // whose subscriptions these are
}

type producerGroup struct {
	members []*member
	next    int
}

// Registry is safe for concurrent use.
type Registry struct {
	limits  Limits
	changed Changed

	mu        sync.RWMutex
	consumers map[string]*consumerGroup
	producers map[string]*producerGroup
}

// NewRegistry returns an empty registry that reports changes of consumer groups.
func NewRegistry(limits Limits, changed Changed) *Registry {
	if changed == nil {
		changed = func(string, []Channel) {}
	}
	return &Registry{
		limits:    limits,
		changed:   changed,
		consumers: map[string]*consumerGroup{},
		producers: map[string]*producerGroup{},
	}
}

// BeatConsumer enters or refreshes a consumer.
func (r *Registry) BeatConsumer(now time.Time, group string, c Client, info Consumer) error {
	changed, err := r.beatConsumer(now, group, c, info)
	if changed {
		r.notify(group)
	}
	return err
}

func (r *Registry) beatConsumer(now time.Time, group string, c Client, info Consumer) (changed bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.consumers[group]
	if g == nil {
		if len(r.consumers) >= r.limits.Groups {
			return false, fmt.Errorf("consumer group %s: %w", group, ErrTooMany)
		}
		g = &consumerGroup{subscriptions: map[string]*Subscription{}, members: map[memberKey]*member{}}
	}
	if len(info.Subscriptions) > r.limits.Subscriptions {
		return false, fmt.Errorf("consumer group %s subscribes to %d topics: %w", group, len(info.Subscriptions), ErrTooMany)
	}
	key := memberKey{c.Channel, c.ID}
	m := g.members[key]
	if m == nil && len(g.members) >= r.limits.Members {
		return false, fmt.Errorf("consumer group %s: %w", group, ErrTooMany)
	}
	r.consumers[group] = g
	if m == nil {
		m, changed = &member{}, true
		g.members[key] = m
	}
	m.Client, m.beat = c, now
	return g.subscribe(key, info) || changed, nil
}

// subscribe replaces what the group wants by what its latest member says.
func (g *consumerGroup) subscribe(key memberKey, info Consumer) (changed bool) {
	g.info = info
	g.info.Subscriptions = nil
	fresh := make(map[string]*Subscription, len(info.Subscriptions))
	for _, s := range info.Subscriptions {
		old := g.subscriptions[s.Topic]
		switch {
		case old == nil:
			changed = true
		case old.Version > s.Version:
			s = old // an older beat of a member that is behind
		case old.Expression != s.Expression && g.lastBeat.id != key.id && g.members[g.lastBeat] != nil:
			g.conflicts++
		}
		fresh[s.Topic] = s
	}
	changed = changed || len(fresh) != len(g.subscriptions)
	g.subscriptions, g.lastBeat = fresh, key
	return changed
}

// BeatProducer enters or refreshes a producer.
func (r *Registry) BeatProducer(now time.Time, group string, c Client) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.producers[group]
	if g == nil {
		if len(r.producers) >= r.limits.Groups {
			return fmt.Errorf("producer group %s: %w", group, ErrTooMany)
		}
		g = &producerGroup{}
	}
	i := slices.IndexFunc(g.members, func(m *member) bool { return m.Channel == c.Channel && m.ID == c.ID })
	switch {
	case i >= 0:
		g.members[i].Client, g.members[i].beat = c, now
	case len(g.members) >= r.limits.Members:
		return fmt.Errorf("producer group %s: %w", group, ErrTooMany)
	default:
		g.members = append(g.members, &member{Client: c, beat: now})
	}
	r.producers[group] = g
	return nil
}

// Leave takes a client of a connection out of the groups that it names; empty names are
// none.
func (r *Registry) Leave(c Channel, id, producer, consumer string) {
	changed := r.remove(
		func(group string, m *member) bool { return group == producer && m.Channel == c && m.ID == id },
		func(group string, m *member) bool { return group == consumer && m.Channel == c && m.ID == id })
	r.notify(changed...)
}

// Drop takes away everything that came over a connection.
func (r *Registry) Drop(c Channel) {
	gone := func(_ string, m *member) bool { return m.Channel == c }
	r.notify(r.remove(gone, gone)...)
}

// Expire takes away everybody who was silent for Expiry.
func (r *Registry) Expire(now time.Time) {
	gone := func(_ string, m *member) bool { return now.Sub(m.beat) > Expiry }
	r.notify(r.remove(gone, gone)...)
}

// remove deletes members and empty groups and names the consumer groups that lost some.
func (r *Registry) remove(producer, consumer func(group string, m *member) bool) (changed []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, g := range r.producers {
		g.members = slices.DeleteFunc(g.members, func(m *member) bool { return producer(name, m) })
		if len(g.members) == 0 {
			delete(r.producers, name)
		}
	}
	for name, g := range r.consumers {
		before := len(g.members)
		for key, m := range g.members {
			if consumer(name, m) {
				delete(g.members, key)
			}
		}
		if len(g.members) != before {
			changed = append(changed, name)
		}
		if len(g.members) == 0 {
			delete(r.consumers, name)
		}
	}
	return changed
}

func (r *Registry) notify(groups ...string) {
	for _, group := range groups {
		r.mu.RLock()
		var members []Channel
		if g := r.consumers[group]; g != nil {
			for _, m := range g.members {
				members = append(members, m.Channel)
			}
		}
		r.mu.RUnlock()
		r.changed(group, members)
	}
}

// Subscription is what a group wants of a topic. known tells whether the group has
// members at all.
func (r *Registry) Subscription(group, topic string) (s *Subscription, known bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	g := r.consumers[group]
	if g == nil {
		return nil, false
	}
	return g.subscriptions[topic], true
}

// Model is how a group consumes: CLUSTERING, BROADCASTING, or "" when it has no members.
func (r *Registry) Model(group string) string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if g := r.consumers[group]; g != nil {
		return g.info.Model
	}
	return ""
}

// MemberIDs are the client ids of a consumer group, sorted. One that several members have is
// there once: clients find their share of the queues by their place in this list, and
// queues of a second place would be nobody's.
func (r *Registry) MemberIDs(group string) []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	g := r.consumers[group]
	if g == nil {
		return nil
	}
	ids := make([]string, 0, len(g.members))
	for key := range g.members {
		ids = append(ids, key.id)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Producer returns one member of a producer group, another each time.
func (r *Registry) Producer(group string) (Client, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.producers[group]
	if g == nil {
		return Client{}, false
	}
	g.next = (g.next + 1) % len(g.members)
	return g.members[g.next].Client, true
}
