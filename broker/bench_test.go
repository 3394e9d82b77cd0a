package broker

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

// BenchmarkSend keeps 64 sends of 1 KiB in flight on one connection. Client and broker
// share the process, so its CPU time is that of both.
func BenchmarkSend(b *testing.B) {
	for _, flush := range []string{"ASYNC_FLUSH", "SYNC_FLUSH"} {
		b.Run(flush, func(b *testing.B) {
			r := newRig(b, func(c *Config) {
				c.FlushDiskType = flush
				c.MappedFileSizeCommitLog = 1 << 30
			})
			r.createTopic("bench", 4, "")
			props := map[string]string{message.PropertyUniqueKey: "7F00000100001B69A7C6000000000000", "WAIT": "true"}
			text := make([]byte, 1024)
			conn, err := r.client.Conn(context.Background(), r.broker.Addr())
			if err != nil {
				b.Fatal(err)
			}
			var wg sync.WaitGroup
			var next, failed atomic.Int64
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			b.ResetTimer()
			var fire func()
			fire = func() {
				n := next.Add(1)
				if n > int64(b.N) {
					wg.Done()
					return
				}
				req := remoting.NewRequest(protocol.SendMessageV2)
				sendHeader("bench", int32(n%4), props).Encode(req)
				req.Body = text
				err := conn.InvokeAsync(req, 25*time.Second, func(ans *remoting.Command, err error) {
					if err != nil || ans.Code != protocol.Success {
						failed.Add(1)
					}
					fire()
				})
				if err != nil {
					failed.Add(1)
					wg.Done()
				}
			}
			for range 64 {
				wg.Add(1)
				go fire()
			}
			wg.Wait()
			b.StopTimer()
			if n := failed.Load(); n > 0 {
				b.Fatalf("%d sends failed", n)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

// BenchmarkPull reads a backlog in answers of 1 MiB.
func BenchmarkPull(b *testing.B) {
	r := newRig(b, func(c *Config) { c.FlushDiskType = "ASYNC_FLUSH" })
	r.createTopic("bench", 1, "")
	const backlog = 20_000
	batch := []byte(nil)
	for range 1000 {
		var err error
		if batch, err = message.AppendBatchItem(batch, message.BatchItem{Body: make([]byte, 1024)}); err != nil {
			b.Fatal(err)
		}
	}
	for range backlog / 1000 {
		r.ok(protocol.SendBatchMessage, sendHeader("bench", 0, nil), batch)
	}
	waitFor(b, "the backlog", func() bool { _, end, _ := r.broker.store.QueueRange("bench", 0); return end == backlog })
	b.ReportAllocs()
	b.ResetTimer()
	for n, offset := 0, int64(0); n < b.N; {
		h := pullHeader("bench", 0, offset)
		h.MaxMsgNums, h.MaxMsgBytes = 1000, 1<<20
		p := parseHead(b, r.call(protocol.PullMessage, h, nil))
		n += int(p.NextBeginOffset - offset)
		if offset = p.NextBeginOffset; offset == backlog {
			offset = 0
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

func parseHead(b *testing.B, ans *remoting.Command) (h protocol.PullResponseHeader) {
	b.Helper()
	if err := h.Decode(ans); err != nil || ans.Code != protocol.Success {
		b.Fatal(ans, err)
	}
	return h
}
