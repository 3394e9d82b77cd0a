package txn

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/broker/store"
	"github.com/millrace/millrace/broker/writer"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
)

// Log is what this package needs of the store; *store.Store is one.
type Log interface {
	Put(*store.PutRequest)
	ReadRecord(phys int64) (message.Record, []byte, error)
	Get(topic string, queueID int32, offset int64, o store.GetOptions) (store.GetResult, error)
	QueueRange(topic string, queueID int32) (minOffset, maxOffset int64, ok bool)
	QueryByKey(topic, key string, maxNum int, begin, end int64) (store.QueryResult, error)
	WaitDispatched(ctx context.Context, phys int64) error
	MinPhysical() int64
	MaxPhysical() int64
	FlushedPhysical() int64
	Replay(from int64, fn func(rec *message.Record, phys int64, size int32) error) error
	Subscribe(store.Listener)
	BeforeDelete(func(uptoPhys int64) error)
}

// Channel is a client's connection. Implementations are comparable.
type Channel interface {
	Oneway(*remoting.Command) error
}

// Producers finds somebody to ask about an ordinary half: one live member of a producer
// group, another each time.
type Producers interface {
	Producer(group string) (Channel, bool)
}

// Deps are what a Service stands on.
type Deps struct {
	Log       Log
	Writers   *writer.Registry
	Producers Producers
	FS        vfs.FS
	// SnapshotFile is a file of our own in the store's directory; "" keeps none.
	SnapshotFile string
	BrokerName   string
	StoreHost    netip.AddrPort
	// HalfFloor is the half-queue offset below which a foreign broker has dealt with
	// everything: the offset of group CID_RMQ_SYS_TRANS. nil is 0.
	HalfFloor func() int64
	// Queues is how many queues a topic has, 0 when there is no such topic. nil: all have
	// as many as they are asked for.
	Queues  func(topic string) int32
	Now     func() time.Time // nil is time.Now
	Logger  *slog.Logger
	Metrics prometheus.Registerer // may be nil
}

// Service knows all half messages. It is safe for concurrent use.
type Service struct {
	cfg     Config
	deps    Deps
	log     Log
	writers *writer.Registry
	metrics *metrics
	now     func() time.Time

	// applied is up to where everything in the log is part of the state.
	applied atomic.Int64
	lookups chan struct{} // one token for each look into the log
	wake    chan struct{} // operation records are due
	tasks   sync.WaitGroup

	// lastPhys is the newest record of which the state knows everything, -1 = none.
	lastPhys atomic.Int64
	snap     *snapshot // waits until what it tells is durable; Run's own

	mu      sync.Mutex
	index   *index
	ops     []int64           // half-queue offsets whose operation record is to be written
	holders map[string]holder // of each writer
	asked   map[string]int64  // last check-back to each writer, milliseconds
	replay  *replayState      // while the state is rebuilt
}

// holder is who holds a writer's current term, as seen by its latest request.
type holder struct {
	term    uint64
	channel Channel
}

// Open rebuilds what is known of halves and writers from the log, and subscribes to it.
// The store must be open and not yet running.
func Open(cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Logger == nil {
		deps.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Service{
		cfg: cfg, deps: deps, log: deps.Log, writers: deps.Writers, now: deps.Now,
		lookups: make(chan struct{}, 16),
		wake:    make(chan struct{}, 1),
		index:   newIndex(cfg.Remembered),
		holders: map[string]holder{},
		asked:   map[string]int64{},
	}
	s.lastPhys.Store(-1)
	s.metrics = newMetrics(s, deps.Metrics)
	if err := s.rebuild(); err != nil {
		return nil, fmt.Errorf("rebuild transactions from the log: %w", err)
	}
	s.log.Subscribe(s)
	s.log.BeforeDelete(s.beforeDelete)
	return s, nil
}

// Run asks back, writes operation records and snapshots until ctx ends. The store must
// take writes while it runs; on return every goroutine of the service is gone.
func (s *Service) Run(ctx context.Context) error {
	defer s.tasks.Wait()
	check := time.NewTicker(s.cfg.CheckInterval)
	defer check.Stop()
	ops := time.NewTicker(s.cfg.OpFlushInterval)
	defer ops.Stop()
	snapped := s.applied.Load()
	for {
		select {
		case <-ctx.Done():
			s.flushOps()
			s.takeSnapshot()
			s.writeSnapshot()
			return nil
		case <-s.wake:
			s.flushOps()
		case <-ops.C:
			s.flushOps()
			s.sweep()
			if err := s.writers.Settle(); err != nil {
				s.deps.Logger.Warn("writers' records cannot be written anew", "error", err)
			}
			if at := s.applied.Load(); s.snap == nil && at-snapped >= s.cfg.SnapshotBytes {
				s.takeSnapshot()
				snapped = at
			}
			s.writeSnapshot()
		case <-check.C:
			s.checkBack()
		}
	}
}

// spawn runs f on a goroutine that Run joins.
func (s *Service) spawn(f func()) {
	s.tasks.Add(1)
	go func() {
		defer s.tasks.Done()
		f()
	}()
}

// Holds says that a request of a writer under its current term came over a channel. The
// holder is who is woken when the writer's halves stay undecided.
func (s *Service) Holds(name string, term uint64, ch Channel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.holders[name]; term < h.term || h.channel == ch && h.term == term {
		return
	}
	s.holders[name] = holder{term: term, channel: ch}
}

// Closed forgets a connection.
func (s *Service) Closed(ch Channel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, h := range s.holders {
		if h.channel == ch {
			h.channel = nil
			s.holders[name] = h
		}
	}
}

// HalfState is one undecided half, as an opening is told.
type HalfState struct {
	ID, TransactionID string
	To                store.QueueID
	Lo, Hi, Prev      uint64
	Term              uint64
	Size              int64
}

// Undecided lists a writer's undecided halves, oldest first. It may be called inside the
// append lock.
func (s *Service) Undecided(name string) []HalfState {
	s.mu.Lock()
	defer s.mu.Unlock()
	halves := s.index.of(name)
	list := make([]HalfState, len(halves))
	for i, h := range halves {
		list[i] = HalfState{ID: HalfID(h.key, h.first), TransactionID: h.key, To: h.to,
			Lo: h.link.Lo, Hi: h.link.Hi, Prev: h.link.Prev, Term: h.link.Term, Size: h.bytes}
	}
	return list
}

// OpenWriter opens a writer and answers with what is true at the opening's place in the
// log. done is called exactly once and must not block.
func (s *Service) OpenWriter(o writer.Opening, ch Channel, done func(writer.State, []HalfState, error)) {
	var halves []HalfState
	s.writers.Open(o,
		func() { halves = s.Undecided(o.Writer) },
		func(st writer.State, err error) {
			if err == nil {
				s.Holds(o.Writer, o.Term, ch)
			}
			done(st, halves, err)
		})
}
