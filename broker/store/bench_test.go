package store

import (
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/message"
)

func benchConfig(b *testing.B, flush FlushDiskType) Config {
	cfg := DefaultConfig()
	cfg.Dir = b.TempDir()
	cfg.FlushDiskType = flush
	cfg.StoreHost = testConfig("").StoreHost
	return cfg
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// report adds rate and CPU per message of everything in the process.
func report(b *testing.B, n int, fn func()) {
	b.ReportAllocs()
	before := cpu()
	b.ResetTimer()
	fn()
	b.StopTimer()
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "msg/s")
	b.ReportMetric(float64((cpu()-before).Nanoseconds())/float64(n), "cpu-ns/msg")
}

// BenchmarkPut has so many producers, each of which waits for its answer.
func BenchmarkPut(b *testing.B) {
	for _, flush := range []FlushDiskType{FlushSync, FlushAsync} {
		for _, producers := range []int{1, 64, 256} {
			b.Run(fmt.Sprintf("%s/producers=%d", flush, producers), func(b *testing.B) {
				s := start(b, vfs.OS(), benchConfig(b, flush))
				body := make([]byte, 1024)
				report(b, b.N, func() {
					var wg sync.WaitGroup
					var left atomic.Int64
					left.Store(int64(b.N))
					for p := range producers {
						wg.Go(func() {
							rec := testRecord("bench", int32(p%8), "", message.PropertyUniqueKey, fmt.Sprintf("%032d", p))
							rec.Body = body
							done := make(chan PutResult, 1)
							req := PutRequest{Record: rec, Done: func(r PutResult) { done <- r }}
							for left.Add(-1) >= 0 {
								s.Put(&req)
								if r := <-done; r.Err != nil {
									b.Error(r.Err)
									return
								}
							}
						})
					}
					wg.Wait()
				})
			})
		}
	}
}

// BenchmarkPutPipelined has one producer that keeps so many in flight.
func BenchmarkPutPipelined(b *testing.B) {
	for _, flush := range []FlushDiskType{FlushSync, FlushAsync} {
		b.Run(string(flush), func(b *testing.B) {
			s := start(b, vfs.OS(), benchConfig(b, flush))
			const window = 1024
			free := make(chan *PutRequest, window)
			for range window {
				rec := testRecord("bench", 0, string(make([]byte, 1024)))
				req := &PutRequest{Record: rec}
				req.Done = func(r PutResult) {
					if r.Err != nil {
						b.Error(r.Err)
					}
					free <- req
				}
				free <- req
			}
			report(b, b.N, func() {
				for range b.N {
					s.Put(<-free)
				}
				for range window {
					<-free
				}
			})
		})
	}
}

// BenchmarkGet reads as a default consumer does, and with the largest answers.
func BenchmarkGet(b *testing.B) {
	for _, queues := range []int32{1, 4, 8, 16} {
		for _, o := range []GetOptions{{MaxMsgs: 32, MaxBytes: 256 << 10}, {MaxMsgs: 512, MaxBytes: 1 << 20}} {
			b.Run(fmt.Sprintf("queues=%d/messages=%d", queues, o.MaxMsgs), func(b *testing.B) { benchmarkGet(b, queues, o) })
		}
	}
}

func benchmarkGet(b *testing.B, queues int32, o GetOptions) {
	s := start(b, vfs.OS(), benchConfig(b, FlushAsync))
	const count = 64_000
	var wg sync.WaitGroup
	for i := range int32(count) {
		wg.Add(1)
		s.Put(&PutRequest{Record: testRecord("bench", i%queues, string(make([]byte, 1024))), Done: func(PutResult) { wg.Done() }})
	}
	wg.Wait()
	s.settle()
	at := make([]int64, queues)
	memory := make([]byte, 1<<20)
	o.Alloc = func(n int) []byte { return memory }
	report(b, b.N, func() {
		q := int32(0)
		for n := 0; n < b.N; {
			res, err := s.Get("bench", q, at[q], o)
			if err != nil || res.Status != Found {
				b.Fatal(res.Status, err)
			}
			n += res.Count
			if at[q] = res.NextOffset; at[q] == res.Max {
				at[q] = 0
			}
			q = (q + 1) % queues
		}
	})
}
