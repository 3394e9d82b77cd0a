package client

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/millrace/millrace/broker"
	"github.com/millrace/millrace/client/internal/session"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/namesrv"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

// realCluster is a name server (or several) and one broker, in this process.
type realCluster struct {
	t     testing.TB
	dir   string
	names []*process
	b     *process
	tune  func(*broker.Config)
}

// process is something that runs until it is stopped.
type process struct {
	addr string
	stop func()
}

func runProcess(t testing.TB, addr string, run func(context.Context) error) *process {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	p := &process{addr: addr}
	stopped := false
	p.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("stop %s: %v", addr, err)
		}
	}
	t.Cleanup(p.stop)
	return p
}

func listen(t testing.TB, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func newCluster(t testing.TB, nameServers int, tune func(*broker.Config)) *realCluster {
	t.Helper()
	c := &realCluster{t: t, dir: t.TempDir(), tune: tune}
	for range nameServers {
		l := listen(t, "127.0.0.1:0")
		s, err := namesrv.New(namesrv.DefaultConfig(), namesrv.Deps{Listener: l}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		c.names = append(c.names, runProcess(t, l.Addr().String(), s.Run))
	}
	c.startBroker("127.0.0.1:0")
	return c
}

func (c *realCluster) nameServers() string {
	var addrs []string
	for _, n := range c.names {
		addrs = append(addrs, n.addr)
	}
	return strings.Join(addrs, ";")
}

// startBroker starts the broker on the same store, and waits until name servers know it.
func (c *realCluster) startBroker(addr string) {
	c.t.Helper()
	cfg := broker.DefaultConfig()
	cfg.BrokerName, cfg.StorePathRootDir, cfg.NamesrvAddr = "a", c.dir, c.nameServers()
	cfg.MappedFileSizeCommitLog, cfg.MappedFileSizeConsumeQueue = 16<<20, 60000
	if c.tune != nil {
		c.tune(&cfg)
	}
	b, err := broker.New(cfg, broker.Deps{Listener: listen(c.t, addr), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		c.t.Fatal(err)
	}
	c.b = runProcess(c.t, b.Addr(), b.Run)
	s := c.session()
	eventually(c.t, "the broker registered", func() bool {
		known, err := s.RefreshMaster(within(c.t), "a")
		return err == nil && known == b.Addr()
	})
	_ = s.Close()
}

func (c *realCluster) session() *session.Session {
	c.t.Helper()
	cfg := session.DefaultConfig()
	testOptions(c.nameServers()).ApplySession(&cfg)
	s, err := session.New(cfg, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

func (c *realCluster) options() Option { return testOptions(c.nameServers()) }

// topic creates a topic; writer owns it unless "".
func (c *realCluster) topic(name string, queues int32, writer string) []message.Queue {
	c.t.Helper()
	s := c.session()
	defer s.Close()
	h := protocol.CreateTopicHeader{Topic: name, DefaultTopic: message.TopicAutoCreate, ReadQueueNums: queues, WriteQueueNums: queues,
		Perm: 6, TopicFilterType: protocol.FilterSingleTag}
	if writer != "" {
		h.Attributes = "+millrace.writer=" + writer
	}
	if _, err := s.Call(within(c.t), "a", func() *remoting.Command { return session.Request(protocol.UpdateAndCreateTopic, &h) }); err != nil {
		c.t.Fatal(err)
	}
	var qs []message.Queue
	eventually(c.t, "name servers know the topic", func() bool {
		r, err := s.Refresh(within(c.t), name)
		if err == nil {
			qs = r.Read
		}
		return err == nil && len(r.Read) == int(queues)
	})
	return qs
}

func (c *realCluster) producer(opts ...ProducerOption) *Producer {
	c.t.Helper()
	return started[*Producer](c.t)(NewProducer(append([]ProducerOption{c.options()}, opts...)...))
}

func (c *realCluster) reader(opts ...ReaderOption) *Reader {
	c.t.Helper()
	return started[*Reader](c.t)(NewReader(append([]ReaderOption{c.options()}, opts...)...))
}

func (c *realCluster) writer(opts ...WriterOption) *Writer {
	c.t.Helper()
	return started[*Writer](c.t)(NewWriter("pipe", append([]WriterOption{c.options()}, opts...)...))
}
