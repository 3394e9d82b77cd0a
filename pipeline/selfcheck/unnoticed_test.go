package selfcheck

import (
	"errors"
	"slices"
	"testing"
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

// TestTablesAreCountedOnceARound: also where the list can't be had at first.
func TestTablesAreCountedOnceARound(t *testing.T) {
	r := newRig(t)
	r.listed, r.known, r.broken["tables"] = []event.TableName{orders}, []event.TableName{orders}, errors.New("the connection is gone")
	s := r.service()
	r.until(s, "the tables to be looked at all the same", func() bool { return !s.Verified("lake", items).Through.IsZero() })
	if r.counts != 0 {
		t.Errorf("counted %d times", r.counts)
	}
	delete(r.broken, "tables")
	r.counted(s, 1)
	before := s.Verified("lake", items).Through
	s.mu.Lock()
	s.record.Round = time.Time{}
	s.mu.Unlock()
	r.until(s, "the next round", func() bool { return s.Verified("lake", items).Through.After(before) })
	if r.counts != 2 {
		t.Errorf("counted %d times in two rounds", r.counts)
	}
}
