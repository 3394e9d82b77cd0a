package broker

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/namesrv"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
	"github.com/millrace/millrace/remoting/rpc"
)

// rig is a name server and a broker on loopback, asked with bare commands.
type rig struct {
	t      testing.TB
	cfg    Config
	names  *namesrv.Server
	broker *Broker
	fs     vfs.FS // nil is the machine's
	reg    *prometheus.Registry
	client *rpc.Client
	stop   func()

	stopNames func()
}

func testLog() *slog.Logger {
	var out io.Writer = io.Discard
	if os.Getenv("MILLRACE_TEST_LOG") != "" {
		out = os.Stderr
	}
	return slog.New(slog.NewTextHandler(out, nil))
}

func testConfig(dir string) Config {
	cfg := DefaultConfig()
	cfg.BrokerName, cfg.BrokerClusterName = "broker-a", "test"
	cfg.ListenPort = 0
	cfg.StorePathRootDir = dir
	cfg.MappedFileSizeCommitLog = 64 << 20
	cfg.MaxHashSlotNum, cfg.MaxIndexNum = 1000, 4000
	return cfg
}

// newRig runs a broker in a new directory. change may be nil.
func newRig(t testing.TB, change func(*Config)) *rig {
	t.Helper()
	return newRigOn(t, nil, change)
}

func newRigOn(t testing.TB, fsys vfs.FS, change func(*Config)) *rig {
	t.Helper()
	r := &rig{fs: fsys, t: t, cfg: testConfig(filepath.ToSlash(t.TempDir()))}
	ncfg := namesrv.DefaultConfig()
	ncfg.ListenPort = 0
	names, err := namesrv.New(ncfg, namesrv.Deps{}, testLog())
	if err != nil {
		t.Fatal(err)
	}
	r.names = names
	r.stopNames = once(run(t, names.Run))
	t.Cleanup(func() { r.stopNames() })
	r.cfg.NamesrvAddr = names.Addr()
	if change != nil {
		change(&r.cfg)
	}
	r.client = rpc.NewClient(rpc.ClientConfig{}, testLog())
	t.Cleanup(r.client.Close)
	r.up()
	return r
}

// up starts the broker; restart calls it again on the same directory.
func (r *rig) up() {
	r.t.Helper()
	r.reg = prometheus.NewRegistry()
	b, err := New(r.cfg, Deps{FS: r.fs, Registerer: r.reg, Log: testLog()})
	if err != nil {
		r.t.Fatal(err)
	}
	r.broker = b
	r.stop = once(run(r.t, b.Run))
	r.t.Cleanup(r.stop)
	waitFor(r.t, "the registration", func() bool {
		return r.names == nil || r.ask(r.names.Addr(), protocol.GetRouteInfoByTopic, &protocol.GetRouteInfoHeader{Topic: "broker-a"},
			nil).Code == protocol.Success
	})
}

func (r *rig) restart() {
	r.t.Helper()
	r.stop()
	r.up()
}

// once makes a stop that may be called again, by one goroutine.
func once(stop func()) func() {
	stopped := false
	return func() {
		if !stopped {
			stopped = true
			stop()
		}
	}
}

// run starts a service and returns how to stop it.
func run(t testing.TB, service func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- service(ctx) }()
	return func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("on stop: %v", err)
			}
		case <-time.After(25 * time.Second):
			t.Error("it does not stop")
		}
	}
}

type encoder interface{ Encode(*remoting.Command) }

func (r *rig) ask(addr string, code int, h encoder, body []byte) *remoting.Command {
	r.t.Helper()
	req := remoting.NewRequest(code)
	if h != nil {
		h.Encode(req)
	}
	req.Body = body
	ctx, cancel := context.WithTimeout(context.Background(), 25*time.Second)
	defer cancel()
	ans, err := r.client.Invoke(ctx, addr, req)
	if err != nil {
		r.t.Fatalf("%s: %v", protocol.RequestName(code), err)
	}
	return ans
}

// call asks the broker.
func (r *rig) call(code int, h encoder, body []byte) *remoting.Command {
	r.t.Helper()
	return r.ask(r.broker.Addr(), code, h, body)
}

// ok is call that must succeed.
func (r *rig) ok(code int, h encoder, body []byte) *remoting.Command {
	r.t.Helper()
	ans := r.call(code, h, body)
	if ans.Code != protocol.Success {
		r.t.Fatalf("%s: %v", protocol.RequestName(code), protocol.AsError(ans))
	}
	return ans
}

func body(t testing.TB, v any) []byte {
	t.Helper()
	b, err := protocol.EncodeBody(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sendHeader(topic string, queue int32, props map[string]string) *protocol.SendHeader {
	return &protocol.SendHeader{
		ProducerGroup: "p", Topic: topic, DefaultTopic: message.TopicAutoCreate, DefaultTopicQueueNums: 4,
		QueueID: queue, BornTimestamp: time.Now().UnixMilli(), Properties: string(message.AppendProperties(nil, props)),
	}
}

func (r *rig) send(topic string, queue int32, text string, props map[string]string) protocol.SendResponseHeader {
	r.t.Helper()
	ans := r.ok(protocol.SendMessageV2, sendHeader(topic, queue, props), []byte(text))
	var h protocol.SendResponseHeader
	if err := h.Decode(ans); err != nil {
		r.t.Fatal(err)
	}
	return h
}

func pullHeader(topic string, queue int32, offset int64) *protocol.PullHeader {
	return &protocol.PullHeader{
		ConsumerGroup: "g", Topic: topic, QueueID: queue, QueueOffset: offset, MaxMsgNums: 32,
		SysFlag: protocol.PullFlagSubscription, Subscription: "*",
	}
}

// pulled is an answer to a pull, its bodies joined with spaces.
type pulled struct {
	code   int
	remark string
	header protocol.PullResponseHeader
	bodies string
	recs   []message.Record
}

func parsePull(t testing.TB, ans *remoting.Command) pulled {
	t.Helper()
	p := pulled{code: ans.Code, remark: ans.Remark}
	if err := p.header.Decode(ans); err != nil {
		t.Fatalf("answer %d to a pull: %v", ans.Code, err)
	}
	var bodies []string
	for b := ans.Body; len(b) > 0; {
		rec, n, err := message.ParseRecord(b)
		if err != nil {
			t.Fatal(err)
		}
		p.recs = append(p.recs, rec)
		bodies = append(bodies, string(rec.Body))
		b = b[n:]
	}
	p.bodies = strings.Join(bodies, " ")
	return p
}

func (r *rig) pull(h *protocol.PullHeader) pulled {
	r.t.Helper()
	return parsePull(r.t, r.call(protocol.PullMessage, h, nil))
}

func (r *rig) createTopic(name string, queues int32, attributes string) {
	r.t.Helper()
	r.ok(protocol.UpdateAndCreateTopic, &protocol.CreateTopicHeader{
		Topic: name, DefaultTopic: message.TopicAutoCreate, ReadQueueNums: queues, WriteQueueNums: queues, Perm: 6,
		TopicFilterType: protocol.FilterSingleTag, Attributes: attributes,
	}, nil)
}

// pushed collects what the broker starts on a connection of its own.
type pushed struct {
	*rpc.Client
	got chan *remoting.Command
}

func (r *rig) pushClient() *pushed {
	p := &pushed{got: make(chan *remoting.Command, 100)}
	p.Client = rpc.NewClient(rpc.ClientConfig{Handler: rpc.HandlerFunc(func(x *rpc.Exchange) {
		c := *x.Request()
		c.Body = append([]byte(nil), c.Body...)
		p.got <- &c
		x.Reply(remoting.NewResponse(protocol.Success, ""))
	})}, testLog())
	r.t.Cleanup(p.Close)
	return p
}

func (p *pushed) next(t testing.TB) *remoting.Command {
	t.Helper()
	select {
	case c := <-p.got:
		return c
	case <-time.After(25 * time.Second):
		t.Fatal("the broker sends nothing")
		return nil
	}
}

// waitFor polls a condition that others make true.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(25 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("waited in vain for %s", what)
		case <-tick.C:
		}
	}
}

// dial opens a bare connection to the broker.
func (r *rig) dial() net.Conn {
	r.t.Helper()
	c, err := net.Dial("tcp", r.broker.Addr())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return c
}
