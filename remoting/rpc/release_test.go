package rpc_test

import (
	"bytes"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/rpc"
)

// Memory that answers are lent, and that callers give back, is never under two at once:
// each answer arrives as it was written, however many share the same few buffers.
func TestLentBodiesArriveWhole(t *testing.T) {
	const callers, rounds = 8, 60
	var lent sync.Pool
	var out, back atomic.Int64
	s := startServer(t, rpc.ServerConfig{}, func(x *rpc.Exchange) {
		code := x.Request().Code
		size := []int{10, 5 << 10, 20 << 10, 300 << 10, 700 << 10, 1500 << 10}[code%6]
		var b []byte
		if used, ok := lent.Get().(*[]byte); ok {
			b = *used
		}
		if cap(b) < size {
			b = make([]byte, size)
		}
		b = b[:size]
		for i := range b {
			b[i] = byte(code)
		}
		out.Add(1)
		ans := remoting.NewResponse(0, "")
		ans.Body, ans.Release = b, func() { back.Add(1); clear(b); lent.Put(&b) }
		x.Reply(ans)
	})
	c := newClient(t, rpc.ClientConfig{})
	ctx := within(t, 30*time.Second)
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for round := range rounds {
				code := caller*7 + round
				ans, err := c.Invoke(ctx, s.addr, remoting.NewRequest(code))
				if err != nil {
					t.Error(err)
					return
				}
				if n := bytes.Count(ans.Body, []byte{byte(code)}); n != len(ans.Body) || n == 0 {
					t.Errorf("request %d: %d of %d bytes are its own", code, n, len(ans.Body))
					return
				}
				ans.Done()
				ans.Done() // is nothing
			}
		})
	}
	wg.Wait()
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if out.Load() != back.Load() {
		t.Errorf("%d bodies were lent, %d given back", out.Load(), back.Load())
	}
}

// BenchmarkLargeAnswers is what an answer of a reader costs both sides, with and without
// memory that is used again.
func BenchmarkLargeAnswers(b *testing.B) {
	body := make([]byte, 600<<10)
	s := startServer(b, rpc.ServerConfig{}, func(x *rpc.Exchange) {
		ans := remoting.NewResponse(0, "")
		ans.Body = body
		x.Reply(ans)
	})
	for _, release := range []bool{false, true} {
		b.Run(fmt.Sprintf("release=%t", release), func(b *testing.B) {
			c := newClient(b, rpc.ClientConfig{})
			ctx := within(b, time.Minute)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				ans, err := c.Invoke(ctx, s.addr, remoting.NewRequest(1))
				if err != nil {
					b.Fatal(err)
				}
				if release {
					ans.Done()
				}
			}
		})
	}
}

// partsServer answers with a body in parts whose memory is overwritten when it is given
// back, and counts.
func partsServer(t *testing.T, limits rpc.ConnLimits, out, back *atomic.Int64, parts int, size int) *served {
	return startServer(t, rpc.ServerConfig{ConnLimits: limits, DrainTimeout: 50 * time.Millisecond}, func(x *rpc.Exchange) {
		for range 2 { // only the first counts
			ans := remoting.NewResponse(0, "")
			for i := range parts {
				ans.Parts = append(ans.Parts, bytes.Repeat([]byte{byte(x.Request().Code + i)}, size))
			}
			list := ans.Parts
			out.Add(1)
			ans.Release = func() {
				back.Add(1)
				for _, p := range list {
					clear(p)
				}
			}
			x.Reply(ans)
		}
	})
}

func TestPartsArriveAsOneBodyHoweverSlowlyItIsRead(t *testing.T) {
	for _, tc := range []struct{ parts, size int }{{1, 1}, {3, 100}, {16, 37 << 10}, {3, 2 << 20}, {700, 1500}} {
		t.Run(fmt.Sprintf("%dx%d", tc.parts, tc.size), func(t *testing.T) {
			var out, back atomic.Int64
			s := partsServer(t, rpc.ConnLimits{}, &out, &back, tc.parts, tc.size)
			nc := dial(t, s.addr)
			const requests = 4
			for code := range requests {
				write(t, nc, frame(t, request(code, "")))
			}
			eventually(t, "all are answered", func() bool { return out.Load() == 2*requests })
			for code := range requests { // from here on the socket has room again
				var want []byte
				for i := range tc.parts {
					want = append(want, bytes.Repeat([]byte{byte(code + i)}, tc.size)...)
				}
				if ans := read(t, nc); !bytes.Equal(ans.Body, want) {
					t.Fatalf("answer %d has %d bytes, or others than were sent; %d are due", code, len(ans.Body), len(want))
				}
			}
			write(t, nc, frame(t, request(1, "")))
			oneway := request(1, "")
			oneway.Flag |= remoting.FlagOneway
			write(t, nc, frame(t, oneway))
			eventually(t, "all is given back, once", func() bool { return out.Load() == 2*requests+4 && back.Load() == out.Load() })
		})
	}
}

// What is lent comes back when the peer goes away in the middle of an answer, when it does
// not read, when it is owed more than it may be, and when the server stops.
func TestLentPartsComeBackWhenTheyCannotBeWritten(t *testing.T) {
	for _, tc := range []struct {
		name   string
		limits rpc.ConnLimits
		end    func(t *testing.T, s *served, nc net.Conn)
	}{
		{"the peer goes away", rpc.ConnLimits{}, func(_ *testing.T, _ *served, nc net.Conn) { nc.Close() }},
		{"the peer is reset", rpc.ConnLimits{}, func(t *testing.T, _ *served, nc net.Conn) {
			if err := nc.(*net.TCPConn).SetLinger(0); err != nil {
				t.Fatal(err)
			}
			nc.Close()
		}},
		{"the peer does not read", rpc.ConnLimits{WriteTimeout: 50 * time.Millisecond}, func(*testing.T, *served, net.Conn) {}},
		{"the server stops", rpc.ConnLimits{}, func(t *testing.T, s *served, _ net.Conn) {
			if err := s.stop(); err != nil {
				t.Error(err)
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out, back atomic.Int64
			tc.limits.MaxPendingBytes = 40 << 20
			s := partsServer(t, tc.limits, &out, &back, 4, 2<<20)
			nc := dial(t, s.addr)
			for code := range 30 {
				if _, err := nc.Write(frame(t, request(code, ""))); err != nil {
					break
				}
			}
			eventually(t, "more is answered than a socket holds", func() bool { return out.Load() >= 4 })
			tc.end(t, s, nc)
			eventually(t, "the connection is gone", func() bool { return len(s.Conns()) == 0 })
			eventually(t, "all is given back, once", func() bool { return back.Load() == out.Load() })
		})
	}
}
