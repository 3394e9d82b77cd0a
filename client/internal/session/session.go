package session

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/millrace/millrace/client/internal/routecache"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
	"github.com/millrace/millrace/remoting/rpc"
)

// Errors that steer.
var (
	// ErrClosed says that the session has ended.
	ErrClosed = errors.New("the client is not running")
	// ErrTopicNotFound says that no name server knows the topic.
	ErrTopicNotFound = errors.New("topic not found")
	// ErrBrokerNotFound says that no name server knows a master of that name.
	ErrBrokerNotFound = errors.New("no master of this broker is known")
	// ErrNotSent marks failures before anything was sent.
	ErrNotSent = errors.New("not sent")
	// ErrUncertain marks failures that leave the outcome unknown.
	ErrUncertain = errors.New("outcome unknown")
)

// Member is what a role wants brokers to know of it.
type Member interface {
	// Heartbeat returns the body of a heartbeat, nil for none.
	Heartbeat() []byte
	// RoutesChanged is told after a refresh that changed the queues of any topic. It
	// must not block.
	RoutesChanged()
}

// Session is one client's standing with a cluster.
type Session struct {
	cfg      Config
	log      *slog.Logger
	rpc      *rpc.Client
	names    nameServers
	routes   *routecache.Cache
	fetches  singleflight.Group
	ids      *message.IDGenerator
	clientID string

	ctx    context.Context // ends at Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
	kick   chan struct{} // capacity 1: look after brokers now

	mu       sync.Mutex
	member   Member
	started  bool
	closed   bool
	lastFill map[string]time.Time // when a topic was last refreshed on demand
	extra    map[string]struct{}  // brokers to greet that no cached route names
	greeted  map[string]struct{}  // addresses that took a heartbeat on the connection that they have
}

// Serve takes a request that a broker starts, on the goroutine that reads the
// connection: it must not block. It returns false for a code that it does not know. The
// request's body is valid until it returns.
type Serve func(req *remoting.Command) bool

type requestHandler struct {
	s     *Session
	serve Serve
}

// ServeRemoting answers everything, so that no broker waits for us.
func (h requestHandler) ServeRemoting(x *rpc.Exchange) {
	req := x.Request()
	if h.serve != nil && h.serve(req) {
		x.Reply(remoting.NewResponse(protocol.Success, ""))
		return
	}
	x.Reply(remoting.NewResponse(protocol.RequestCodeNotSupported, "this client does not serve "+protocol.RequestName(req.Code)))
}

// New validates cfg and allocates. It starts nothing. serve may be nil.
func New(cfg Config, serve Serve) (*Session, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	ip := cfg.ClientIP
	if !ip.IsValid() {
		ip = localIP()
	}
	var salt [8]byte
	_, _ = rand.Read(salt[:]) // never fails
	instance := cfg.InstanceName
	if instance == "" {
		instance = fmt.Sprintf("%d#%x", os.Getpid(), salt[4:])
	}
	s := &Session{
		cfg: cfg, log: log, routes: routecache.New(),
		names:    nameServers{addrs: cfg.NameServers},
		ids:      message.NewIDGenerator(ip, os.Getpid(), binary.BigEndian.Uint32(salt[:])),
		clientID: ip.String() + "@" + instance,
		kick:     make(chan struct{}, 1),
		lastFill: make(map[string]time.Time),
		extra:    make(map[string]struct{}),
		greeted:  make(map[string]struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.rpc = rpc.NewClient(rpc.ClientConfig{
		Dial: cfg.Dialer, Hooks: cfg.Hooks, Handler: requestHandler{s, serve},
		Closed: s.connectionClosed,
	}, log)
	return s, nil
}

// Start begins heartbeats and route refreshes for m.
func (s *Session) Start(m Member) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started || s.closed {
		return errors.New("a client can be started once")
	}
	s.started, s.member = true, m
	s.wg.Go(s.maintain)
	return nil
}

// Close ends the session and joins its goroutines. Calls that wait for an answer fail.
func (s *Session) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.wg.Wait()
	s.rpc.Close()
	return nil
}

// Running tells whether Start was called and Close was not.
func (s *Session) Running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.started && !s.closed
}

// Go runs f on a goroutine that Close joins. It returns false when the session ended.
func (s *Session) Go(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.wg.Go(f)
	return true
}

// Context ends when the session does.
func (s *Session) Context() context.Context { return s.ctx }

// Config returns the configuration.
func (s *Session) Config() *Config { return &s.cfg }

// Log is the session's logger.
func (s *Session) Log() *slog.Logger { return s.log }

// ClientID is the name that brokers know this client by.
func (s *Session) ClientID() string { return s.clientID }

// NextID returns a new message id.
func (s *Session) NextID() string { return s.ids.Next(time.Now()) }

func localIP() netip.Addr {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	found := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err != nil || p.Addr().IsLoopback() || p.Addr().IsLinkLocalUnicast() {
			continue
		}
		if p.Addr().Is4() {
			return p.Addr()
		}
		found = p.Addr()
	}
	return found
}
