package rpc_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/rpc"
)

// patience lies below every limit that a server has by default: what comes true by one of
// those is not taken for what a test sets or sends.
const patience = 25 * time.Second

func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return nc
}

func frame(t testing.TB, c *remoting.Command) []byte {
	t.Helper()
	b, err := remoting.AppendFrame(nil, c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t testing.TB, w io.Writer, b []byte) {
	t.Helper()
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, r io.Reader) *remoting.Command {
	t.Helper()
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatal(err)
	}
	c, err := remoting.ParseFrame(b)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// waitClosed waits until the server has closed nc.
func waitClosed(t testing.TB, nc net.Conn) {
	t.Helper()
	if n, err := io.Copy(io.Discard, nc); err != nil && strings.Contains(err.Error(), "timeout") {
		t.Fatalf("the connection is still open after %d bytes: %v", n, err)
	}
}

// eventually waits for a condition that another goroutine makes true.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

func TestGarbageCostsItsOwnConnectionOnly(t *testing.T) {
	good := frame(t, request(1, "body"))
	broken := func(f func(b []byte)) string {
		b := append([]byte(nil), good...)
		f(b)
		return string(b)
	}
	for _, tc := range []struct{ name, bytes, log string }{
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "TLS"},
		{"HTTP", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP"},
		{"PROXY", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "PROXY"},
		{"2 GiB announced", "\x7f\xff\xff\xff\x00\x00\x00\x10{}", "too large"},
		{"negative length", "\xff\xff\xff\xff\x00\x00\x00\x10{}", "too large"},
		{"just over the limit", "\x01\x00\x00\x01\x00\x00\x00\x10{}", "too large"},
		{"length 3", "\x00\x00\x00\x03abc", "no frame"},
		{"header longer than frame", "\x00\x00\x00\x08\x00\x00\xff\xff{}{}", "no frame"},
		{"unknown form of header", broken(func(b []byte) { b[4] = 7 }), "no frame"},
		{"header is no JSON", broken(func(b []byte) { b[8] = '[' }), "malformed"},
		{"header is no binary", broken(func(b []byte) { b[4] = 1 }), "malformed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := startServer(t, rpc.ServerConfig{}, echo)
			other := dial(t, s.addr)
			write(t, other, good)
			read(t, other)

			nc := dial(t, s.addr)
			write(t, nc, []byte(tc.bytes))
			waitClosed(t, nc)
			eventually(t, "a log line with "+tc.log, func() bool { return strings.Contains(s.log.String(), tc.log) })

			write(t, other, good)
			if ans := read(t, other); string(ans.Body) != "body" {
				t.Fatalf("the other connection got %s", ans)
			}
		})
	}
}

func TestAnnouncedFrameTakesMemoryOnlyAsItArrives(t *testing.T) {
	s := startServer(t, rpc.ServerConfig{}, echo)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const peers = 64
	for range peers {
		nc := dial(t, s.addr)
		write(t, nc, []byte("\x00\xff\xff\xff\x00\x00\x00\x10{}"))
	}
	eventually(t, "all are connected", func() bool { return len(s.Conns()) == peers })
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > peers<<20 {
		t.Fatalf("%d peers that announce 16 MiB each took %d bytes", peers, grown)
	}
}

// Every connection may begin a frame of 16 MiB; together they may not hold more than the
// server has for all of them, and small frames go on.
func TestLargeFramesUnderWayAreBoundedTogether(t *testing.T) {
	s := startServer(t, rpc.ServerConfig{MaxLargeFrames: 4 << 20}, echo)
	begun := append([]byte("\x00\xff\xff\xff\x00\x00\x00\x10"), make([]byte, 3<<20)...)
	const peers = 8
	var list []net.Conn
	for range peers {
		nc := dial(t, s.addr)
		list = append(list, nc)
		_, _ = nc.Write(begun) // one that is cut off while it writes has its answer
	}
	eventually(t, "most are cut off", func() bool { return len(s.Conns()) <= 2 })
	req := remoting.NewRequest(1)
	nc := dial(t, s.addr)
	write(t, nc, frame(t, req))
	read(t, nc)
	for _, one := range list {
		one.Close()
	}
	eventually(t, "they are gone", func() bool { return len(s.Conns()) == 1 })
	req.Body = make([]byte, 1<<20)
	for range 8 { // what was given back can be taken again
		write(t, nc, frame(t, req))
		read(t, nc)
	}
}

func TestSilentPeersAreCutOff(t *testing.T) {
	const short = 50 * time.Millisecond
	first, inFrame, idle := rpc.ConnLimits{FirstByteTimeout: short}, rpc.ConnLimits{FrameTimeout: short}, rpc.ConnLimits{IdleTimeout: short}
	for _, tc := range []struct {
		name, bytes, log string
		limits           rpc.ConnLimits
	}{
		{"says nothing", "", "sent nothing", first},
		{"one byte", "\x00", "did not complete", inFrame},
		{"half a frame", "\x00\x00\x01\x00\x00\x00\x00\x10{", "did not complete", inFrame},
		{"half a large frame", "\x00\xf0\x00\x00\x00\x00\x00\x10{", "did not complete", inFrame},
		{"rests after a request", string(frame(t, request(1, ""))), "idle", idle},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := startServer(t, rpc.ServerConfig{ConnLimits: tc.limits}, echo)
			nc := dial(t, s.addr)
			write(t, nc, []byte(tc.bytes))
			waitClosed(t, nc)
			eventually(t, "a log line with "+tc.log, func() bool { return strings.Contains(s.log.String(), tc.log) })
		})
	}
}

func TestDrippingPeerIsCutOff(t *testing.T) {
	s := startServer(t, rpc.ServerConfig{ConnLimits: rpc.ConnLimits{FrameTimeout: 60 * time.Millisecond}}, echo)
	nc := dial(t, s.addr)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	good := frame(t, request(1, strings.Repeat("x", 100_000)))
	for i := 0; ; i++ {
		if i == len(good) {
			t.Fatal("a frame was taken byte by byte")
		}
		<-tick.C
		if _, err := nc.Write(good[i : i+1]); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal("the connection is still open")
			}
			return
		}
	}
}

func TestPeerThatDoesNotReadIsCutOff(t *testing.T) {
	s := startServer(t, rpc.ServerConfig{ConnLimits: rpc.ConnLimits{
		WriteTimeout: 100 * time.Millisecond, MaxPendingBytes: 1 << 20}}, func(x *rpc.Exchange) {
		ans := remoting.NewResponse(0, "")
		ans.Body = make([]byte, 256<<10)
		x.Reply(ans)
	})
	nc := dial(t, s.addr)
	req := frame(t, request(1, ""))
	for range 10_000 {
		if _, err := nc.Write(req); err != nil {
			break
		}
	}
	eventually(t, "the server has closed it", func() bool { return len(s.Conns()) == 0 })
}

func TestFloodIsReadOnlyAsFastAsItIsServed(t *testing.T) {
	const limit = 32
	var inFlight, most atomic.Int64
	release := make(chan *rpc.Exchange, 4*limit)
	s := startServer(t, rpc.ServerConfig{ConnLimits: rpc.ConnLimits{MaxPending: limit}}, func(x *rpc.Exchange) {
		most.Store(max(most.Load(), inFlight.Add(1)))
		release <- x
	})
	nc := dial(t, s.addr)
	const n = 5000
	go func() {
		req := frame(t, request(1, "flood"))
		for range n {
			if _, err := nc.Write(req); err != nil {
				return
			}
		}
	}()
	eventually(t, "the server is full", func() bool { return inFlight.Load() == limit })
	for range n {
		x := <-release
		inFlight.Add(-1)
		x.Reply(remoting.NewResponse(0, ""))
		read(t, nc)
	}
	if most.Load() > limit {
		t.Fatalf("%d requests were in flight, the limit is %d", most.Load(), limit)
	}
}

func TestUnansweredBytesAreBounded(t *testing.T) {
	var inFlight atomic.Int64
	release := make(chan *rpc.Exchange, 1000)
	s := startServer(t, rpc.ServerConfig{ConnLimits: rpc.ConnLimits{MaxPendingBytes: 4 << 20}, DrainTimeout: time.Millisecond},
		func(x *rpc.Exchange) { inFlight.Add(1); release <- x })
	nc := dial(t, s.addr)
	go func() {
		req := frame(t, request(1, strings.Repeat("x", 1<<20)))
		for range 50 {
			if _, err := nc.Write(req); err != nil {
				return
			}
		}
	}()
	for range 20 {
		x := <-release
		if n := inFlight.Add(-1); n > 5 {
			t.Fatalf("%d MiB are unanswered", n)
		}
		x.Reply(remoting.NewResponse(0, ""))
		read(t, nc)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	s := startServer(t, rpc.ServerConfig{MaxConnections: 2}, echo)
	for range 2 {
		nc := dial(t, s.addr)
		write(t, nc, frame(t, request(1, "")))
		read(t, nc)
	}
	waitClosed(t, dial(t, s.addr))
	if !strings.Contains(s.log.String(), "turned away") {
		t.Fatalf("log: %s", s.log.String())
	}
	eventually(t, "two connections, and one turned away", func() bool {
		return s.Stats() == rpc.ServerStats{Connections: 2, RefusedConnections: 1}
	})
}
