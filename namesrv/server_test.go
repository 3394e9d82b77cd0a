package namesrv

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
	"github.com/millrace/millrace/remoting/rpc"
)

// rig is a name server on loopback with a clock of its own.
type rig struct {
	t      *testing.T
	server *Server
	clock  atomic.Int64
	kvFile string
}

func start(t *testing.T, kvFile string) *rig {
	t.Helper()
	r := &rig{t: t, kvFile: kvFile}
	r.clock.Store(1_700_000_000)
	cfg := DefaultConfig()
	cfg.ListenPort, cfg.KVConfigPath = 0, kvFile
	log := slog.New(slog.DiscardHandler)
	server, err := New(cfg, Deps{Now: func() time.Time { return time.Unix(r.clock.Load(), 0) }}, log)
	if err != nil {
		t.Fatal(err)
	}
	r.server = server
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *rig) dial() *rpc.Client {
	c := rpc.NewClient(rpc.ClientConfig{}, slog.New(slog.DiscardHandler))
	r.t.Cleanup(c.Close)
	return c
}

type encoder interface{ Encode(*remoting.Command) }

func (r *rig) ask(c *rpc.Client, code int, h encoder, body any) *remoting.Command {
	r.t.Helper()
	req := remoting.NewRequest(code)
	if h != nil {
		h.Encode(req)
	}
	if body != nil {
		var err error
		if req.Body, err = protocol.EncodeBody(body); err != nil {
			r.t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 25*time.Second)
	defer cancel()
	ans, err := c.Invoke(ctx, r.server.Addr(), req)
	if err != nil {
		r.t.Fatalf("%s: %v", protocol.RequestName(code), err)
	}
	return ans
}

func (r *rig) register(c *rpc.Client, name string, topics ...string) {
	r.t.Helper()
	h := &protocol.RegisterBrokerHeader{BrokerName: name, BrokerAddr: name + ":10911", ClusterName: "c", HAServerAddr: name + ":10912"}
	body := &protocol.RegisterBrokerBody{}
	body.TopicConfigs.DataVersion.Counter = 1
	body.TopicConfigs.TopicConfigTable = map[string]protocol.TopicConfig{}
	for _, topic := range topics {
		body.TopicConfigs.TopicConfigTable[topic] = protocol.TopicConfig{TopicName: topic, ReadQueueNums: 4, WriteQueueNums: 4, Perm: 6}
	}
	if ans := r.ask(c, protocol.RegisterBroker, h, body); ans.Code != protocol.Success {
		r.t.Fatal(protocol.AsError(ans))
	}
}

// brokers are the names of the brokers that serve a topic.
func (r *rig) brokers(c *rpc.Client, topic string) []string {
	r.t.Helper()
	ans := r.ask(c, protocol.GetRouteInfoByTopic, &protocol.GetRouteInfoHeader{Topic: topic}, nil)
	if ans.Code == protocol.TopicNotExist {
		return nil
	}
	var route protocol.TopicRouteData
	if err := protocol.DecodeBody(ans.Body, &route); err != nil {
		r.t.Fatal(err)
	}
	var names []string
	for i, q := range route.QueueDatas {
		if route.BrokerDatas[i].BrokerAddrs[0] != q.BrokerName+":10911" || q.WriteQueueNums != 4 {
			r.t.Fatalf("route %s", ans.Body)
		}
		names = append(names, q.BrokerName)
	}
	return names
}

func TestRoutesComeAndGoWithTheirBrokers(t *testing.T) {
	r := start(t, "")
	a, b, client := r.dial(), r.dial(), r.dial()
	if got := r.brokers(client, "orders"); got != nil {
		t.Fatalf("route before anybody registered: %v", got)
	}
	r.register(a, "a", "orders")
	r.register(b, "b", "orders", "users")
	if got := r.brokers(client, "orders"); len(got) != 2 {
		t.Fatalf("route %v", got)
	}

	a.Close()
	waitFor(t, func() bool { return len(r.brokers(client, "orders")) == 1 })

	r.clock.Add(121)
	r.server.expire(r.server.now())
	if got := r.brokers(client, "users"); got != nil {
		t.Fatalf("a silent broker is still there: %v", got)
	}

	r.register(b, "b", "users")
	h := &protocol.UnregisterBrokerHeader{BrokerName: "b", BrokerAddr: "b:10911", ClusterName: "c"}
	if ans := r.ask(b, protocol.UnregisterBroker, h, nil); ans.Code != protocol.Success || r.brokers(client, "users") != nil {
		t.Fatal("a broker that said goodbye is still there")
	}
}

func TestABrokerIsAwaited(t *testing.T) {
	r := start(t, "")
	done := make(chan struct{})
	go func() {
		r.server.Await(t.Context(), "b")
		close(done)
	}()
	conn := r.dial()
	r.register(conn, "a")
	select {
	case <-done:
		t.Error("another broker was taken for it")
	default:
	}
	r.register(conn, "b")
	<-done
	r.server.Await(t.Context(), "a") // that is there already
	ended, end := context.WithCancel(t.Context())
	end()
	r.server.Await(ended, "c")
}

func TestDataVersions(t *testing.T) {
	r := start(t, "")
	c := r.dial()
	h := &protocol.UnregisterBrokerHeader{BrokerName: "a", BrokerAddr: "a:10911", ClusterName: "c"}
	changed := func(counter int64) string {
		ans := r.ask(c, protocol.QueryDataVersion, h, &protocol.DataVersion{Counter: counter})
		v, _ := ans.Ext.Get("changed")
		return v
	}
	if got := changed(1); got != "true" {
		t.Fatalf("unknown broker: %s", got)
	}
	r.register(c, "a", "orders")
	if same, other := changed(1), changed(2); same != "false" || other != "true" {
		t.Fatalf("the same version %s, another %s", same, other)
	}
}

func TestListsAndDeletion(t *testing.T) {
	r := start(t, "")
	c := r.dial()
	r.register(c, "a", "orders", "users")
	topics := func(code int, h encoder) []string {
		var list protocol.TopicList
		if err := protocol.DecodeBody(r.ask(c, code, h, nil).Body, &list); err != nil {
			t.Fatal(err)
		}
		return list.TopicList
	}
	if got := topics(protocol.GetAllTopicListFromNameserver, nil); len(got) != 2 {
		t.Fatalf("topics %v", got)
	}
	if got := topics(protocol.GetTopicsByCluster, &protocol.GetTopicsByClusterHeader{Cluster: "d"}); len(got) != 0 {
		t.Fatalf("topics of another cluster %v", got)
	}
	r.ask(c, protocol.DeleteTopicInNamesrv, &protocol.DeleteTopicInNamesrvHeader{Topic: "orders"}, nil)
	if got := r.brokers(c, "orders"); got != nil {
		t.Fatalf("deleted topic at %v", got)
	}
	var info protocol.ClusterInfo
	if err := protocol.DecodeBody(r.ask(c, protocol.GetBrokerClusterInfo, nil, nil).Body, &info); err != nil {
		t.Fatal(err)
	}
	if info.BrokerAddrTable["a"].BrokerAddrs[0] != "a:10911" || len(info.ClusterAddrTable["c"]) != 1 {
		t.Fatalf("cluster %+v", info)
	}
}

func TestSettingsSurviveARestart(t *testing.T) {
	file := filepath.ToSlash(filepath.Join(t.TempDir(), "namesrv", "kvConfig.json"))
	r := start(t, file)
	c := r.dial()
	put := &protocol.KVConfigHeader{Namespace: "ORDER_TOPIC_CONFIG", Key: "orders", Value: "a:4"}
	if ans := r.ask(c, protocol.PutKVConfig, put, nil); ans.Code != protocol.Success {
		t.Fatal(protocol.AsError(ans))
	}
	again := start(t, file)
	var table protocol.KVTable
	ans := again.ask(again.dial(), protocol.GetKVListByNamespace, &protocol.KVConfigHeader{Namespace: "ORDER_TOPIC_CONFIG"}, nil)
	if err := protocol.DecodeBody(ans.Body, &table); err != nil || table.Table["orders"] != "a:4" {
		t.Fatalf("%v, %v", table, err)
	}
	get := &protocol.KVConfigHeader{Namespace: "ORDER_TOPIC_CONFIG", Key: "orders"}
	again.ask(again.dial(), protocol.DeleteKVConfig, get, nil)
	if ans := again.ask(again.dial(), protocol.GetKVConfig, get, nil); ans.Code != protocol.QueryNotFound {
		t.Fatalf("deleted, yet %v", ans)
	}
	if ans := again.ask(again.dial(), protocol.PutKVConfig, &protocol.KVConfigHeader{Namespace: "n", Key: "k", Value: string(make([]byte, maxKVLen))}, nil); ans.Code != protocol.InvalidParameter {
		t.Fatalf("too long, yet %v", ans)
	}
}

func TestWhatIsNotServed(t *testing.T) {
	r := start(t, "")
	c := r.dial()
	for code, want := range map[int]string{
		12345:                        " request type 12345 not supported",
		protocol.GetNamesrvConfig:    "GET_NAMESRV_CONFIG (319) is not supported yet",
		protocol.UpdateNamesrvConfig: "UPDATE_NAMESRV_CONFIG (318) is not supported yet",
	} {
		if ans := r.ask(c, code, nil, nil); ans.Code != protocol.RequestCodeNotSupported || ans.Remark != want {
			t.Errorf("%d: %d %q", code, ans.Code, ans.Remark)
		}
	}
	if ans := r.ask(c, protocol.GetRouteInfoByTopic, nil, nil); ans.Code != protocol.SystemError {
		t.Errorf("a header without a topic: %v", protocol.AsError(ans))
	}
	h := &protocol.RegisterBrokerHeader{BrokerName: "a", BrokerAddr: "a:1", ClusterName: "c", Compressed: true}
	req := remoting.NewRequest(protocol.RegisterBroker)
	h.Encode(req)
	req.Body = []byte("garbage")
	ans, err := c.Invoke(t.Context(), r.server.Addr(), req)
	if err != nil || ans.Code != protocol.SystemError {
		t.Errorf("a garbage registration: %v, %v", ans, err)
	}
}

func TestConfiguration(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"port":    func(c *Config) { c.ListenPort = 70000 },
		"address": func(c *Config) { c.BindAddress = "everywhere" },
		"public":  func(c *Config) { c.BindAddress = "0.0.0.0" },
		"scan":    func(c *Config) { c.ScanNotActiveBrokerInterval = 0 },
		"limits":  func(c *Config) { c.MaxBrokers = 0 },
	} {
		c := DefaultConfig()
		change(&c)
		if err := c.Validate(); err == nil {
			t.Errorf("%s passes", name)
		}
	}
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	if _, err := New(Config{}, Deps{}, slog.New(slog.DiscardHandler)); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("an empty configuration: %v", err)
	}
}

// waitFor polls a condition that another goroutine makes true.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(25 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatal("it did not become true")
		case <-tick.C:
		}
	}
}

// TestABrokerThatMovedIsTaken registers a broker whose place another address holds, over a
// connection that stays open. Who answers at the old address keeps the place; who does not
// loses it, and the claimant has the answer to its first registration.
func TestABrokerThatMovedIsTaken(t *testing.T) {
	listen := func() net.Listener {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		return ln
	}
	silent, closed, alive := listen(), listen(), listen()
	closed.Close()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- rpc.NewServer(rpc.ServerConfig{}, rpc.HandlerFunc(func(x *rpc.Exchange) {
			x.Reply(remoting.NewResponse(protocol.RequestCodeNotSupported, "anything"))
		}), slog.New(slog.DiscardHandler)).Serve(ctx, alive)
	}()
	t.Cleanup(func() { cancel(); <-done })
	for name, c := range map[string]struct {
		holder net.Listener
		want   int
	}{
		"a process that stands":  {silent, protocol.Success},
		"a port that is closed":  {closed, protocol.Success},
		"a broker that is alive": {alive, protocol.SystemError},
	} {
		r := start(t, "")
		old, moved := r.dial(), r.dial()
		register := func(by *rpc.Client, addr string) *remoting.Command {
			h := &protocol.RegisterBrokerHeader{BrokerName: "b", BrokerAddr: addr, ClusterName: "c", HAServerAddr: addr}
			body := &protocol.RegisterBrokerBody{}
			body.TopicConfigs.TopicConfigTable = map[string]protocol.TopicConfig{"orders": {TopicName: "orders", ReadQueueNums: 4, WriteQueueNums: 4, Perm: 6}}
			return r.ask(by, protocol.RegisterBroker, h, body)
		}
		if ans := register(old, c.holder.Addr().String()); ans.Code != protocol.Success {
			t.Fatalf("%s: the first registration: %v", name, ans)
		}
		ans := register(moved, "192.0.2.7:10911")
		if ans.Code != c.want || ans.Code != protocol.Success && !strings.Contains(ans.Remark, c.holder.Addr().String()) {
			t.Errorf("%s: the claim is answered %d %s", name, ans.Code, ans.Remark)
		}
		route := r.ask(old, protocol.GetRouteInfoByTopic, &protocol.GetRouteInfoHeader{Topic: "orders"}, nil)
		if took := strings.Contains(string(route.Body), "192.0.2.7"); took != (c.want == protocol.Success) {
			t.Errorf("%s: the route is %s", name, route.Body)
		}
	}
}
