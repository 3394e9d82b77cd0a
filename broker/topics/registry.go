package topics

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting/protocol"
)

// Limits bound what clients can create.
type Limits struct {
	Topics      int
	QueuesTopic int32 // of one topic
	QueuesTotal int64
}

// Options configure a Registry.
type Options struct {
	FS   vfs.FS
	File string // …/config/topics.json
	// AutoCreate lets a send create its topic; DefaultQueues bounds its queues.
	AutoCreate    bool
	DefaultQueues int32
	// Cluster and Broker have a topic each, as tools expect.
	Cluster, Broker string
	Limits          Limits
	Now             func() time.Time
	Log             *slog.Logger
}

// table is one immutable version of everything.
type table struct {
	topics  map[string]*Config
	queues  int64
	version protocol.DataVersion
}

// Registry is safe for concurrent use. Reading takes no lock.
type Registry struct {
	opts Options
	now  atomic.Pointer[table]

	mu sync.Mutex // held while a new version is made durable

	listenersMu sync.Mutex
	listeners   []func()
}

// New reads the file, when there is one, and adds the system topics. It writes nothing.
func New(opts Options) (*Registry, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	r := &Registry{opts: opts}
	t, err := load(opts.FS, opts.File, opts.Log)
	if err != nil {
		return nil, err
	}
	for _, c := range r.system() {
		if t.topics[c.TopicName] == nil {
			t.topics[c.TopicName] = c
		}
	}
	for _, c := range t.topics {
		t.queues += int64(c.Queues())
	}
	r.now.Store(t)
	return r, nil
}

func (r *Registry) system() []*Config {
	topic := func(name string, queues, perm int32) *Config {
		return &Config{TopicName: name, ReadQueueNums: queues, WriteQueueNums: queues, Perm: perm, TopicFilterType: protocol.FilterSingleTag}
	}
	list := []*Config{
		topic(message.TopicSelfTest, 1, protocol.PermRead|protocol.PermWrite),
		topic(message.TopicBenchmark, 1024, protocol.PermRead|protocol.PermWrite),
		topic(message.TopicOffsetMoved, 1, protocol.PermRead|protocol.PermWrite),
		topic(message.TopicTransactionHalf, 1, protocol.PermRead|protocol.PermWrite),
		topic(message.TopicTransactionOp, 1, protocol.PermRead|protocol.PermWrite),
		topic(message.TopicTransactionCheckMax, 1, protocol.PermRead|protocol.PermWrite),
		topic(r.opts.Cluster, 16, protocol.PermRead|protocol.PermWrite|protocol.PermInherit),
		topic(r.opts.Broker, 1, protocol.PermRead|protocol.PermWrite|protocol.PermInherit),
	}
	if r.opts.AutoCreate {
		list = append(list, topic(message.TopicAutoCreate, r.opts.DefaultQueues, protocol.PermRead|protocol.PermWrite|protocol.PermInherit))
	}
	return slices.DeleteFunc(list, func(c *Config) bool { return c.TopicName == "" })
}

// IsSystem tells topics that clients cannot create or delete here.
func (r *Registry) IsSystem(name string) bool {
	return message.IsSystemTopic(name) || name == r.opts.Cluster || name == r.opts.Broker
}

// OnChange adds a function that is called after every change, on the goroutine that
// made it; it must not block.
func (r *Registry) OnChange(fn func()) {
	r.listenersMu.Lock()
	defer r.listenersMu.Unlock()
	r.listeners = append(r.listeners, fn)
}

// Get returns a topic; the Config is shared and must not be changed.
func (r *Registry) Get(name string) (*Config, bool) {
	c, ok := r.now.Load().topics[name]
	return c, ok
}

// All returns every topic and the version of the table, sorted by name.
func (r *Registry) All() ([]*Config, protocol.DataVersion) {
	t := r.now.Load()
	list := make([]*Config, 0, len(t.topics))
	for _, name := range slices.Sorted(maps.Keys(t.topics)) {
		list = append(list, t.topics[name])
	}
	return list, t.version
}

// Version is the version of the table.
func (r *Registry) Version() protocol.DataVersion { return r.now.Load().version }

// Put creates or changes a topic, durably. changed is false when it was so already.
func (r *Registry) Put(c Config) (changed bool, err error) {
	if c.TopicFilterType == "" {
		c.TopicFilterType = protocol.FilterSingleTag
	}
	if err := c.validate(r.opts.Limits.QueuesTopic); err != nil {
		return false, err
	}
	if r.IsSystem(c.TopicName) {
		return false, fmt.Errorf("topic %s: %w", c.TopicName, ErrSystem)
	}
	return r.edit(func(t *table) error { return r.admit(t, &c) })
}

// admit enters c into t, which is not published yet.
func (r *Registry) admit(t *table, c *Config) error {
	old := t.topics[c.TopicName]
	if old == nil {
		old = &Config{}
		if len(t.topics) >= r.opts.Limits.Topics {
			return fmt.Errorf("topic %s: %w (%d topics)", c.TopicName, ErrTooMany, r.opts.Limits.Topics)
		}
	} else {
		if old.equal(c) {
			return errUnchanged
		}
		if old.Writer() != c.Writer() {
			return fmt.Errorf("topic %s: its writer is %q and cannot become %q; delete the topic first: %w", c.TopicName,
				old.Writer(), c.Writer(), ErrOwned)
		}
		if c.Writer() != "" && c.Queues() < old.Queues() {
			return fmt.Errorf("topic %s: its %d queues cannot become fewer while they are owned: %w", c.TopicName, old.Queues(), ErrOwned)
		}
	}
	if t.queues += int64(c.Queues()) - int64(old.Queues()); t.queues > r.opts.Limits.QueuesTotal {
		return fmt.Errorf("topic %s: %w (%d queues)", c.TopicName, ErrTooMany, r.opts.Limits.QueuesTotal)
	}
	t.topics[c.TopicName] = c
	return nil
}

// Delete forgets a topic, durably. What the store has of it is the caller's to delete. A
// topic that belongs to a writer is ErrOwned unless it is forced.
func (r *Registry) Delete(name string, force bool) (existed bool, err error) {
	if r.IsSystem(name) {
		return false, fmt.Errorf("topic %s: %w", name, ErrSystem)
	}
	return r.edit(func(t *table) error {
		c := t.topics[name]
		if c == nil {
			return errUnchanged
		}
		if w := c.Writer(); w != "" && !force {
			return fmt.Errorf("topic %s belongs to writer %s, which would go on without what it holds; delete its pipeline instead "+
				"(millrace pipeline delete %s), or this topic alone by force (millrace admin topic delete %s --yes --force): %w",
				name, w, w, name, ErrOwned)
		}
		t.queues -= int64(c.Queues())
		delete(t.topics, name)
		return nil
	})
}

// EnsureSend returns the topic that a producer sends to, creating it when that is
// allowed: with as many queues as the producer asked for, at most those of the default
// topic. created tells whether this call made it. ErrUnknown says that the topic does not
// exist and is not created.
func (r *Registry) EnsureSend(name, defaultTopic string, queues int32) (topic *Config, created bool, err error) {
	if c, ok := r.Get(name); ok {
		return c, false, nil
	}
	if err := message.CheckTopic(name); err != nil {
		return nil, false, fmt.Errorf("%w: %w", ErrName, err)
	}
	c := Config{TopicName: name, Perm: protocol.PermRead | protocol.PermWrite, ReadQueueNums: 1, WriteQueueNums: 1}
	if !message.IsRetryTopic(name) {
		parent, ok := r.Get(defaultTopic)
		if !ok || !r.opts.AutoCreate || parent.Perm&protocol.PermInherit == 0 {
			return nil, false, fmt.Errorf("topic %s: %w, and a send does not create it (autoCreateTopicEnable is off, or it does not inherit from "+
				"%q); create it first", name, ErrUnknown, defaultTopic)
		}
		n := min(max(queues, 1), parent.WriteQueueNums)
		c.ReadQueueNums, c.WriteQueueNums = n, n
		c.Perm, c.TopicSysFlag = parent.Perm&^protocol.PermInherit, parent.TopicSysFlag
	}
	return r.ensure(c)
}

// EnsureRetry creates a group's retry topic.
func (r *Registry) EnsureRetry(group string, queues int32) (*Config, error) {
	name := message.RetryTopic(group)
	if c, ok := r.Get(name); ok {
		return c, nil
	}
	c, _, err := r.ensure(Config{TopicName: name, Perm: protocol.PermRead | protocol.PermWrite, ReadQueueNums: queues, WriteQueueNums: queues})
	return c, err
}

func (r *Registry) ensure(c Config) (topic *Config, created bool, err error) {
	c.TopicFilterType = protocol.FilterSingleTag
	if err := c.validate(r.opts.Limits.QueuesTopic); err != nil {
		return nil, false, err
	}
	// Somebody else may have been quicker, with other numbers: theirs hold.
	if created, err = r.edit(func(t *table) error {
		if t.topics[c.TopicName] != nil {
			return errUnchanged
		}
		return r.admit(t, &c)
	}); err != nil {
		return nil, false, err
	}
	got, ok := r.Get(c.TopicName)
	if !ok {
		return nil, false, fmt.Errorf("topic %s was deleted just now: %w", c.TopicName, ErrUnknown)
	}
	return got, created, nil
}
