package broker

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
	"github.com/millrace/millrace/remoting/rpc"
)

// nameTimeout is how long one name server may take; another is not kept waiting by it.
const nameTimeout = 6 * time.Second

// registrar tells every name server what the broker serves: periodically, at once when
// topics change, and goodbye at the end.
type registrar struct {
	b       *Broker
	servers []string
	client  *rpc.Client
	due     chan struct{}

	watching sync.WaitGroup

	mu      sync.Mutex
	lost    map[string]bool      // name servers that do not know the present state
	watched map[string]*rpc.Conn // the connection over which each was told
}

func newRegistrar(b *Broker) *registrar {
	return &registrar{b: b, servers: b.cfg.nameServers(), due: make(chan struct{}, 1), lost: map[string]bool{}, watched: map[string]*rpc.Conn{}}
}

// changed asks for a registration soon. It does not block.
func (r *registrar) changed() {
	select {
	case r.due <- struct{}{}:
	default:
	}
}

func (r *registrar) run(ctx context.Context) error {
	if len(r.servers) == 0 {
		<-ctx.Done()
		return nil
	}
	r.client = rpc.NewClient(rpc.ClientConfig{}, r.b.log)
	defer r.watching.Wait()
	defer r.client.Close()
	period := time.NewTicker(millis(min(max(r.b.cfg.RegisterNameServer, 1000), 60_000)))
	defer period.Stop()
	retry := time.NewTicker(time.Second)
	defer retry.Stop()
	r.register(ctx, r.servers)
	for {
		select {
		case <-ctx.Done():
			r.goodbye(context.WithoutCancel(ctx))
			return nil
		case <-period.C:
			r.register(ctx, r.servers)
		case <-r.due:
			r.register(ctx, r.servers)
		case <-retry.C:
			r.register(ctx, r.missing())
		}
	}
}

// missing are the name servers that do not know the present state.
func (r *registrar) missing() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []string
	for _, addr := range r.servers {
		if r.lost[addr] {
			list = append(list, addr)
		}
	}
	return list
}

// register tells all servers at the same time and waits for them.
func (r *registrar) register(ctx context.Context, servers []string) {
	if len(servers) == 0 {
		return
	}
	body, err := r.body()
	if err != nil {
		r.b.log.Error("registration cannot be encoded", slog.Any("error", err))
		return
	}
	var wg sync.WaitGroup
	for _, addr := range servers {
		wg.Go(func() {
			req := remoting.NewRequest(protocol.RegisterBroker)
			(&protocol.RegisterBrokerHeader{
				BrokerName: r.b.cfg.BrokerName, BrokerAddr: r.b.Addr(), ClusterName: r.b.cfg.BrokerClusterName,
				HAServerAddr: haAddr(r.b.addr), BrokerID: r.b.cfg.BrokerID, BodyCRC32: protocol.BodyCRC(body),
			}).Encode(req)
			req.Body = body
			err := r.invoke(ctx, addr, req)
			r.told(addr, err)
			if err == nil {
				r.watch(ctx, addr)
			}
		})
	}
	wg.Wait()
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

// told logs when a name server is lost and when it is back, not each attempt.
func (r *registrar) told(addr string, err error) {
	r.mu.Lock()
	was := r.lost[addr]
	r.lost[addr] = err != nil
	r.mu.Unlock()
	switch {
	case err != nil && !was:
		r.b.log.Warn("name server does not take the registration; trying on", slog.String("namesrv", addr), slog.Any("error", err))
	case err == nil && was:
		r.b.log.Info("name server takes the registration again", slog.String("namesrv", addr))
	}
}

// watch asks for a registration when the connection to a name server is lost: it has
// dropped our routes at that moment, or is another process now.
func (r *registrar) watch(ctx context.Context, addr string) {
	conn, err := r.client.Conn(ctx, addr)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.lost[addr] = true
		return
	}
	if r.watched[addr] == conn {
		return
	}
	r.watched[addr] = conn
	r.watching.Go(func() {
		<-conn.Done() // at the latest when the client is closed
		if ctx.Err() != nil {
			return
		}
		r.mu.Lock()
		r.lost[addr] = true
		r.mu.Unlock()
		r.changed()
	})
}

func (r *registrar) body() ([]byte, error) {
	list, version := r.b.topics.All()
	body := protocol.RegisterBrokerBody{TopicConfigs: protocol.TopicConfigTable{
		DataVersion: version, TopicConfigTable: make(map[string]protocol.TopicConfig, len(list)),
	}}
	for _, t := range list {
		body.TopicConfigs.TopicConfigTable[t.TopicName] = protocol.TopicConfig(*t)
	}
	return protocol.EncodeBody(&body)
}

// goodbye takes the broker out of the routes, as far as the name servers can be reached.
func (r *registrar) goodbye(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for _, addr := range r.servers {
		wg.Go(func() {
			req := remoting.NewRequest(protocol.UnregisterBroker)
			(&protocol.UnregisterBrokerHeader{
				BrokerName: r.b.cfg.BrokerName, BrokerAddr: r.b.Addr(), ClusterName: r.b.cfg.BrokerClusterName, BrokerID: r.b.cfg.BrokerID,
			}).Encode(req)
			if err := r.invoke(ctx, addr, req); err != nil {
				r.b.log.Warn("name server could not be told goodbye", slog.String("namesrv", addr), slog.Any("error", err))
			}
		})
	}
	wg.Wait()
}

// haAddr is where a slave would ask: the port above ours.
func haAddr(addr netip.AddrPort) string {
	return netip.AddrPortFrom(addr.Addr(), addr.Port()+1).String()
}
