package selfcheck

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

var carts = event.TableName{DB: "shop", Table: "carts"}

// asked waits until the pipeline was asked n times more what it does not know.
func (r *rig) counted(s *Service, n int) {
	r.t.Helper()
	r.mu.Lock()
	before := r.counts
	r.mu.Unlock()
	r.until(s, "more counts", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.counts >= before+n
	})
}

func TestATableThatThePipelineDoesNotKnowIsSaid(t *testing.T) {
	r := newRig(t)
	r.listed, r.known = []event.TableName{orders, items, carts}, []event.TableName{orders, items}
	s := r.service()
	r.until(s, "the table", func() bool { return slices.Equal(s.Unnoticed(), []event.TableName{carts}) })
	r.mu.Lock()
	r.known = append(r.known, carts)
	r.mu.Unlock()
	r.until(s, "the table to be known", func() bool { return len(s.Unnoticed()) == 0 })
}

// TestATableThatThePipelineIsNotAsFarAsIsNotSaid: what the source's log holds of the table is
// not in the queues yet.
func TestATableThatThePipelineIsNotAsFarAsIsNotSaid(t *testing.T) {
	r := newRig(t)
	r.listed, r.known = []event.TableName{orders, carts}, []event.TableName{orders}
	r.place = pipeline.Place{File: "log.000001", Pos: 500}
	s := r.service()
	r.counted(s, 10)
	if got := s.Unnoticed(); len(got) > 0 {
		t.Fatalf("said too soon: %v", got)
	}
	s.Visible(event.Position{File: "log.000001", Pos: 500})
	r.until(s, "the table", func() bool { return slices.Equal(s.Unnoticed(), []event.TableName{carts}) })
	r.mu.Lock()
	r.listed = r.listed[:1] // dropped
	r.mu.Unlock()
	r.until(s, "the table to be forgotten", func() bool { return len(s.Unnoticed()) == 0 })
}

// TestTablesAreCountedWhileOthersAreCompared: a comparison that does not end holds up no count.
func TestTablesAreCountedWhileOthersAreCompared(t *testing.T) {
	r := newRig(t)
	r.listed, r.known = []event.TableName{orders, items, carts}, []event.TableName{orders, items}
	held := make(chan struct{}, 1)
	r.asked = func(int) error { // until the service is stopped
		select {
		case held <- struct{}{}:
		default:
		}
		r.mu.Lock()
		life := r.life
		r.mu.Unlock()
		<-life.Done()
		return life.Err()
	}
	s := r.service()
	r.until(s, "the table", func() bool { return len(held) == 1 && slices.Equal(s.Unnoticed(), []event.TableName{carts}) })
}

// TestWhatAPipelineThatRestsKnowsIsAskedAgain: the first count comes while it starts, and the
// next round is far away.
func TestWhatAPipelineThatRestsKnowsIsAskedAgain(t *testing.T) {
	r := newRig(t)
	r.listed, r.known, r.rests = []event.TableName{orders, carts}, []event.TableName{orders}, true
	s, found := r.service(), []event.TableName{carts}
	said := func(want []event.TableName) func() bool {
		return func() bool { return slices.Equal(s.Unnoticed(), want) }
	}
	rests := func(now bool) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.rests = now
	}
	r.until(s, "a count", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.rests = r.counts == 0
		return !r.rests && said(found)()
	})
	rests(true)
	r.until(s, "the table to be forgotten", said(nil))
	rests(false)
	r.until(s, "the table", said(found))
}

// TestTablesAreCountedOnceARound: also where the list can't be had at first.
func TestTablesAreCountedOnceARound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.Glance = time.Minute
		r.listed, r.known, r.broken["tables"] = []event.TableName{orders}, []event.TableName{orders}, errors.New("the connection is gone")
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		s := r.service()
		go func() { done <- s.Run(ctx) }()
		counts := func(after time.Duration, want int) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.counts != want {
				t.Errorf("counted %d times, not %d", r.counts, want)
			}
		}
		counts(90*time.Second, 0)
		r.mu.Lock()
		delete(r.broken, "tables")
		r.mu.Unlock()
		counts(time.Minute, 1)
		counts(r.cfg.Every-time.Minute, 1)
		counts(time.Minute, 2)
		stop()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}
