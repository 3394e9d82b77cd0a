package stream

import (
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
)

// An event that was framed reaches the owner although no other event follows.
func TestFramedEventsDoNotWaitForTheNextPacket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHandover()
		go h.run()
		for i := range 5 {
			if err := h.put(Event{Time: uint32(i)}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // the owner is busy, and the receiver waits for the server
		}
		var got []uint32
		for len(got) < 5 {
			b := <-h.out
			for _, e := range b.Events {
				got = append(got, e.Time)
			}
		}
		for i, at := range got {
			if at != uint32(i) {
				t.Fatalf("the events came as %v", got)
			}
		}
		close(h.done)
	})
}

// The receiver waits while its owner has about two batches to take, and the error comes
// behind every event.
func TestTheReceiverWaitsForItsOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHandover()
		go h.run()
		const events, size = 100, batchBytes / 4
		put := 0
		body := make([]byte, size)
		go func() {
			for put < events {
				if err := h.put(Event{Body: body}); err != nil {
					t.Error(err)
				}
				put++
			}
			h.end(io.ErrUnexpectedEOF)
		}()
		synctest.Wait()
		if put > 2*5 {
			t.Fatalf("%d events of a quarter of a batch were taken while nobody took them", put)
		}
		got := 0
		for {
			b := <-h.out
			got += len(b.Events)
			if errors.Is(b.Err, io.ErrUnexpectedEOF) {
				break
			}
			synctest.Wait()
			if put-got > 3*5 {
				t.Fatalf("%d events are held", put-got)
			}
		}
		if got != events {
			t.Fatalf("%d of %d events came before the error", got, events)
		}
	})
}

func TestAClosedReaderTakesNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHandover()
		var wg sync.WaitGroup
		wg.Go(h.run)
		wg.Go(func() {
			for h.put(Event{Body: make([]byte, batchBytes)}) == nil {
			}
		})
		synctest.Wait()
		close(h.done)
		wg.Wait()
	})
}

func BenchmarkHandover(b *testing.B) {
	h := newHandover()
	go h.run()
	defer close(h.done)
	body := make([]byte, 100)
	go func() {
		for h.put(Event{Body: body}) == nil {
		}
	}()
	b.ReportAllocs()
	for n := 0; n < b.N; {
		batch := <-h.out
		n += len(batch.Events)
		clear(batch.Events)
		select {
		case h.free <- batch.Events[:0]:
		default:
		}
	}
}
