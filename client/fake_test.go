package client

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
	"github.com/millrace/millrace/remoting/rpc"
)

// fakeServer is a name server or a broker whose answers a test writes down.
type fakeServer struct {
	t    testing.TB
	addr string

	quiet bool // keeps no requests; set before use

	mu      sync.Mutex
	serve   map[int]func(*remoting.Command) *remoting.Command // nil answer: none
	seen    []*remoting.Command
	conns   []*rpc.Conn
	changed chan struct{}
	stop    func()
}

func newFakeServer(t testing.TB) *fakeServer {
	t.Helper()
	f := &fakeServer{t: t, serve: make(map[int]func(*remoting.Command) *remoting.Command), changed: make(chan struct{})}
	f.start("127.0.0.1:0")
	t.Cleanup(func() { f.stop() })
	f.on(protocol.HeartBeat, ok)
	f.on(protocol.UnregisterClient, ok)
	return f
}

// start listens; a stopped server may be started again, elsewhere or not.
func (f *fakeServer) start(addr string) {
	f.t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		f.t.Fatal(err)
	}
	f.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	srv := rpc.NewServer(rpc.ServerConfig{Opened: f.opened, DrainTimeout: time.Millisecond}, rpc.HandlerFunc(f.handle),
		slog.New(slog.DiscardHandler))
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(ctx, l) }()
	f.stop = sync.OnceFunc(func() {
		cancel()
		f.mu.Lock()
		conns := f.conns
		f.conns = nil
		f.mu.Unlock()
		for _, c := range conns {
			c.Close()
		}
		<-done
	})
}

func (f *fakeServer) opened(c *rpc.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conns = append(f.conns, c)
}

// on sets what a code is answered with.
func (f *fakeServer) on(code int, serve func(*remoting.Command) *remoting.Command) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.serve[code] = serve
}

func (f *fakeServer) handle(x *rpc.Exchange) {
	req := *x.Request()
	if !f.quiet {
		req.Body = bytes.Clone(req.Body)
		req.Ext = remoting.ExtFields{}
		for i := range x.Request().Ext.Len() {
			req.Ext.Add(x.Request().Ext.At(i))
		}
	}
	f.mu.Lock()
	if !f.quiet {
		f.seen = append(f.seen, &req)
		close(f.changed)
		f.changed = make(chan struct{})
	}
	serve := f.serve[req.Code]
	f.mu.Unlock()
	if serve == nil {
		x.Reply(remoting.NewResponse(protocol.RequestCodeNotSupported, "the fake does not serve "+protocol.RequestName(req.Code)))
		return
	}
	if ans := serve(&req); ans != nil {
		x.Reply(ans)
	}
}

// requests returns what came in under a code.
func (f *fakeServer) requests(code int) []*remoting.Command {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requestsLocked(code)
}

func (f *fakeServer) requestsLocked(code int) []*remoting.Command {
	var out []*remoting.Command
	for _, r := range f.seen {
		if r.Code == code {
			out = append(out, r)
		}
	}
	return out
}

// wait waits until n requests of a code have come in.
func (f *fakeServer) wait(code, n int) []*remoting.Command {
	f.t.Helper()
	deadline := time.After(25 * time.Second)
	for {
		f.mu.Lock()
		got, changed := f.requestsLocked(code), f.changed
		f.mu.Unlock()
		if len(got) >= n {
			return got
		}
		select {
		case <-changed:
		case <-deadline:
			f.t.Fatalf("%d requests of code %d came, want %d", len(got), code, n)
		}
	}
}

// push sends a request to every client.
func (f *fakeServer) push(req func() *remoting.Command) {
	f.mu.Lock()
	conns := slices.Clone(f.conns)
	f.mu.Unlock()
	for _, c := range conns {
		_ = c.Oneway(req())
	}
}

func ok(*remoting.Command) *remoting.Command { return remoting.NewResponse(protocol.Success, "") }

func refuse(code int) func(*remoting.Command) *remoting.Command {
	return func(*remoting.Command) *remoting.Command {
		return remoting.NewResponse(code, "refused by the test")
	}
}

func never(*remoting.Command) *remoting.Command { return nil }

// fakeCluster is one fake name server and fake brokers behind it.
type fakeCluster struct {
	t      testing.TB
	names  *fakeServer
	broker map[string]*fakeServer

	mu     sync.Mutex
	topics map[string]map[string]int32 // topic → broker → queues
	addrs  map[string]string
}

func newFakeCluster(t testing.TB, brokers ...string) *fakeCluster {
	t.Helper()
	c := &fakeCluster{t: t, names: newFakeServer(t), broker: make(map[string]*fakeServer),
		topics: make(map[string]map[string]int32), addrs: make(map[string]string)}
	for _, name := range brokers {
		b := newFakeServer(t)
		c.broker[name], c.addrs[name] = b, b.addr
		for _, code := range []int{protocol.SendMessageV2, protocol.SendBatchMessage} {
			b.on(code, c.stored)
		}
	}
	c.names.on(protocol.GetRouteInfoByTopic, c.route)
	c.names.on(protocol.GetBrokerClusterInfo, c.cluster)
	return c
}

// topic gives each broker n queues of a topic.
func (c *fakeCluster) topic(name string, n int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.topics[name] = make(map[string]int32)
	for b := range c.broker {
		c.topics[name][b] = n
	}
}

// move makes the name server tell another address.
func (c *fakeCluster) move(broker, addr string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addrs[broker] = addr
}

func (c *fakeCluster) data(name string) protocol.BrokerData {
	return protocol.BrokerData{Cluster: "test", BrokerName: name, BrokerAddrs: map[int64]string{0: c.addrs[name]}}
}

func (c *fakeCluster) route(req *remoting.Command) *remoting.Command {
	topic, _ := req.Ext.Get("topic")
	c.mu.Lock()
	defer c.mu.Unlock()
	queues, known := c.topics[topic]
	if !known {
		return remoting.NewResponse(protocol.TopicNotExist, topic)
	}
	var r protocol.TopicRouteData
	for b, n := range queues {
		r.QueueDatas = append(r.QueueDatas, protocol.QueueData{BrokerName: b, ReadQueueNums: n, WriteQueueNums: n, Perm: 6})
		r.BrokerDatas = append(r.BrokerDatas, c.data(b))
	}
	return withBody(&r)
}

func (c *fakeCluster) cluster(*remoting.Command) *remoting.Command {
	c.mu.Lock()
	defer c.mu.Unlock()
	info := protocol.ClusterInfo{BrokerAddrTable: make(map[string]protocol.BrokerData)}
	for b := range c.broker {
		info.BrokerAddrTable[b] = c.data(b)
	}
	return withBody(&info)
}

func withBody(body any) *remoting.Command {
	b, err := protocol.EncodeBody(body)
	if err != nil {
		panic(err)
	}
	ans := remoting.NewResponse(protocol.Success, "")
	ans.Body = b
	return ans
}

// stored answers a send as if the message had got offset 7 at place 4096.
func (c *fakeCluster) stored(req *remoting.Command) *remoting.Command {
	h, err := protocol.DecodeSend(req)
	if err != nil {
		return remoting.NewResponse(protocol.SystemError, err.Error())
	}
	ans := remoting.NewResponse(protocol.Success, "")
	key, _ := message.Property([]byte(h.Properties), message.PropertyUniqueKey)
	r := protocol.SendResponseHeader{MsgID: message.OffsetMsgID(storeHost, 4096), QueueID: h.QueueID, QueueOffset: 7, TransactionID: key}
	r.Encode(ans)
	return ans
}

// count is how many requests of a code all brokers got.
func (c *fakeCluster) count(code int) int {
	n := 0
	for _, b := range c.broker {
		n += len(b.requests(code))
	}
	return n
}

// options are what tests give every client: name server, and no patience.
func (c *fakeCluster) options() Option { return testOptions(c.names.addr) }
