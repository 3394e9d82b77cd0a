package routecache

import (
	"cmp"
	"slices"
	"sync"

	"github.com/millrace/millrace/message"
)

// Permission bits of a topic on a broker.
const (
	permWrite = 2
	permRead  = 4
)

// MasterID is the id of the broker that takes writes.
const MasterID = 0

// QueueData is a topic's share of one broker.
type QueueData struct {
	Broker      string
	ReadQueues  int32
	WriteQueues int32
	Perm        int32
}

// BrokerData is where a broker's members listen.
type BrokerData struct {
	Cluster string
	Name    string
	Addrs   map[int64]string
}

// Route is what is known of one topic.
type Route struct {
	Topic   string
	Queues  []QueueData     // sorted by broker
	Write   []message.Queue // queues that take messages, brokers without a master included
	Read    []message.Queue
	Brokers []BrokerData // sorted by name
}

// maxQueues bounds what a name server's answer can make us allocate.
const maxQueues = 65536

// Build makes a route of a name server's answer.
func Build(topic string, queues []QueueData, brokers []BrokerData) *Route {
	r := &Route{Topic: topic, Queues: slices.Clone(queues), Brokers: slices.Clone(brokers)}
	slices.SortFunc(r.Brokers, func(a, b BrokerData) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortStableFunc(r.Queues, func(a, b QueueData) int { return cmp.Compare(a.Broker, b.Broker) })
	for _, q := range r.Queues {
		if q.Perm&permWrite != 0 {
			r.Write = appendQueues(r.Write, topic, q.Broker, q.WriteQueues)
		}
		if q.Perm&permRead != 0 {
			r.Read = appendQueues(r.Read, topic, q.Broker, q.ReadQueues)
		}
	}
	return r
}

func appendQueues(dst []message.Queue, topic, broker string, n int32) []message.Queue {
	for id := range min(n, int32(maxQueues-len(dst))) {
		dst = append(dst, message.Queue{Topic: topic, BrokerName: broker, QueueID: id})
	}
	return dst
}

// Master is the address of a broker's master as this route tells it.
func (r *Route) Master(broker string) (string, bool) {
	i, ok := slices.BinarySearchFunc(r.Brokers, broker, func(b BrokerData, n string) int { return cmp.Compare(b.Name, n) })
	if !ok {
		return "", false
	}
	addr := r.Brokers[i].Addrs[MasterID]
	return addr, addr != ""
}

// Cache holds the newest route of each topic and the newest addresses of each broker.
type Cache struct {
	mu      sync.RWMutex
	routes  map[string]*Route
	brokers map[string]BrokerData
}

// New makes an empty cache.
func New() *Cache {
	return &Cache{routes: make(map[string]*Route), brokers: make(map[string]BrokerData)}
}

// Get returns a topic's route, nil when it is not known.
func (c *Cache) Get(topic string) *Route {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.routes[topic]
}

// Put stores a route and the broker addresses that came with it. It tells whether the
// topic's queues changed.
func (c *Cache) Put(r *Route) (changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.routes[r.Topic]
	c.routes[r.Topic] = r
	for _, b := range r.Brokers {
		c.brokers[b.Name] = b
	}
	return old == nil || !slices.Equal(old.Write, r.Write) || !slices.Equal(old.Read, r.Read)
}

// Drop forgets a topic.
func (c *Cache) Drop(topic string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.routes, topic)
}

// PutBrokers replaces the addresses of brokers that were asked for by name.
func (c *Cache) PutBrokers(brokers []BrokerData) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range brokers {
		c.brokers[b.Name] = b
	}
}

// Master returns the address of a broker's master.
func (c *Cache) Master(broker string) (string, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	addr := c.brokers[broker].Addrs[MasterID]
	return addr, addr != ""
}

// Topics returns the topics in the cache, sorted.
func (c *Cache) Topics() []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	topics := make([]string, 0, len(c.routes))
	for t := range c.routes {
		topics = append(topics, t)
	}
	slices.Sort(topics)
	return topics
}

// Brokers returns every broker that a cached route names, sorted by name.
func (c *Cache) Brokers() []BrokerData {
	c.mu.RLock()
	defer c.mu.RUnlock()
	brokers := make([]BrokerData, 0, len(c.brokers))
	for _, b := range c.brokers {
		brokers = append(brokers, b)
	}
	slices.SortFunc(brokers, func(a, b BrokerData) int { return cmp.Compare(a.Name, b.Name) })
	return brokers
}
