package route

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// DefaultTimeout is how long a broker is believed to live after its last word.
const DefaultTimeout = 120 * time.Second

// MasterID is the broker id of a master; others are slaves.
const MasterID = 0

// Errors that refuse a registration; all are wrapped with the broker's name.
var (
	ErrTooMany = errors.New("too many brokers or topics at this name server")
	ErrTaken   = errors.New("another broker that is alive has this name and id")
	ErrInvalid = errors.New("not a broker's registration")
)

// Version orders the versions of a broker's topic table.
type Version struct{ State, Timestamp, Counter int64 }

// Topic is one topic of one broker.
type Topic struct {
	ReadQueues, WriteQueues int32
	Perm                    int32
	SysFlag                 int32
}

// Broker identifies one broker process.
type Broker struct {
	Cluster, Name string
	ID            int64
	Addr          string
}

// Registration is a broker's word about itself. The table owns Topics afterwards.
type Registration struct {
	Broker
	HAAddr  string
	Conn    any // comparable; DropConn takes the broker away
	Timeout time.Duration
	Version Version
	Topics  map[string]Topic
}

// Limits bound what brokers can register.
type Limits struct {
	Brokers int // processes
	Topics  int // of one broker name
}

type process struct {
	Broker
	haAddr  string
	conn    any
	timeout time.Duration
	version Version
	last    time.Time
}

// group is all processes that share a broker name: a master and its slaves.
type group struct {
	cluster   string
	processes map[int64]*process
	topics    map[string]Topic
}

// Table is what is known now. The zero value is not usable; see New.
type Table struct {
	limits Limits
	groups map[string]*group // by broker name
	count  int
}

// New returns an empty table.
func New(limits Limits) *Table { return &Table{limits: limits, groups: map[string]*group{}} }

// Register enters or refreshes a broker and returns its group's master, if that is alive.
func (t *Table) Register(now time.Time, r Registration) (master string, masterHA string, err error) {
	if r.Name == "" || r.Cluster == "" || r.Addr == "" || r.ID < 0 {
		return "", "", fmt.Errorf("broker %q at %q, id %d, cluster %q: %w", r.Name, r.Addr, r.ID, r.Cluster, ErrInvalid)
	}
	if len(r.Topics) > t.limits.Topics {
		return "", "", fmt.Errorf("broker %s with %d topics: %w", r.Name, len(r.Topics), ErrTooMany)
	}
	g := t.groups[r.Name]
	if g != nil && g.cluster != r.Cluster {
		return "", "", fmt.Errorf("broker %s of cluster %s is known in cluster %s: %w", r.Name, r.Cluster, g.cluster, ErrTaken)
	}
	if g == nil {
		g = &group{cluster: r.Cluster, processes: map[int64]*process{}}
	}
	p := g.processes[r.ID]
	if p != nil && p.Addr != r.Addr {
		return "", "", fmt.Errorf("broker %s, id %d: %s is alive and %s wants to be it: %w; give each broker its own brokerName", r.Name, r.ID,
			p.Addr, r.Addr, ErrTaken)
	}
	if p == nil {
		if t.count >= t.limits.Brokers {
			return "", "", fmt.Errorf("broker %s: %w", r.Name, ErrTooMany)
		}
		t.dropAddr(g, r.Addr) // the same process with another role
		p = &process{}
		t.count++
	}
	if r.Timeout <= 0 {
		r.Timeout = DefaultTimeout
	}
	if p.conn == r.Conn && p.version == r.Version && r.Version != (Version{}) {
		g.keepPerms(r.Topics)
	}
	*p = process{Broker: r.Broker, haAddr: r.HAAddr, conn: r.Conn, timeout: r.Timeout, version: r.Version, last: now}
	g.processes[r.ID] = p
	t.groups[r.Name] = g
	if g.topics == nil || r.ID == g.leader() {
		g.topics = r.Topics
	}
	if m := g.processes[MasterID]; m != nil && r.ID != MasterID {
		return m.Addr, m.haAddr, nil
	}
	return "", "", nil
}

// keepPerms has topics keep the perms that they have here: a broker that repeats itself
// does not know what ChangePerm did.
func (g *group) keepPerms(topics map[string]Topic) {
	for name, topic := range topics {
		if known, ok := g.topics[name]; ok {
			topic.Perm = known.Perm
			topics[name] = topic
		}
	}
}

// leader is the id whose word about topics holds: the master's, else the smallest.
func (g *group) leader() int64 {
	return slices.Min(slices.Collect(maps.Keys(g.processes)))
}

func (t *Table) dropAddr(g *group, addr string) {
	for id, p := range g.processes {
		if p.Addr == addr {
			delete(g.processes, id)
			t.count--
		}
	}
}

// Changed tells whether a broker must register in full because the table has another
// version, or nothing of it. A question is a sign of life.
func (t *Table) Changed(now time.Time, b Broker, v Version) bool {
	p := t.find(b)
	if p == nil {
		return true
	}
	p.last = now
	return p.version != v
}

// Known tells whether this very process is registered.
func (t *Table) Known(b Broker) bool { return t.find(b) != nil }

func (t *Table) find(b Broker) *process {
	g := t.groups[b.Name]
	if g == nil || g.cluster != b.Cluster {
		return nil
	}
	if p := g.processes[b.ID]; p != nil && p.Addr == b.Addr {
		return p
	}
	return nil
}

// Heard is when a broker said something last.
func (t *Table) Heard(b Broker) (last time.Time, ok bool) {
	p := t.find(b)
	if p == nil {
		return last, false
	}
	return p.last, true
}

// Holder is who has the name and id of a broker of the same cluster at another address, and
// when it said something last.
func (t *Table) Holder(b Broker) (holder Broker, last time.Time, ok bool) {
	g := t.groups[b.Name]
	if g == nil || g.cluster != b.Cluster {
		return holder, last, false
	}
	p := g.processes[b.ID]
	if p == nil || p.Addr == b.Addr {
		return holder, last, false
	}
	return p.Broker, p.last, true
}

// Unregister forgets a broker that says goodbye.
func (t *Table) Unregister(b Broker) bool {
	p := t.find(b)
	if p == nil {
		return false
	}
	t.drop(func(q *process) bool { return q == p })
	return true
}

// DropConn forgets the brokers whose connection is gone.
func (t *Table) DropConn(conn any) []Broker {
	return t.drop(func(p *process) bool { return p.conn == conn })
}

// Expire forgets the brokers that were silent for longer than their timeout.
func (t *Table) Expire(now time.Time) []Broker {
	return t.drop(func(p *process) bool { return now.Sub(p.last) > p.timeout })
}

func (t *Table) drop(gone func(*process) bool) (dropped []Broker) {
	for name, g := range t.groups {
		for id, p := range g.processes {
			if gone(p) {
				dropped = append(dropped, p.Broker)
				delete(g.processes, id)
				t.count--
			}
		}
		if len(g.processes) == 0 {
			delete(t.groups, name)
		}
	}
	return dropped
}

// DeleteTopic forgets a topic on all brokers, or on those of one cluster, until a broker
// registers it again.
func (t *Table) DeleteTopic(topic, cluster string) {
	for _, g := range t.groups {
		if cluster == "" || g.cluster == cluster {
			delete(g.topics, topic)
		}
	}
}

// ChangePerm sets or clears bits of the perm of all topics of a broker, until it
// registers a changed table of topics or anew, and returns how many were changed.
func (t *Table) ChangePerm(broker string, set, clear int32) (n int) {
	g := t.groups[broker]
	if g == nil {
		return 0
	}
	for name, topic := range g.topics {
		topic.Perm = topic.Perm&^clear | set
		g.topics[name] = topic
		n++
	}
	return n
}
