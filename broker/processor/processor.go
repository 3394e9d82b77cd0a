package processor

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/millrace/millrace/broker/groups"
	"github.com/millrace/millrace/broker/longpoll"
	"github.com/millrace/millrace/broker/offsets"
	"github.com/millrace/millrace/broker/store"
	"github.com/millrace/millrace/broker/topics"
	"github.com/millrace/millrace/broker/txn"
	"github.com/millrace/millrace/broker/writer"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting/protocol"
	"github.com/millrace/millrace/remoting/rpc"
)

// Config is what the handlers need of the broker's configuration.
type Config struct {
	BrokerName      string
	ClusterName     string
	RegionID        string
	TraceOn         bool
	MaxMessageSize  int32
	LongPolling     bool
	ShortPolling    time.Duration
	MaxPullMessages int // of one answer
	// Of one answer, in bytes: when the client says nothing, and at most.
	DefaultPullBytes  int
	MaxPullBytes      int
	AutoCreateGroup   bool
	RejectTransaction bool
	StoreHost         netip.AddrPort
	// Delayed messages that RocketMQ left in the store, which nobody will get.
	WaitingByLevel, WaitingByTimer int64
	// Properties is the broker's configuration as code 26 shows it.
	Properties map[string]string
	// Version is our own, as code 28 shows it.
	Version string
}

// Names are the name servers that the broker registers with.
type Names interface {
	// Announce returns when they know the topics as they are now, or says which do not;
	// the wait is bounded.
	Announce(ctx context.Context) (unaware []error)
}

// Deps are the engines that the handlers stand on. All but Authorizer are needed.
type Deps struct {
	Store        *store.Store
	Topics       *topics.Registry
	Offsets      *offsets.Table
	Groups       *groups.Registry
	GroupConfigs *groups.Configs
	Holds        *longpoll.Table
	Txn          *txn.Service
	Writers      *writer.Registry
	Metrics      *Metrics
	Names        Names

	// Authorizer is asked before every request; nil lets everything pass, which is
	// right on loopback only.
	Authorizer Authorizer
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	Log *slog.Logger
}

// Processor holds what the handlers share. It has no goroutine of its own.
type Processor struct {
	Deps
	cfg     Config
	ids     *message.IDGenerator // for messages whose producers give them none
	started time.Time
	rows    map[int]*route
	resumed sync.WaitGroup // parked pulls that are being answered
	memory  answerMemory
}

// route is a row of the table with what a request needs of it at hand.
type route struct {
	Row
	clock *clock
}

// New returns a processor that dispatches by Table.
func New(cfg Config, deps Deps) *Processor {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	p := &Processor{
		Deps: deps, cfg: cfg, started: deps.Now(), rows: map[int]*route{},
		ids: message.NewIDGenerator(cfg.StoreHost.Addr(), os.Getpid(), rand.Uint32()),
	}
	for _, row := range Table() {
		p.rows[row.Code] = &route{Row: row, clock: p.Metrics.clock(row.Code)}
	}
	return p
}

// ServeRemoting answers one request; it is the handler of the broker's server.
func (p *Processor) ServeRemoting(x *rpc.Exchange) {
	r := p.rows[x.Request().Code]
	if r == nil {
		p.refuseUnknown(x)
		return
	}
	c := call{Exchange: x, route: r, began: p.Now()}
	if p.Authorizer != nil {
		if err := p.Authorizer.Authorize(x, &r.Row); err != nil {
			p.Metrics.Rejects.Add(1)
			c.fail(&protocol.Error{Code: protocol.NoPermission, Remark: err.Error()})
			return
		}
	}
	if r.handler == nil {
		p.refuseCode(&c)
		return
	}
	ans, err := r.handler(p, c)
	switch {
	case err != nil:
		c.fail(err)
	case ans != nil:
		c.finish(ans)
	}
}

// Closed forgets what came over a connection.
func (p *Processor) Closed(c *rpc.Conn) {
	p.Holds.DropOwner(c)
	p.Groups.Drop(c)
}

// refusalOf finds the response code that says what err means to a client.
func refusalOf(err error) (code int, remark string) {
	var coded *protocol.Error
	switch {
	case errors.As(err, &coded):
		return coded.Code, coded.Remark
	case errors.Is(err, store.ErrDiskFull), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return protocol.ServiceNotAvailable, "service not available now: the broker's disk is full; it takes messages again by " +
			"itself when there is space"
	case errors.Is(err, store.ErrNotWritable):
		return protocol.ServiceNotAvailable, "service not available now: " + err.Error()
	case errors.Is(err, store.ErrFlushTimeout):
		return protocol.FlushDiskTimeout, err.Error()
	case errors.Is(err, store.ErrMessageTooLarge):
		return protocol.MessageIllegal, err.Error()
	case errors.Is(err, store.ErrBadRecord):
		return protocol.MessageIllegal, err.Error()
	case errors.Is(err, topics.ErrUnknown):
		return protocol.TopicNotExist, err.Error()
	case errors.Is(err, topics.ErrName), errors.Is(err, topics.ErrSystem), errors.Is(err, topics.ErrInvalid), errors.Is(err, topics.ErrOwned):
		return protocol.InvalidParameter, err.Error()
	}
	return protocol.SystemError, err.Error()
}
