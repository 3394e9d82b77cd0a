package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/client/admin"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/pipeline/checkpoint"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/life"
)

// PublisherConfig configures the source side of one pipeline. Zero values mean defaults.
type PublisherConfig struct {
	Pipeline string
	// Broker is the name of the broker that holds all of the pipeline's topics.
	Broker string
	// A group ends at GroupBytes (4 MiB) or GroupInterval (10 ms; longer where its rows are
	// old already), or when one of its slices has SliceBytes (1 MiB).
	GroupBytes    int
	GroupInterval time.Duration
	SliceBytes    int
	// MaxMessage is the largest body to send: a larger row pauses its table (delivery S16).
	// 0 is what the broker takes.
	MaxMessage int
	// WindowBytes (16 MiB) and WindowGroups (16) bound what is sent and not resolved. Keep
	// the bytes below half of the broker's maxPendingBytes.
	WindowBytes  int64
	WindowGroups int
	// A Base is written every BaseInterval (10 s) and BaseGroups (1000), when anything was.
	BaseInterval time.Duration
	BaseGroups   int
	// PositionInterval (1 s) is how often a position without rows is recorded.
	PositionInterval time.Duration
	// HeartbeatInterval (1 min) is how often idle queues get a heartbeat.
	HeartbeatInterval time.Duration
	// NoSnapshot leaves out the attempt that is due for a new table.
	NoSnapshot bool
	// Keep decides which rows are published; nil keeps all.
	Keep func(*event.Item) bool
	// Config is what of the pipeline file decides which rows are produced. It is recorded
	// as the configuration in force; nil leaves what is recorded as it is.
	Config json.RawMessage
	// Life is told what happens to the tables. nil makes one of the publisher's own.
	Life *life.Tables
	// OnBack is called by Declare for each table whose pause the pipeline file does not ask
	// for any more. Its source is to be told to resume it, which makes an attempt due.
	OnBack func(event.TableName)
	// OnDue is called for each attempt that became due otherwise than by the source, which is
	// to be asked for it. OnTable is called for a table that was made while the pipeline runs,
	// OnForgotten for one of which the records and Life speak no longer. They and OnResolved
	// may be nil, like OnBack. They are called by the publisher's goroutines and must not block.
	OnResolved  func(event.Position)
	OnDue       func(event.TableName, string)
	OnTable     func(*event.Table)
	OnForgotten func(event.TableName)
}

func (c *PublisherConfig) setDefaults() {
	def(&c.GroupBytes, 4<<20)
	def(&c.GroupInterval, 10*time.Millisecond)
	def(&c.SliceBytes, 1<<20)
	def(&c.WindowBytes, 16<<20)
	def(&c.WindowGroups, 16)
	def(&c.BaseInterval, 10*time.Second)
	def(&c.BaseGroups, 1000)
	def(&c.PositionInterval, time.Second)
	def(&c.HeartbeatInterval, time.Minute)
	if c.Life == nil {
		c.Life = life.New(nil)
	}
}

func def[T int | int64 | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// ownedWriter is what Publisher needs of client.Writer.
type ownedWriter interface {
	Open(ctx context.Context, broker string, term uint64, opener string) (client.WriterState, error)
	Send(ctx context.Context, q message.Queue, m *message.Message, link client.Link) (client.SendResult, error)
	SendHalfAsync(q message.Queue, m *message.Message, link client.Link, done func(client.HalfRef, error))
	Resolve(ctx context.Context, broker string, commit, rollback []client.HalfRef) ([]client.ResolveResult, error)
}

// topicMaker is what Publisher needs of admin.Client.
type topicMaker interface {
	CreateTopic(ctx context.Context, t admin.TopicConfig, broker string) error
}

// link to the broker, made by an opening and given up with it.
type publisherDeps struct {
	writer ownedWriter
	reader queueReader
	topics topicMaker
	// checks brings the halves that the broker asks about; nil = never.
	checks <-chan client.Half
	// maxMessage is the largest body that the broker takes; 0 = RocketMQ's 4 MiB.
	maxMessage int
	// close ends the connections.
	close func(context.Context) error
}

// maxHalves is how many messages a group has at most.
const maxHalves = 512

// Publisher is the source's side of the bus, for one opening (delivery S1 to S12). Open
// comes first, then Run beside any number of Add and Declare; Add and Declare are called
// by one goroutine. After an error of any of them the publisher is spent: a new one opens
// anew.
type Publisher struct {
	cfg     PublisherConfig
	log     *slog.Logger
	connect func(context.Context) (publisherDeps, error)
	d       publisherDeps

	opener string
	term   uint64

	// life ends when the publisher does; its cause is why.
	life context.Context
	fail context.CancelCauseFunc

	room   *semaphore.Weighted // bytes sent and not resolved
	closed chan *group         // sent, to be recorded, in order
	ready  chan *group         // decided, to be resolved, in order
	opened chan struct{}       // a group was begun: its interval runs
	asked  chan *asking        // by others than the stream, of the records
	// declared has a token once Declare has said which tables the file takes in.
	declared chan struct{}

	// mu guards what Add builds. Where locks nest the order is mu, ck.mu, schemas.mu. Add
	// waits for room with mu held, so the loops that make room never take it.
	mu      sync.Mutex
	tables  map[*event.Table]*tableState
	named   map[event.TableName]*tableState
	topics  map[string]event.TableName
	lacking map[string]bool // topics of recorded tables that the broker does not have
	queues  map[checkpoint.Queue]*queueState
	cur     *group
	pos     checkpoint.Position
	tx      txState
	openTx  *checkpoint.OpenTx // where reading began, the counts of the transaction before
	trims   map[*queueState]struct{}
	beat    time.Time
	lastPos time.Time // when a position was last sent to be recorded
	lastsAt time.Time // when a group last took the queues' ends along

	water atomic.Pointer[Watermark]

	bodies sync.Pool // of *[]byte

	ck      checkpointLog
	schemas schemaSender
	stats   publisherStats
}

// NewPublisher makes a publisher over the broker that e knows. It starts nothing.
func (e *Endpoint) NewPublisher(cfg PublisherConfig) (*Publisher, error) {
	if cfg.Broker == "" {
		cfg.Broker = e.cfg.Broker
	}
	return newPublisher(cfg, e.log, e.connectPublisher(cfg.Pipeline, cfg.Broker))
}

func newPublisher(cfg PublisherConfig, log *slog.Logger, connect func(context.Context) (publisherDeps, error)) (*Publisher, error) {
	if cfg.Pipeline == "" || cfg.Broker == "" {
		return nil, errors.New("a publisher needs a pipeline and a broker")
	}
	cfg.setDefaults()
	p := &Publisher{
		cfg: cfg, log: log.With(slog.String("pipeline", cfg.Pipeline)), connect: connect,
		room:   semaphore.NewWeighted(cfg.WindowBytes),
		closed: make(chan *group, cfg.WindowGroups), ready: make(chan *group, cfg.WindowGroups), opened: make(chan struct{}, 1),
		asked: make(chan *asking), declared: make(chan struct{}, 1),
		tables: map[*event.Table]*tableState{}, named: map[event.TableName]*tableState{}, topics: map[string]event.TableName{},
		lacking: map[string]bool{},
		queues:  map[checkpoint.Queue]*queueState{}, trims: map[*queueState]struct{}{},
	}
	p.life, p.fail = context.WithCancelCause(context.Background())
	p.ck.init(p)
	return p, nil
}

// errStopped is the cause of the end that Run's context asked for.
var errStopped = errors.New("the publisher was stopped")

// Run records, resolves and flushes until ctx ends or something fails, then ends the
// connections that Open made. What is undecided then is rolled back by the next opening.
func (p *Publisher) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { p.fail(errStopped) })
	defer stop()
	g := new(errgroup.Group)
	for _, loop := range []func(context.Context) error{p.recordLoop, p.resolveLoop, p.flushLoop, p.checkLoop, p.forgetLoop} {
		g.Go(func() error {
			err := loop(p.life)
			if err != nil && p.life.Err() == nil {
				p.fail(err)
			}
			return nil
		})
	}
	_ = g.Wait() // the loops' first error is the cause of life's end
	p.shut(context.WithoutCancel(ctx))
	if cause := context.Cause(p.life); !errors.Is(cause, errStopped) {
		return cause
	}
	return ctx.Err()
}

// shut ends the connections; requests that are out come back with errors.
func (p *Publisher) shut(ctx context.Context) {
	p.fail(errStopped)
	if p.d.close == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if err := p.d.close(ctx); err != nil {
		p.log.Debug("connections closed", slog.Any("error", err))
	}
}

// within joins a caller's context with the publisher's life.
func (p *Publisher) within(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(p.life, func() { cancel(context.Cause(p.life)) })
	return ctx, func() { stop(); cancel(nil) }
}

// why turns the end of a joined context into its cause.
func why(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, context.Canceled) {
		return cause
	}
	return err
}

// flushLoop closes groups whose interval is over while no Add comes.
func (p *Publisher) flushLoop(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.opened:
			timer.Reset(p.cfg.GroupInterval)
		case <-timer.C:
			p.mu.Lock()
			again, err := p.flushDueLocked(ctx)
			p.mu.Unlock()
			if err != nil {
				return err
			}
			if again > 0 {
				timer.Reset(again)
			}
		}
	}
}

// flushDueLocked closes the group if it is due; otherwise it says when to look again.
func (p *Publisher) flushDueLocked(ctx context.Context) (again time.Duration, err error) {
	if p.cur == nil {
		return 0, nil
	}
	wait := p.cur.wait
	if !p.cur.urgent() {
		wait = p.cfg.PositionInterval
	}
	if left := wait - time.Since(p.cur.begun); left > 0 {
		return left, nil // a transaction that is open may end before that, and nothing come behind it
	}
	if p.tx.open || p.cur.sealed {
		return 0, nil // Add ends it with the transaction
	}
	return 0, p.closeGroup(ctx)
}

// checkLoop answers check-backs (S8): a half of a closed term is rolled back, and nothing
// is said of any other. It never commits.
func (p *Publisher) checkLoop(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case h := <-p.d.checks:
			if err := p.checked(ctx, h); err != nil {
				return err
			}
		}
	}
}

func publisherQueue(q checkpoint.Queue) message.Queue {
	return message.Queue{Topic: q.Topic, BrokerName: q.Broker, QueueID: int32(q.ID)}
}

func (p *Publisher) queueOf(q message.Queue) checkpoint.Queue {
	return checkpoint.Queue{Broker: q.BrokerName, Topic: q.Topic, ID: int(q.QueueID)}
}

// wrap names what failed, once.
func (p *Publisher) wrap(what string, err error) error {
	return fmt.Errorf("pipeline %s: %s: %w", p.cfg.Pipeline, what, err)
}
