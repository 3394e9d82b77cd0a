package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/rpc"
)

// lines is where a server under test logs to.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lines) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type served struct {
	*rpc.Server
	addr string
	log  lines
	stop func() error // ends Serve and returns what it returned
}

func startServer(t testing.TB, cfg rpc.ServerConfig, h rpc.HandlerFunc) *served {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &served{addr: ln.Addr().String()}
	s.Server = rpc.NewServer(cfg, h, s.log.logger())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	s.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

func newClient(t testing.TB, cfg rpc.ClientConfig) *rpc.Client {
	c := rpc.NewClient(cfg, nil)
	t.Cleanup(c.Close)
	return c
}

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func request(code int, body string) *remoting.Command {
	c := remoting.NewRequest(code)
	c.Body = []byte(body)
	return c
}

// echo answers with the request's body and field k.
func echo(x *rpc.Exchange) {
	ans := remoting.NewResponse(0, "")
	ans.Body = bytes.Clone(x.Request().Body)
	if v, ok := x.Request().Ext.Get("k"); ok {
		ans.Ext.Set("k", v)
	}
	x.Reply(ans)
}

func TestInvokeReturnsTheAnswerOfItsRequest(t *testing.T) {
	s := startServer(t, rpc.ServerConfig{}, echo)
	c := newClient(t, rpc.ClientConfig{})
	for _, size := range []int{0, 1, 4 << 10, 9 << 10, 127 << 10, 300 << 10, 3 << 20} {
		for _, form := range []remoting.Serialization{remoting.SerializationJSON, remoting.SerializationRocketMQ} {
			req := request(1, strings.Repeat("x", size))
			req.Serialization = form
			req.Ext.Set("k", fmt.Sprint(size))
			ans, err := c.Invoke(within(t, 25*time.Second), s.addr, req)
			if err != nil {
				t.Fatalf("%d bytes: %v", size, err)
			}
			if v, _ := ans.Ext.Get("k"); v != fmt.Sprint(size) || !bytes.Equal(ans.Body, req.Body) || ans.Serialization != form {
				t.Fatalf("%d bytes: got %s, k=%q, form %d", size, ans, v, ans.Serialization)
			}
		}
	}
}

func TestAnswersMayComeInAnyOrder(t *testing.T) {
	var mu sync.Mutex
	var held []*rpc.Exchange
	const n = 200
	s := startServer(t, rpc.ServerConfig{}, func(x *rpc.Exchange) {
		ans := remoting.NewResponse(x.Request().Code, "")
		mu.Lock()
		defer mu.Unlock()
		if held = append(held, x); len(held) < n {
			return
		}
		_ = ans
		for i := len(held) - 1; i >= 0; i-- {
			held[i].Reply(remoting.NewResponse(held[i].Request().Code, ""))
		}
	})
	c := newClient(t, rpc.ClientConfig{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			ans, err := c.Invoke(within(t, 25*time.Second), s.addr, remoting.NewRequest(1000+i))
			if err != nil || ans.Code != 1000+i {
				t.Errorf("request %d: %v, %v", i, ans, err)
			}
		})
	}
	wg.Wait()
}

func TestOnewayIsServedInOrderAndNotAnswered(t *testing.T) {
	var got []int
	s := startServer(t, rpc.ServerConfig{}, func(x *rpc.Exchange) {
		if x.Request().IsOneway() {
			got = append(got, x.Request().Code)
		}
		x.Reply(remoting.NewResponse(0, ""))
	})
	c := newClient(t, rpc.ClientConfig{})
	ctx := within(t, 25*time.Second)
	for i := range 100 {
		if err := c.Oneway(ctx, s.addr, remoting.NewRequest(i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Invoke(ctx, s.addr, remoting.NewRequest(7)); err != nil {
		t.Fatal(err)
	}
	if len(got) != 100 || got[0] != 0 || got[99] != 99 {
		t.Fatalf("served %v", got)
	}
}

func TestServerInvokesItsClient(t *testing.T) {
	opened := make(chan *rpc.Conn, 1)
	s := startServer(t, rpc.ServerConfig{Opened: func(c *rpc.Conn) { opened <- c }}, echo)
	c := newClient(t, rpc.ClientConfig{Handler: rpc.HandlerFunc(echo)})
	ctx := within(t, 25*time.Second)
	if _, err := c.Invoke(ctx, s.addr, remoting.NewRequest(1)); err != nil {
		t.Fatal(err)
	}
	ans, err := (<-opened).Invoke(ctx, request(39, "half"))
	if err != nil || string(ans.Body) != "half" {
		t.Fatalf("got %v, %v", ans, err)
	}
}

func TestUnknownAnswersAreDropped(t *testing.T) {
	s := startServer(t, rpc.ServerConfig{}, echo)
	nc := dial(t, s.addr)
	stray := remoting.NewResponse(0, "")
	stray.Opaque = 4711
	write(t, nc, frame(t, stray))
	write(t, nc, frame(t, request(1, "still here")))
	if ans := read(t, nc); string(ans.Body) != "still here" {
		t.Fatalf("got %s", ans)
	}
}

func TestCallsFailWhenTheConnectionGoes(t *testing.T) {
	s := startServer(t, rpc.ServerConfig{}, func(x *rpc.Exchange) { x.Conn().Close() })
	c := newClient(t, rpc.ClientConfig{})
	_, err := c.Invoke(within(t, 25*time.Second), s.addr, remoting.NewRequest(1))
	if !errors.Is(err, rpc.ErrClosed) {
		t.Fatalf("got %v", err)
	}
	done := make(chan error, 1)
	c.InvokeAsync(s.addr, remoting.NewRequest(1), 25*time.Second, func(_ *remoting.Command, err error) { done <- err })
	if err := <-done; !errors.Is(err, rpc.ErrClosed) {
		t.Fatalf("async: got %v", err)
	}
}

func TestCallsTimeOut(t *testing.T) {
	s := startServer(t, rpc.ServerConfig{DrainTimeout: time.Millisecond}, func(*rpc.Exchange) {})
	c := newClient(t, rpc.ClientConfig{})
	_, err := c.Invoke(within(t, 500*time.Millisecond), s.addr, remoting.NewRequest(1))
	if !errors.Is(err, rpc.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	done := make(chan error, 1)
	c.InvokeAsync(s.addr, remoting.NewRequest(1), 20*time.Millisecond, func(_ *remoting.Command, err error) { done <- err })
	if err := <-done; !errors.Is(err, rpc.ErrTimeout) {
		t.Fatalf("async: got %v", err)
	}
}

func TestClientSaysWhatItCouldNotDial(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	c := newClient(t, rpc.ClientConfig{})
	if _, err := c.Invoke(within(t, 25*time.Second), addr, remoting.NewRequest(1)); !errors.Is(err, rpc.ErrDial) ||
		!strings.Contains(err.Error(), addr) {
		t.Fatalf("got %v", err)
	}
	// The next attempt waits, and the caller's deadline holds meanwhile.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.Invoke(ctx, addr, remoting.NewRequest(1)); !errors.Is(err, rpc.ErrDial) || !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

func TestClientConnectsAgain(t *testing.T) {
	var served atomic.Int32
	s := startServer(t, rpc.ServerConfig{}, func(x *rpc.Exchange) {
		if served.Add(1) == 1 {
			x.Conn().Close()
			return
		}
		echo(x)
	})
	c := newClient(t, rpc.ClientConfig{})
	ctx := within(t, 25*time.Second)
	if _, err := c.Invoke(ctx, s.addr, remoting.NewRequest(1)); err == nil {
		t.Fatal("the first call should have failed")
	}
	if _, err := c.Invoke(ctx, s.addr, remoting.NewRequest(1)); err != nil {
		t.Fatal(err)
	}
}

func TestClosedClientRefuses(t *testing.T) {
	c := rpc.NewClient(rpc.ClientConfig{}, nil)
	c.Close()
	if _, err := c.Invoke(context.Background(), "127.0.0.1:1", remoting.NewRequest(1)); !errors.Is(err, rpc.ErrClosed) {
		t.Fatalf("got %v", err)
	}
	done := make(chan error, 1)
	c.InvokeAsync("127.0.0.1:1", remoting.NewRequest(1), time.Second, func(_ *remoting.Command, err error) { done <- err })
	if err := <-done; !errors.Is(err, rpc.ErrClosed) {
		t.Fatalf("async: got %v", err)
	}
}

func TestHooksFailDropAndDelay(t *testing.T) {
	boom := errors.New("boom")
	s := startServer(t, rpc.ServerConfig{}, echo)
	var sent []int
	hook := rpc.Hook{
		Request: func(addr string, req *remoting.Command) error {
			sent = append(sent, req.Code)
			if req.Code == 1 {
				return boom
			}
			return nil
		},
		Answer: func(_ string, req, _ *remoting.Command) rpc.Verdict {
			return rpc.Verdict{Drop: req.Code == 2, Delay: map[int]time.Duration{3: time.Second}[req.Code]}
		},
	}
	c := newClient(t, rpc.ClientConfig{Hooks: []rpc.Hook{hook}})
	if _, err := c.Invoke(within(t, 25*time.Second), s.addr, remoting.NewRequest(1)); !errors.Is(err, boom) {
		t.Errorf("failed request: got %v", err)
	}
	if _, err := c.Invoke(within(t, 500*time.Millisecond), s.addr, remoting.NewRequest(2)); !errors.Is(err, rpc.ErrTimeout) {
		t.Errorf("dropped answer: got %v", err)
	}
	order := make(chan int, 2)
	for _, code := range []int{3, 4} {
		c.InvokeAsync(s.addr, remoting.NewRequest(code), 25*time.Second, func(_ *remoting.Command, err error) { order <- code })
	}
	if a, b := <-order, <-order; a != 4 || b != 3 {
		t.Errorf("the delayed answer came in place %d, %d", a, b)
	}
	if fmt.Sprint(sent) != "[1 2 3 4]" {
		t.Errorf("hook saw %v", sent)
	}
}

func TestStoppingServerAnswersWhatItOwes(t *testing.T) {
	got := make(chan *rpc.Exchange, 1)
	s := startServer(t, rpc.ServerConfig{DrainTimeout: 2 * time.Minute}, func(x *rpc.Exchange) { got <- x })
	c := newClient(t, rpc.ClientConfig{})
	answered := make(chan error, 1)
	c.InvokeAsync(s.addr, remoting.NewRequest(1), 25*time.Second, func(_ *remoting.Command, err error) { answered <- err })
	x := <-got
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	select {
	case err := <-stopped:
		t.Fatalf("Serve returned before its answer was given: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	ans := remoting.NewResponse(0, "")
	ans.Body = bytes.Repeat([]byte("z"), 2<<20)
	x.Reply(ans)
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
}

func TestSecondReplyIsIgnored(t *testing.T) {
	s := startServer(t, rpc.ServerConfig{}, func(x *rpc.Exchange) {
		x.Reply(remoting.NewResponse(1, ""))
		x.Reply(remoting.NewResponse(2, ""))
	})
	nc := dial(t, s.addr)
	for range 2 {
		write(t, nc, frame(t, request(9, "")))
		if ans := read(t, nc); ans.Code != 1 {
			t.Fatalf("got %s", ans)
		}
	}
}

func TestTooLargeAnswerBecomesAnError(t *testing.T) {
	s := startServer(t, rpc.ServerConfig{}, func(x *rpc.Exchange) {
		ans := remoting.NewResponse(0, "")
		ans.Body = make([]byte, remoting.MaxFrame)
		x.Reply(ans)
	})
	c := newClient(t, rpc.ClientConfig{})
	ans, err := c.Invoke(within(t, 25*time.Second), s.addr, remoting.NewRequest(1))
	if err != nil || ans.Code != 1 || !strings.Contains(ans.Remark, "too large") {
		t.Fatalf("got %v, %v", ans, err)
	}
}

func TestConnValues(t *testing.T) {
	type key struct{}
	s := startServer(t, rpc.ServerConfig{}, func(x *rpc.Exchange) {
		n, _ := x.Conn().Value(key{}).(int)
		x.Conn().SetValue(key{}, n+1)
		x.Reply(remoting.NewResponse(n, x.Conn().RemoteAddrPort().Addr().String()))
	})
	c := newClient(t, rpc.ClientConfig{})
	for want := range 3 {
		ans, err := c.Invoke(within(t, 25*time.Second), s.addr, remoting.NewRequest(1))
		if err != nil || ans.Code != want || ans.Remark != "127.0.0.1" {
			t.Fatalf("got %v, %v", ans, err)
		}
	}
}
