package namesrv

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/namesrv/route"
	"github.com/millrace/millrace/remoting/rpc"
)

// Deps are what tests replace; all may be left out.
type Deps struct {
	Listener net.Listener // instead of BindAddress and ListenPort
	FS       vfs.FS
	Now      func() time.Time
}

// Server is a name server. New makes it, Run starts it and returns when it has stopped.
type Server struct {
	cfg  Config
	log  *slog.Logger
	now  func() time.Time
	ln   net.Listener
	rows map[int]Row
	kv   *kvConfig

	// Of claims to a broker's place.
	life    context.Context // while the server runs
	asks    *rpc.Client
	claims  sync.WaitGroup
	probing atomic.Int32

	mu    sync.Mutex
	table *route.Table
	// joined is closed, and another takes its place, when a broker registers anew.
	joined chan struct{}
}

// New checks the configuration and listens, so that Addr is known; nothing is served
// before Run.
func New(cfg Config, deps Deps, log *slog.Logger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("name server: %w", err)
	}
	s := &Server{
		cfg: cfg, log: log, now: deps.Now, ln: deps.Listener, rows: map[int]Row{}, joined: make(chan struct{}),
		table: route.New(route.Limits{Brokers: cfg.MaxBrokers, Topics: cfg.MaxTopics}),
	}
	if s.now == nil {
		s.now = time.Now
	}
	for _, r := range Table() {
		s.rows[r.Code] = r
	}
	fsys := deps.FS
	if fsys == nil {
		fsys = vfs.OS()
	}
	var err error
	if s.kv, err = openKV(fsys, cfg.KVConfigPath); err != nil {
		return nil, err
	}
	if s.ln == nil {
		addr := net.JoinHostPort(cfg.BindAddress, strconv.Itoa(cfg.ListenPort))
		if s.ln, err = net.Listen("tcp", addr); err != nil {
			return nil, fmt.Errorf("name server cannot listen on %s: %w; is another one running? --listen (of standalone --namesrv-listen) or "+
				"listenPort chooses another port", addr, err)
		}
	}
	return s, nil
}

// Addr is where the server listens.
func (s *Server) Addr() string { return s.ln.Addr().String() }

// Await returns when the broker of the name is registered, or ctx ends: for who runs in
// the same process and would be the first to ask.
func (s *Server) Await(ctx context.Context, broker string) {
	for {
		s.mu.Lock()
		joined := s.joined
		there := slices.ContainsFunc(s.table.Groups(), func(g route.Group) bool { return g.Name == broker })
		s.mu.Unlock()
		if there {
			return
		}
		select {
		case <-joined:
		case <-ctx.Done():
			return
		}
	}
}

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.life, s.asks = ctx, rpc.NewClient(rpc.ClientConfig{}, s.log)
	defer s.asks.Close()
	server := rpc.NewServer(rpc.ServerConfig{Closed: s.closed}, s, s.log)
	var wg sync.WaitGroup
	wg.Go(func() { s.scan(ctx) })
	s.log.Info("name server listens", slog.String("addr", s.Addr()))
	err := server.Serve(ctx, s.ln)
	cancel()
	s.claims.Wait()
	wg.Wait()
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("name server on %s: %w", s.Addr(), err)
	}
	return nil
}

// Close lets go of a server that is not run.
func (s *Server) Close() error { return s.ln.Close() }

func (s *Server) scan(ctx context.Context) {
	tick := time.NewTicker(time.Duration(s.cfg.ScanNotActiveBrokerInterval) * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.expire(s.now())
		}
	}
}

// expire forgets the brokers that have been silent for too long at now.
func (s *Server) expire(now time.Time) {
	s.mu.Lock()
	gone := s.table.Expire(now)
	s.mu.Unlock()
	for _, b := range gone {
		s.log.Warn("broker expired: it said nothing for too long", slog.String("broker", b.Name), slog.String("addr", b.Addr))
	}
}

// closed forgets the brokers behind a connection that is gone.
func (s *Server) closed(c *rpc.Conn) {
	s.mu.Lock()
	gone := s.table.DropConn(c)
	s.mu.Unlock()
	for _, b := range gone {
		s.log.Warn("broker dropped: its connection closed", slog.String("broker", b.Name), slog.String("addr", b.Addr))
	}
}
