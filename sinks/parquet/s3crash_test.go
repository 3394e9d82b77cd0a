package parquet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
)

// changing reports whether a request may change what is stored.
func changing(r *http.Request) bool { return r.Method != http.MethodGet && r.Method != http.MethodHead }

// scene is a short life of a table: claims, flushes, merges, a checkpoint, a vacuum, packing.
func scene(w *world, sink *Sink, acked func([]int)) error {
	rng := rand.New(rand.NewPCG(7, 3))
	d := &deliverer{w: w}
	defer func() {
		if d.table != nil {
			d.table.Close()
		}
	}()
	for round := range 5 {
		if round%3 == 0 {
			if d.table != nil {
				d.table.Close()
			}
			table, err := sink.openTable(context.Background(), claim(w.schemas, uint64(1+round)))
			if err != nil {
				return err
			}
			d.table = table
			d.seek()
		}
		for q := range w.queues {
			if err := d.write(q, 3+rng.IntN(6)); err != nil {
				return err
			}
		}
		if err := d.flush(); err != nil {
			return err
		}
		acked(d.flushed)
		if err := d.table.current.MergeNow(); err != nil {
			return err
		}
		var err error
		switch round {
		case 1:
			err = d.table.changes.Checkpoint(context.Background(), keepOf(d.table))
		case 2:
			err = d.table.changes.Vacuum(context.Background())
		case 4:
			err = pack(d.table)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// TestEveryCrashInABucketRecovers ends the process at each request in turn that may change
// something: before it is sent, or after it was done and before the answer came, or so that it
// arrives when the next owner is at work.
func TestEveryCrashInABucketRecovers(t *testing.T) {
	t.Parallel()
	server := testenv.NewS3(t)
	seed := uint64(1)
	total := int64(0)
	b := newBucketLake(t, server)
	proxy := testenv.NewFaultProxy(t, server.Address)
	proxy.Set(func(r *http.Request) testenv.Fault {
		if changing(r) {
			atomic.AddInt64(&total, 1)
		}
		return testenv.Fault{}
	})
	must[int](t)(0, scene(smallWorld(t, seed, false), b.sink(t, proxy.Endpoint), func([]int) {}))
	if total < 30 {
		t.Fatalf("there are only %d requests to crash at", total)
	}
	for at := int64(1); at <= total; at++ {
		for _, kind := range []testenv.FaultKind{testenv.Drop, testenv.LoseAnswer, testenv.Late} {
			crashInABucket(t, server, seed, at, kind)
		}
	}
}

func crashInABucket(t *testing.T, server *testenv.S3, seed uint64, at int64, kind testenv.FaultKind) {
	t.Helper()
	b := newBucketLake(t, server)
	proxy := testenv.NewFaultProxy(t, server.Address)
	defer proxy.Close()
	var n atomic.Int64
	var what atomic.Value
	proxy.Set(func(r *http.Request) testenv.Fault {
		if n.Load() >= at { // nobody is there any more who could ask
			return testenv.Fault{Kind: testenv.Drop}
		}
		if changing(r) && n.Add(1) == at {
			what.Store(r.Method + " " + r.URL.Path)
			return testenv.Fault{Kind: kind}
		}
		return testenv.Fault{}
	})
	w := smallWorld(t, seed, false)
	var acked []int
	err := scene(w, b.sink(t, proxy.Endpoint), func(f []int) { acked = slices.Clone(f) })
	if err == nil && n.Load() < at {
		return // merges run beside, and this time there were fewer requests
	}
	describe := fmt.Sprintf("crash %d at %v (%v)", at, what.Load(), kind)
	table, err := b.sink(t, server.Endpoint).openTable(t.Context(), claim(w.schemas, 100))
	if err != nil {
		t.Fatalf("%s: %v", describe, err)
	}
	defer table.Close()
	proxy.Release() // what was late arrives now
	d := &deliverer{w: w, table: table}
	d.seek()
	for q := range acked {
		if d.at[q] < acked[q] {
			t.Fatalf("%s: queue %d: the mark is at message %d, %d were acknowledged", describe, q, d.at[q], acked[q])
		}
	}
	b.finish(t, d)
	if t.Failed() {
		t.Fatal(describe)
	}
}

// TestABucketThatFails has requests fail at random, and the table opened again when it must
// be. Nothing is lost or doubled.
func TestABucketThatFails(t *testing.T) {
	server := testenv.NewS3(t)
	for _, seed := range seeds(t, 4) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			b := newBucketLake(t, server)
			proxy := testenv.NewFaultProxy(t, server.Address)
			proxy.Set(randomFaults(seed))
			w := newWorld(t, seed, 2, seed%2 == 0)
			for range 60 {
				w.step()
			}
			w.settle()
			d := &deliverer{w: w}
			sink, gen, opened := b.sink(t, proxy.Endpoint), uint64(0), 0
			tries := 0
			again := func(err error) bool {
				if tries++; tries > 500 {
					t.Fatalf("it does not get on: %v", err)
				}
				return err != nil
			}
			reopen := func() {
				if d.table != nil {
					d.table.Close()
				}
				for {
					gen++
					opened++
					table, err := sink.openTable(t.Context(), claim(w.schemas, gen))
					if !again(err) {
						d.table = table
						d.seek()
						return
					}
				}
			}
			reopen()
			for slices.ContainsFunc([]int{0, 1}, func(q int) bool { return d.flushed[q] < len(w.queues[q]) }) {
				var err error
				for q := range w.queues {
					if err == nil {
						err = d.write(q, 5)
					}
				}
				if err == nil {
					err = d.flush()
				}
				if err == nil {
					_ = d.table.current.MergeNow() // it is tried again by the next
					err = d.table.changes.Broken
				}
				switch {
				case errors.Is(err, pipeline.ErrUnwritable):
					again(err)
					d.seek()
				case again(err):
					reopen()
				}
			}
			proxy.Set(nil)
			proxy.Release()
			reopen()
			b.finish(t, d)
			t.Logf("%d claims, %d tries", opened, tries)
		})
	}
}

// randomFaults lets one request in ten go wrong, and sometimes all for a while.
func randomFaults(seed uint64) func(*http.Request) testenv.Fault {
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(seed, 5))
	faults := []testenv.Fault{{Kind: testenv.Drop}, {Kind: testenv.LoseAnswer}, {Kind: testenv.CutRequest},
		{Kind: testenv.CutAnswer}, {Kind: testenv.Twice},
		{Kind: testenv.Late}, {Kind: testenv.Landed, Status: 500, Code: "InternalError"}, {Kind: testenv.Refuse, Status: 503, Code: "SlowDown"},
		{Kind: testenv.Refuse, Status: 403, Code: "AccessDenied"}}
	out := 0
	return func(r *http.Request) testenv.Fault {
		mu.Lock()
		defer mu.Unlock()
		if out > 0 {
			out--
			return testenv.Fault{Kind: testenv.Drop}
		}
		switch n := rng.IntN(1000); {
		case n < 4:
			out = 30
		case n > 100:
			return testenv.Fault{}
		}
		f := faults[rng.IntN(len(faults))]
		if f.Kind == testenv.Late && !changing(r) {
			f.Kind = testenv.Drop
		}
		return f
	}
}
