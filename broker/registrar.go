package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
	"github.com/millrace/millrace/remoting/rpc"
)

const (
	// nameTimeout is how long one name server may take; another is not kept waiting by it.
	nameTimeout = 6 * time.Second
	// announceTimeout is how long who changed a topic waits for the name servers: clients
	// give up after three seconds.
	announceTimeout = 2 * time.Second
)

// registrar tells every name server what the broker serves: periodically, at once when
// topics change, and goodbye at the end.
type registrar struct {
	b       *Broker
	client  *rpc.Client
	servers []*nameServer

	watching sync.WaitGroup
}

// nameServer is one that is told, by a goroutine of its own.
type nameServer struct {
	addr string
	due  chan struct{}

	mu sync.Mutex
	// known is the version of the topics that it has taken.
	known int64
	// lost says why it does not know the present state: its last registration failed, or
	// its connection was closed since. nil when it does.
	lost error
	// away is set while its last registration has failed: nobody waits for it.
	away    bool
	watched *rpc.Conn     // the connection over which it was told
	ended   chan struct{} // closed, and replaced, when a registration has ended
}

func newRegistrar(b *Broker) *registrar {
	r := &registrar{b: b}
	for _, addr := range b.cfg.nameServers() {
		r.servers = append(r.servers, &nameServer{addr: addr, due: make(chan struct{}, 1), known: -1, ended: make(chan struct{})})
	}
	return r
}

// changed asks for a registration soon. It does not block.
func (r *registrar) changed() {
	for _, s := range r.servers {
		s.ask()
	}
}

func (s *nameServer) ask() {
	select {
	case s.due <- struct{}{}:
	default:
	}
}

func (r *registrar) run(ctx context.Context) error {
	r.client = rpc.NewClient(rpc.ClientConfig{}, r.b.log)
	defer r.watching.Wait()
	defer r.client.Close()
	var tellers sync.WaitGroup
	for _, s := range r.servers {
		tellers.Go(func() { r.tell(ctx, s) })
	}
	<-ctx.Done()
	tellers.Wait()
	r.goodbye(context.WithoutCancel(ctx))
	return nil
}

// tell keeps one name server informed until ctx ends.
func (r *registrar) tell(ctx context.Context, s *nameServer) {
	period := time.NewTicker(millis(min(max(r.b.cfg.RegisterNameServer, 1000), 60_000)))
	defer period.Stop()
	retry := time.NewTicker(time.Second)
	defer retry.Stop()
	r.register(ctx, s)
	for {
		select {
		case <-ctx.Done():
			s.leave()
			return
		case <-period.C:
			r.register(ctx, s)
		case <-s.due:
			r.register(ctx, s)
		case <-retry.C:
			if s.isLost() {
				r.register(ctx, s)
			}
		}
	}
}

// errStopping is why nobody is told any more.
var errStopping = errors.New("the broker stops")

// leave lets nobody wait any longer.
func (s *nameServer) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost, s.away = errStopping, true
	close(s.ended)
	s.ended = make(chan struct{})
}

func (s *nameServer) isLost() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost != nil
}

func (r *registrar) register(ctx context.Context, s *nameServer) {
	body, version, err := r.body()
	if err != nil {
		r.b.log.Error("registration cannot be encoded", slog.Any("error", err))
		return
	}
	req := remoting.NewRequest(protocol.RegisterBroker)
	(&protocol.RegisterBrokerHeader{
		BrokerName: r.b.cfg.BrokerName, BrokerAddr: r.b.Addr(), ClusterName: r.b.cfg.BrokerClusterName,
		HAServerAddr: haAddr(r.b.addr), BrokerID: r.b.cfg.BrokerID, BodyCRC32: protocol.BodyCRC(body),
	}).Encode(req)
	req.Body = body
	if err = r.invoke(ctx, s.addr, req); err == nil {
		err = r.watch(ctx, s)
	}
	r.told(s, version, err)
}

func (r *registrar) invoke(ctx context.Context, addr string, req *remoting.Command) error {
	ctx, cancel := context.WithTimeout(ctx, nameTimeout)
	defer cancel()
	ans, err := r.client.Invoke(ctx, addr, req)
	if err != nil {
		return err
	}
	return protocol.AsError(ans)
}

// told notes how a registration ended, and logs when a name server is lost and when it is
// back, not each attempt.
func (r *registrar) told(s *nameServer, version int64, err error) {
	s.mu.Lock()
	was := s.lost != nil
	s.lost, s.away = err, err != nil
	if err == nil {
		s.known = version
	}
	close(s.ended)
	s.ended = make(chan struct{})
	s.mu.Unlock()
	switch {
	case err != nil && !was:
		r.b.log.Warn("name server does not take the registration; trying on", slog.String("namesrv", s.addr), slog.Any("error", err))
	case err == nil && was:
		r.b.log.Info("name server takes the registration again", slog.String("namesrv", s.addr))
	}
}

// watch asks for a registration when the connection to a name server is lost: it has
// dropped our routes at that moment, or is another process now.
func (r *registrar) watch(ctx context.Context, s *nameServer) error {
	conn, err := r.client.Conn(ctx, s.addr)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watched == conn {
		return nil
	}
	s.watched = conn
	r.watching.Go(func() {
		<-conn.Done() // at the latest when the client is closed
		if ctx.Err() != nil {
			return
		}
		s.mu.Lock()
		if s.watched == conn {
			s.lost = conn.Err()
		}
		s.mu.Unlock()
		s.ask()
	})
	return nil
}

// Announce returns when every name server knows the topics as they are now. It names those
// that do not: they are away, or did not answer within two seconds. They are told when they
// are back.
func (r *registrar) Announce(ctx context.Context) (unaware []error) {
	ctx, cancel := context.WithTimeout(ctx, announceTimeout)
	defer cancel()
	version := r.b.topics.Version().Counter
	for _, s := range r.servers {
		if err := s.await(ctx, version); err != nil {
			unaware = append(unaware, fmt.Errorf("name server %s: %w", s.addr, err))
		}
	}
	return unaware
}

// await returns nil when the name server has taken a version of the topics, or why it has
// not.
func (s *nameServer) await(ctx context.Context, version int64) error {
	for {
		s.mu.Lock()
		known, lost, away, ended := s.known, s.lost, s.away, s.ended
		s.mu.Unlock()
		switch {
		case lost == nil && known >= version:
			return nil
		case away:
			return lost
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return fmt.Errorf("it has not answered yet: %w", ctx.Err())
		}
	}
}

func (r *registrar) body() (body []byte, version int64, err error) {
	list, dv := r.b.topics.All()
	table := protocol.RegisterBrokerBody{TopicConfigs: protocol.TopicConfigTable{
		DataVersion: dv, TopicConfigTable: make(map[string]protocol.TopicConfig, len(list)),
	}}
	for _, t := range list {
		table.TopicConfigs.TopicConfigTable[t.TopicName] = protocol.TopicConfig(*t)
	}
	body, err = protocol.EncodeBody(&table)
	return body, dv.Counter, err
}

// goodbye takes the broker out of the routes, as far as the name servers can be reached.
func (r *registrar) goodbye(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for _, s := range r.servers {
		wg.Go(func() {
			req := remoting.NewRequest(protocol.UnregisterBroker)
			(&protocol.UnregisterBrokerHeader{
				BrokerName: r.b.cfg.BrokerName, BrokerAddr: r.b.Addr(), ClusterName: r.b.cfg.BrokerClusterName, BrokerID: r.b.cfg.BrokerID,
			}).Encode(req)
			if err := r.invoke(ctx, s.addr, req); err != nil {
				r.b.log.Warn("name server could not be told goodbye", slog.String("namesrv", s.addr), slog.Any("error", err))
			}
		})
	}
	wg.Wait()
}

// haAddr is where a slave would ask: the port above ours.
func haAddr(addr netip.AddrPort) string {
	return netip.AddrPortFrom(addr.Addr(), addr.Port()+1).String()
}
