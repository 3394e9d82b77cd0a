package rpc_test

import (
	"bytes"
	"fmt"
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
	ctx := within(t, 25*time.Second)
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
