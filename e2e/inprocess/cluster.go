package inprocess

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/broker"
	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/namesrv"
	"github.com/millrace/millrace/pipeline/bus"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
	"github.com/millrace/millrace/remoting/rpc"
)

// BrokerName is the name of every cluster's broker.
const BrokerName = "broker-a"

// Cluster is a name server and a broker on free ports of the loopback address.
type Cluster struct {
	t     testing.TB
	Names string // the name server's address
	log   *slog.Logger
	tune  func(*broker.Config)

	mu     sync.Mutex
	disk   *vfs.Mem
	inject errorfs.Injector
	addr   string
	broker *service
	fs     *gate
}

// gate is what stands between one life of the broker and the world: once the power is
// cut, nothing of that life reaches a peer or the disk any more.
type gate struct {
	next errorfs.Injector
	mu   sync.RWMutex
	cut  bool
}

var errPower = errors.New("the power is off")

func (g *gate) Step(op errorfs.Op) errorfs.Action {
	g.mu.RLock()
	cut := g.cut
	g.mu.RUnlock()
	if cut {
		return errorfs.Action{Err: errPower}
	}
	if g.next == nil {
		return errorfs.Action{}
	}
	return g.next.Step(op)
}

// gated is a listener whose connections say nothing once the power is cut. What was said
// before is covered by what a crash leaves: the disk is copied after that.
type gated struct {
	net.Listener
	g *gate
}

func (l gated) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return gatedConn{c, l.g}, nil
}

type gatedConn struct {
	net.Conn
	g *gate
}

func (c gatedConn) Write(b []byte) (int, error) {
	c.g.mu.RLock()
	defer c.g.mu.RUnlock()
	if c.g.cut {
		return 0, errPower
	}
	return c.Conn.Write(b)
}

// New starts a cluster; it is stopped with the test. tune may be nil.
func New(t testing.TB, tune func(*broker.Config)) *Cluster {
	t.Helper()
	c := &Cluster{t: t, log: Log(), tune: tune, disk: vfs.NewMem(), addr: "127.0.0.1:0"}
	l := listen(t, c.addr)
	names, err := namesrv.New(namesrv.DefaultConfig(), namesrv.Deps{Listener: l}, c.log)
	if err != nil {
		t.Fatal(err)
	}
	c.Names = l.Addr().String()
	s := run(names.Run)
	t.Cleanup(func() {
		c.Down()
		if err := s.end(); err != nil {
			t.Errorf("name server: %v", err)
		}
	})
	c.Up()
	return c
}

// Log is for the servers of a test: silent, unless MILLRACE_TEST_LOG is set.
func Log() *slog.Logger {
	var out io.Writer = io.Discard
	if os.Getenv("MILLRACE_TEST_LOG") != "" {
		out = os.Stderr
	}
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func listen(t testing.TB, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

type service struct {
	cancel context.CancelFunc
	done   chan error
}

func run(f func(context.Context) error) *service {
	ctx, cancel := context.WithCancel(context.Background())
	s := &service{cancel: cancel, done: make(chan error, 1)}
	go func() { s.done <- f(ctx) }()
	return s
}

func (s *service) end() error {
	s.cancel()
	return <-s.done
}

// Inject puts an injector under the broker's disk from its next start on.
func (c *Cluster) Inject(i errorfs.Injector) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inject = i
}

// Up starts the broker on the disk as it is, and waits until the name server knows it.
func (c *Cluster) Up() {
	c.t.Helper()
	if err := c.TryUp(); err != nil {
		c.t.Fatal(err)
	}
}

// TryUp is Up where the disk may refuse.
func (c *Cluster) TryUp() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	cfg := broker.DefaultConfig()
	cfg.BrokerName, cfg.StorePathRootDir, cfg.NamesrvAddr = BrokerName, "/store", c.Names
	cfg.MappedFileSizeCommitLog, cfg.MappedFileSizeConsumeQueue = 5<<20, 20*1000
	cfg.MaxHashSlotNum, cfg.MaxIndexNum = 100, 400
	cfg.MessageIndexEnable = false
	if c.tune != nil {
		c.tune(&cfg)
	}
	c.fs = &gate{next: c.inject}
	b, err := broker.New(cfg, broker.Deps{Listener: gated{listen(c.t, c.addr), c.fs}, FS: errorfs.Wrap(c.disk, c.fs), Log: c.log})
	if err != nil {
		return err
	}
	c.addr = b.Addr() // the next life listens where clients know it
	c.broker = run(b.Run)
	asks := rpc.NewClient(rpc.ClientConfig{}, c.log)
	defer asks.Close()
	Eventually(c.t, "the broker's registration", func() bool {
		req := remoting.NewRequest(protocol.GetRouteInfoByTopic)
		(&protocol.GetRouteInfoHeader{Topic: BrokerName}).Encode(req)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		ans, err := asks.Invoke(ctx, c.Names, req)
		return err == nil && ans.Code == protocol.Success
	})
	return nil
}

// Down stops the broker in order.
func (c *Cluster) Down() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broker != nil {
		if err := c.broker.end(); err != nil && !c.dark() {
			c.t.Errorf("the broker ended with %v", err)
		}
		c.broker = nil
	}
}

// dark reports whether the power was cut: what the broker says of its end is of no use
// then.
func (c *Cluster) dark() bool {
	c.fs.mu.Lock()
	defer c.fs.mu.Unlock()
	return c.fs.cut
}

// PowerCut cuts the broker's power, then starts it on what is left.
func (c *Cluster) PowerCut(o vfs.CrashOpts) {
	c.t.Helper()
	c.Blackout(c.Freeze(o))
}

// Freeze is what a power cut at this moment leaves; from here on the broker writes
// nothing. It may be called from the broker's injector.
func (c *Cluster) Freeze(o vfs.CrashOpts) *vfs.Mem {
	c.fs.mu.Lock()
	defer c.fs.mu.Unlock()
	c.fs.cut = true
	return c.disk.CrashClone(o)
}

// Blackout ends a broker whose disk was frozen, and starts one on what the crash left.
func (c *Cluster) Blackout(left *vfs.Mem) {
	c.t.Helper()
	c.mu.Lock()
	if c.broker != nil {
		_ = c.broker.end() // it dies; what it says is of no use
	}
	c.disk, c.broker = left, nil
	c.mu.Unlock()
	c.Up()
}

// Replace starts the broker on an older state of its disk: it has lost its tail.
func (c *Cluster) Replace(disk *vfs.Mem) {
	c.t.Helper()
	c.Down()
	c.mu.Lock()
	c.disk = disk
	c.mu.Unlock()
	c.Up()
}

// Disk is a copy of the disk as it is now, everything written included.
func (c *Cluster) Disk() *vfs.Mem {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.disk.CrashClone(vfs.CrashOpts{Mode: vfs.CrashKeep})
}

// Live is the disk itself.
func (c *Cluster) Live() *vfs.Mem {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.disk
}

// Endpoint is a pipeline's way to the cluster.
func (c *Cluster) Endpoint(worker string, opts ...client.Option) *bus.Endpoint {
	opts = append([]client.Option{client.WithRetryBackoff(10 * time.Millisecond)}, opts...)
	return bus.NewEndpoint(bus.EndpointConfig{NameServers: c.Names, Broker: BrokerName, Worker: worker, Options: opts}, c.log)
}

// Reader is a started reader.
func (c *Cluster) Reader() *client.Reader {
	c.t.Helper()
	r, err := client.NewReader(client.WithNameServers(c.Names))
	if err == nil {
		err = r.Start(context.Background())
	}
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = r.Close(context.Background()) })
	return r
}
