package writer

import (
	"cmp"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/broker/store"
	"github.com/millrace/millrace/message"
)

// Owned is a topic that belongs to a writer.
type Owned struct {
	Topic  string
	Queues int32
}

// Topics knows which topics were declared to belong to a writer.
type Topics interface {
	// Writer is the name of the topic's owner, "" when it has none.
	Writer(topic string) string
	// Owned lists the topics of a writer.
	Owned(writer string) []Owned
}

// Appender is what the registry needs of the store.
type Appender interface {
	Put(*store.PutRequest)
	NextOffset(topic string, queueID int32) int64
	FlushedPhysical() int64
}

// queue is what is known of one owned queue: its last message.
type queue struct {
	id     store.QueueID
	owner  *state
	hi     uint64
	to     string
	offset int64 // queue offset of that message; -1 = the queue never had one
	phys   int64 // its place in the log
	// recorded is the hi that the newest record of the owner says.
	recorded  uint64
	forgotten bool
}

// base is the newest message with property mr_base.
type base struct {
	topic   string
	queueID int32
	offset  int64
	phys    int64
}

// noBase stands where no message had the property.
var noBase = base{offset: -1, phys: -1}

// state is what is known of one writer.
type state struct {
	name   string
	term   uint64
	opener string
	// opening is the term of an opening whose record is on its way. Lower terms are
	// refused from that moment, so that the record can be exact.
	opening   uint64
	openingBy string
	// members rises when a queue gets its first message or is forgotten: a record that
	// does not name a queue says that it is forgotten.
	members uint64
	queues  map[store.QueueID]*queue
	base    base
	openAt  int64 // place of the newest record; -1 = none
	// dirty says that the newest record must be replaced soon: it tells of a topic that
	// is gone.
	dirty   bool
	pending int64 // bytes of undecided halves
}

// Registry knows every writer. It is safe for concurrent use.
type Registry struct {
	cfg     Config
	topics  Topics
	log     Appender
	refused *prometheus.CounterVec

	mu      sync.Mutex
	writers map[string]*state
}

// New returns an empty registry; package txn fills it from the log. reg may be nil.
func New(cfg Config, topics Topics, log Appender, reg prometheus.Registerer) *Registry {
	r := &Registry{
		cfg: cfg, topics: topics, log: log,
		writers: map[string]*state{},
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "millrace_writer_refused_total",
			Help: "Requests to owned queues that were refused, by reason.",
		}, []string{"reason"}),
	}
	if reg != nil {
		reg.MustRegister(r.refused, pendingGauge{r})
	}
	return r
}

// Refused counts a refusal in the metrics and returns it. Each refusal that leaves the
// broker is counted once, where it is answered.
func (r *Registry) Refused(err error) error {
	r.refused.WithLabelValues(Reason(err)).Inc()
	return err
}

// Owner is the name of the writer that owns a topic, "" when none does.
func (r *Registry) Owner(topic string) string { return r.topics.Writer(topic) }

// Term is a writer's current term, 0 when it was never opened.
func (r *Registry) Term(name string) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w := r.writers[name]; w != nil {
		return w.term
	}
	return 0
}

// PendingBytes is what a writer's undecided halves take.
func (r *Registry) PendingBytes(name string) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w := r.writers[name]; w != nil {
		return w.pending
	}
	return 0
}

// Forget drops what is known of a deleted topic's queues. A topic of the same name starts
// anew. [Registry.Settle] makes that durable.
func (r *Registry) Forget(topic string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.writers {
		for id, q := range w.queues {
			if id.Topic == topic {
				w.forgetLocked(q)
			}
		}
		if w.base.topic == topic {
			w.base = noBase
			w.dirty = true
		}
	}
}

// ForgetLost drops what the log's records say of queues that are no more: their topic does
// not belong to the writer, and the log has given no such offset out. The record that
// should have said so was lost with the power. Call it when the log has been read.
func (r *Registry) ForgetLost() {
	for _, q := range r.strays() {
		if r.log.NextOffset(q.id.Topic, q.id.ID) > q.offset {
			continue // its messages are still there: a topic of that name goes on with them
		}
		r.mu.Lock()
		q.owner.forgetLocked(q)
		r.mu.Unlock()
	}
}

// strays are the queues with messages whose topics do not belong to their writers.
func (r *Registry) strays() (list []*queue) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.writers {
		for id, q := range w.queues {
			if q.offset >= 0 && r.topics.Writer(id.Topic) != w.name {
				list = append(list, q)
			}
		}
	}
	return list
}

// forgetLocked drops a queue, and the base that it holds.
func (w *state) forgetLocked(q *queue) {
	q.forgotten = true
	delete(w.queues, q.id)
	if w.base.topic == q.id.Topic && w.base.queueID == q.id.ID {
		w.base = noBase
	}
	w.members++
	w.dirty = true
}

func (r *Registry) writerLocked(name string) *state {
	w := r.writers[name]
	if w == nil {
		w = &state{name: name, queues: map[store.QueueID]*queue{}, openAt: -1, base: noBase}
		r.writers[name] = w
	}
	return w
}

func (w *state) queueLocked(id store.QueueID) *queue {
	q := w.queues[id]
	if q == nil {
		q = &queue{id: id, owner: w, offset: -1, phys: -1}
		w.queues[id] = q
	}
	return q
}

func (q *queue) setLocked(l *Link, offset, phys int64) {
	if q.hi == 0 {
		q.owner.members++
	}
	q.hi, q.to, q.offset, q.phys = l.Hi, l.To, offset, phys
	if l.Base {
		q.owner.base = base{topic: q.id.Topic, queueID: q.id.ID, offset: offset, phys: phys}
	}
}

// Apply takes over what a record of the log says: an opening, or a message of an owned
// queue. It is called in log order, when the state is rebuilt and for every record that
// becomes readable; what is known already changes nothing.
func (r *Registry) Apply(rec *message.Record, phys int64) error {
	if rec.Topic == Topic {
		return r.applyRecord(rec.Body, phys)
	}
	owner := r.topics.Writer(rec.Topic)
	if owner == "" {
		return nil
	}
	if r.knows(owner, store.QueueID{Topic: rec.Topic, ID: rec.QueueID}, phys) {
		return nil
	}
	l, err := ParseLink(rec.Properties)
	if err != nil || l.Writer != owner {
		return nil // from before the topic was declared
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.writerLocked(owner)
	q := w.queueLocked(store.QueueID{Topic: clone(rec.Topic), ID: rec.QueueID})
	if phys > q.phys && l.Hi > q.hi {
		q.setLocked(&l, rec.QueueOffset, phys)
	}
	return nil
}

// knows tells whether the message at phys is known already.
func (r *Registry) knows(owner string, id store.QueueID, phys int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.writers[owner]
	if w == nil {
		return false
	}
	q := w.queues[id]
	return q != nil && q.phys >= phys
}

func sortedQueues(w *state) []*queue {
	qs := make([]*queue, 0, len(w.queues))
	for _, q := range w.queues {
		qs = append(qs, q)
	}
	slices.SortFunc(qs, func(a, b *queue) int {
		return cmp.Or(cmp.Compare(a.id.Topic, b.id.Topic), cmp.Compare(a.id.ID, b.id.ID))
	})
	return qs
}
