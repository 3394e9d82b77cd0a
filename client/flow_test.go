package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// seed is printed with a failure and can be given as MILLRACE_SEED.
func seed(t *testing.T) *rand.Rand {
	n := uint64(time.Now().UnixNano())
	if s := os.Getenv("MILLRACE_SEED"); s != "" {
		var err error
		if n, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("again with MILLRACE_SEED=%d", n)
		}
	})
	return rand.New(rand.NewPCG(n, 1))
}

func TestTrackerAgainstANaiveTwin(t *testing.T) {
	rnd := seed(t)
	for range 200 {
		start := rnd.Int64N(100)
		tr := newTracker(start, 1<<30, 1<<40)
		done := make(map[int64]bool)
		next := start
		var open []*ReceivedMessage
		for range 100 {
			if rnd.IntN(3) == 0 {
				var msgs []ReceivedMessage
				for range rnd.IntN(5) {
					var m ReceivedMessage
					m.QueueOffset, m.TotalSize = next+rnd.Int64N(3), 10
					for ; next < m.QueueOffset; next++ {
						done[next] = true // the subscription did not want it
					}
					next++
					msgs = append(msgs, m)
				}
				for gap := rnd.Int64N(2); gap > 0; gap-- {
					done[next] = true
					next++
				}
				tr.add(msgs, next)
				for i := range msgs {
					open = append(open, &msgs[i])
				}
			} else if len(open) > 0 {
				i := rnd.IntN(len(open))
				tr.done(open[i : i+1])
				done[open[i].QueueOffset] = true
				open = slices.Delete(open, i, i+1)
			}
			// The twin: up to the first offset that is not done. The tracker may lag
			// over what nobody wanted, up to the next message that is pending.
			naive := start
			for done[naive] {
				naive++
			}
			got := tr.position()
			for o := min(got, naive); o < max(got, naive); o++ {
				if !done[o] {
					t.Fatalf("position %d, the twin says %d", got, naive)
				}
			}
			if want := int64(len(open)) * 10; tr.bytes < want {
				t.Fatalf("%d bytes counted, %d are open", tr.bytes, want)
			}
		}
	}
}

func TestTrackerMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTracker(0, 2, 1<<20)
		msgs := make([]ReceivedMessage, 2)
		msgs[1].QueueOffset = 1
		tr.add(msgs, 2)
		entered := false
		go func() {
			if err := tr.waitRoom(context.Background()); err == nil {
				entered = true
			}
		}()
		synctest.Wait()
		if entered {
			t.Fatal("room in a full account")
		}
		tr.done([]*ReceivedMessage{&msgs[1]}) // behind a hole: still counts
		synctest.Wait()
		if entered {
			t.Fatal("room while the first message is pending")
		}
		tr.done([]*ReceivedMessage{&msgs[0]})
		synctest.Wait()
		if !entered || tr.position() != 2 {
			t.Fatalf("entered %v, position %d", entered, tr.position())
		}
	})
}

func TestInflightServesInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &inflight{maxMessages: 10, maxBytes: 100}
		if err := f.acquire(t.Context(), 90); err != nil {
			t.Fatal(err)
		}
		in := make(chan int64, 3)
		for _, n := range []int64{50, 5, 60} { // the small one would fit, and must wait
			go func() {
				if err := f.acquire(t.Context(), n); err == nil {
					in <- n
				}
			}()
			synctest.Wait()
		}
		for _, step := range []struct{ release, in int64 }{{0, 0}, {90, 55}, {50, 60}} {
			if step.release > 0 {
				f.release(step.release)
			}
			synctest.Wait()
			sum := int64(0)
			for len(in) > 0 {
				sum += <-in
			}
			if sum != step.in {
				t.Fatalf("after %d were released, %d came in, want %d", step.release, sum, step.in)
			}
		}
	})
}

func TestInflightLetsALargeMessageThroughAlone(t *testing.T) {
	f := &inflight{maxMessages: 10, maxBytes: 100}
	if err := f.acquire(t.Context(), 1000); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.acquire(ctx, 1); !errors.Is(err, ErrTooMuchInFlight) {
		t.Fatalf("second: %v", err)
	}
}

func TestInflightGivesATurnOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &inflight{maxMessages: 1, maxBytes: 100}
		if err := f.acquire(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		got := 0
		go func() { _ = f.acquire(ctx, 1) }()
		synctest.Wait()
		go func() {
			if f.acquire(t.Context(), 1) == nil {
				got++
			}
		}()
		synctest.Wait()
		cancel()
		synctest.Wait()
		f.release(1)
		synctest.Wait()
		if got != 1 {
			t.Fatal("the turn of one who gave up was lost")
		}
	})
}

func TestInflightDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &inflight{maxMessages: 1, maxBytes: 100}
		if err := f.acquire(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		var waiting error
		go func() { waiting = f.acquire(t.Context(), 1) }()
		synctest.Wait()
		drained := false
		go func() { drained = f.drain(t.Context()) == nil }()
		synctest.Wait()
		if drained || !errors.Is(waiting, ErrClosed) {
			t.Fatalf("drained %v, the one who waited got %v", drained, waiting)
		}
		f.release(1)
		synctest.Wait()
		if !drained {
			t.Fatal("not drained")
		}
	})
}

func TestAwaitPrefersTheOutcome(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a := newAwait[int]()
	if _, err := a.wait(ctx); !errors.Is(err, ErrUncertain) || !errors.Is(err, context.Canceled) {
		t.Fatalf("without outcome: %v", err)
	}
	b := newAwait[int]()
	b.done(7, nil)
	if n, err := b.wait(ctx); n != 7 || err != nil {
		t.Fatalf("with outcome: %d, %v", n, err)
	}
}
