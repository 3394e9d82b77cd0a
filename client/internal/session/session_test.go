package session

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
	"github.com/millrace/millrace/remoting/rpc"
)

// serve runs a server with one answer until the test ends.
func serve(t *testing.T, answer func(*remoting.Command) *remoting.Command) (addr string, asked *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked = new(atomic.Int64)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	srv := rpc.NewServer(rpc.ServerConfig{}, rpc.HandlerFunc(func(x *rpc.Exchange) {
		asked.Add(1)
		if ans := answer(x.Request()); ans != nil {
			x.Reply(ans)
		}
	}), slog.New(slog.DiscardHandler))
	go func() { defer close(done); _ = srv.Serve(ctx, l) }()
	t.Cleanup(func() { cancel(); <-done })
	return l.Addr().String(), asked
}

// nowhere is an address that nobody listens on.
func nowhere(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

type nobody struct{}

func (nobody) Heartbeat() []byte { return nil }
func (nobody) RoutesChanged()    {}

func newSession(t *testing.T, names ...string) *Session {
	t.Helper()
	cfg := DefaultConfig()
	cfg.NameServers = names
	cfg.RetryBackoff = time.Millisecond
	s, err := New(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(nobody{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 25*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func routeOf(queues int32) func(*remoting.Command) *remoting.Command {
	return func(*remoting.Command) *remoting.Command {
		ans := remoting.NewResponse(protocol.Success, "")
		ans.Body, _ = protocol.EncodeBody(&protocol.TopicRouteData{
			QueueDatas:  []protocol.QueueData{{BrokerName: "a", ReadQueueNums: queues, WriteQueueNums: queues, Perm: 6}},
			BrokerDatas: []protocol.BrokerData{{BrokerName: "a", BrokerAddrs: map[int64]string{0: "127.0.0.1:1"}}},
		})
		return ans
	}
}

func unknown(*remoting.Command) *remoting.Command {
	return remoting.NewResponse(protocol.TopicNotExist, "no topic")
}

func TestANameServerThatIsAwayIsPassedOver(t *testing.T) {
	live, asked := serve(t, routeOf(3))
	s := newSession(t, nowhere(t), live)
	for range 3 {
		r, err := s.Refresh(within(t), "T")
		if err != nil || len(r.Read) != 3 {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	if n := asked.Load(); n != 3 {
		t.Fatalf("asked %d times", n)
	}
	if s.names.first() != 1 {
		t.Error("the one that answered is not asked first")
	}
}

func TestAnEmptyNameServerDoesNotHideATopic(t *testing.T) {
	empty, _ := serve(t, unknown)
	full, _ := serve(t, routeOf(2))
	s := newSession(t, empty, full)
	if r, err := s.Route(within(t), "T"); err != nil || len(r.Read) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
}

func TestATopicThatNobodyKnowsIsNotFound(t *testing.T) {
	one, _ := serve(t, unknown)
	s := newSession(t, nowhere(t), one)
	if _, err := s.Route(within(t), "T"); !errors.Is(err, ErrTopicNotFound) {
		t.Fatalf("route: %v", err)
	}
	none := newSession(t, nowhere(t), nowhere(t))
	_, err := none.Route(within(t), "T")
	if err == nil || errors.Is(err, ErrTopicNotFound) || !errors.Is(err, ErrNotSent) || strings.Count(err.Error(), "name server") != 2 {
		t.Fatalf("route without a name server: %v", err)
	}
}

func TestCallersShareOneRequest(t *testing.T) {
	gate := make(chan struct{})
	addr, asked := serve(t, func(r *remoting.Command) *remoting.Command { <-gate; return routeOf(1)(r) })
	s := newSession(t, addr)
	outcomes := make(chan error, 8)
	for range cap(outcomes) {
		go func() { _, err := s.Refresh(within(t), "T"); outcomes <- err }()
	}
	for asked.Load() == 0 {
		if err := within(t).Err(); err != nil {
			t.Fatal(err)
		}
	}
	close(gate)
	for range cap(outcomes) {
		if err := <-outcomes; err != nil {
			t.Fatal(err)
		}
	}
	if n := asked.Load(); n > 8 || n < 1 {
		t.Fatalf("asked %d times", n)
	}
}

func TestOneWhoGivesUpDoesNotEndTheRequestOfTheOthers(t *testing.T) {
	gate := make(chan struct{})
	addr, _ := serve(t, func(r *remoting.Command) *remoting.Command { <-gate; return routeOf(1)(r) })
	s := newSession(t, addr)
	ctx, cancel := context.WithCancel(context.Background())
	first := make(chan error, 1)
	go func() { _, err := s.Refresh(ctx, "T"); first <- err }()
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Fatalf("the one who gave up: %v", err)
	}
	second := make(chan error, 1)
	go func() { _, err := s.Refresh(within(t), "T"); second <- err }()
	close(gate)
	if err := <-second; err != nil {
		t.Fatal(err)
	}
}

func TestRequestsAreSigned(t *testing.T) {
	req := remoting.NewRequest(10)
	req.Ext.Add("b", "two")
	req.Ext.Add("a", "one")
	req.Body = []byte("body")
	for range 2 { // signing again changes nothing
		sign(req, Credentials{AccessKey: "key", SecretKey: "secret"})
		// HMAC-SHA1("secret", "key" + "one" + "two" + "body"): AccessKey sorts before a and b.
		if got, _ := req.Ext.Get("Signature"); got != signatureOf("secret", "keyonetwobody") {
			t.Fatalf("signature %s", got)
		}
	}
}

func TestBrokersGetAnAnswerToWhatTheyAsk(t *testing.T) {
	var conn atomic.Pointer[rpc.Conn]
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	srv := rpc.NewServer(rpc.ServerConfig{Opened: func(c *rpc.Conn) { conn.Store(c) }},
		rpc.HandlerFunc(func(x *rpc.Exchange) { x.Reply(remoting.NewResponse(protocol.Success, "")) }), nil)
	go func() { defer close(done); _ = srv.Serve(ctx, l) }()
	t.Cleanup(func() { cancel(); <-done })
	s := newSession(t, l.Addr().String())
	if _, err := s.Invoke(within(t), l.Addr().String(), remoting.NewRequest(protocol.HeartBeat)); err != nil {
		t.Fatal(err)
	}
	ans, err := conn.Load().Invoke(within(t), remoting.NewRequest(protocol.GetConsumerRunningInfo))
	if err != nil || ans.Code != protocol.RequestCodeNotSupported {
		t.Fatalf("%v, %v", ans, err)
	}
}

func TestConfigNamesEveryMistake(t *testing.T) {
	cfg := Config{NameServers: []string{"no-port"}, InstanceName: "a@b", Credentials: Credentials{AccessKey: "only"}}
	err := cfg.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{"no-port", "name server timeout", "route refresh", "heartbeat", "secret key", "instance name"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not named in: %v", part, err)
		}
	}
	if (&Config{}).Validate() == nil {
		t.Error("a configuration without name server is accepted")
	}
	if got := ParseNameServers("a:1; b:2,c:3 "); len(got) != 3 || got[1] != "b:2" {
		t.Errorf("%q", got)
	}
}

func TestIdsDiffer(t *testing.T) {
	a, b := newSession(t, "x:1"), newSession(t, "x:1")
	if a.ClientID() == b.ClientID() {
		t.Error("two clients have one name")
	}
	seen := make(map[string]bool)
	for range 1000 {
		for _, s := range []*Session{a, b} {
			id := s.NextID()
			if seen[id] || len(id) != 32 && len(id) != 56 {
				t.Fatalf("id %s", id)
			}
			seen[id] = true
		}
	}
	cfg := DefaultConfig()
	cfg.NameServers, cfg.ClientIP, cfg.InstanceName = []string{"x:1"}, netip.MustParseAddr("10.1.2.3"), "me"
	s, err := New(cfg, nil)
	if err != nil || s.ClientID() != "10.1.2.3@me" || !bytes.HasPrefix([]byte(s.NextID()), []byte("0A010203")) {
		t.Fatalf("%v, %v", s.ClientID(), err)
	}
	_ = s.Close()
	if _, err := s.Route(within(t), "T"); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func signatureOf(secret, text string) string {
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
