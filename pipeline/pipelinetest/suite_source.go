package pipelinetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// SourceUnderTest is one fresh server with one captured, empty table (id, a whole number
// and its key, then anything).
type SourceUnderTest struct {
	// New makes a source over the server, as another process would.
	New   func() (pipeline.Source, error)
	Table event.TableName
	// Commit makes one transaction that inserts rows with these ids.
	Commit func(ids ...int) error
	// Purge takes what is in the log out of it; nil when the server cannot.
	Purge func() error
}

// Source holds a source against the contract: order and numbers, positions from which
// reading again hands over the same, snapshots, pauses, history. fresh makes a new server
// for each test.
func Source(t *testing.T, fresh func(testing.TB) SourceUnderTest) {
	for _, c := range []struct {
		name string
		run  func(*sourceTest)
	}{
		{"Preflight", (*sourceTest).preflight},
		{"TheFirstOpeningIsAtTheEnd", (*sourceTest).first},
		{"EveryPositionHandsOverTheRest", (*sourceTest).rest},
		{"InsideATransaction", (*sourceTest).inside},
		{"ASnapshotBesideTheStream", (*sourceTest).snapshot},
		{"ASnapshotGoesOnBehindAChunk", (*sourceTest).resumed},
		{"APausedTable", (*sourceTest).paused},
		{"HistoryThatIsGone", (*sourceTest).history},
		{"NextEndsWithItsContext", (*sourceTest).ends},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			c.run(&sourceTest{T: t, ctx: ctx, sut: fresh(t)})
		})
	}
}

type sourceTest struct {
	*testing.T
	ctx context.Context
	sut SourceUnderTest
}

func (s *sourceTest) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *sourceTest) commit(ids ...int) {
	s.Helper()
	s.must(s.sut.Commit(ids...))
}

func (s *sourceTest) open(r pipeline.Resume) (pipeline.Source, pipeline.Opened) {
	s.Helper()
	if r.Epoch == 0 {
		r.Epoch = 1
	}
	src, err := s.sut.New()
	s.must(err)
	s.Cleanup(func() { _ = src.Close() })
	opened, err := src.Open(s.ctx, r)
	s.must(err)
	return src, opened
}

// heard is an item that is kept: its key and what it says.
type heard struct {
	event.Item
	key int64
}

// read collects items until one is the last. END is not emitted before what it ends is
// resolved, so that the source is told.
func (s *sourceTest) read(src pipeline.Source, last func(heard) bool) (out []heard) {
	s.Helper()
	for {
		items, err := src.Next(s.ctx)
		if err != nil {
			s.Fatalf("after %d items: %v", len(out), err)
		}
		end := false
		for i := range items {
			h := heard{Item: items[i]}
			if h.Kind == event.KindRow {
				img := h.After
				if img == nil {
					img = h.Before
				}
				values, err := event.Values(img, h.Table.Schema, nil)
				s.must(err)
				h.key = values[0].Int()
			}
			h.Before, h.After = nil, nil
			if h.Commit != nil {
				at := *h.Commit
				h.Commit = &at
				src.Resolved(at) // everything handed over is visible at once
			}
			out = append(out, h)
			end = end || last(h)
		}
		if end {
			return out
		}
	}
}

// commitOf is true at the commit behind a row.
func commitOf(key int) func(heard) bool {
	found := false
	return func(h heard) bool {
		found = found || h.Kind == event.KindRow && h.Op != event.OpRead && h.key == int64(key)
		return found && h.Kind == event.KindCommit
	}
}

func rowsOf(all []heard) (out []string) {
	for _, h := range all {
		if h.Kind == event.KindRow {
			out = append(out, fmt.Sprintf("%c %d %s at %d", h.Op, h.key, h.Identity(), h.Seq))
		}
	}
	return out
}

func (s *sourceTest) preflight() {
	src, err := s.sut.New()
	s.must(err)
	defer src.Close()
	problems, err := src.Preflight(s.ctx)
	s.must(err)
	for _, p := range problems {
		if p.Fatal {
			s.Errorf("%+v", p)
		}
	}
}

func (s *sourceTest) first() {
	s.commit(1, 2)
	src, opened := s.open(pipeline.Resume{})
	if opened.Server == "" || opened.Position.IsZero() || len(opened.Tables) != 1 || opened.Tables[0].Name != s.sut.Table {
		s.Fatalf("opened %+v", opened)
	}
	s.commit(3)
	all := s.read(src, commitOf(3))
	var seq event.Seq
	for _, h := range all {
		if h.Kind == event.KindRow && h.key != 3 {
			s.Errorf("row %d was there before the opening", h.key)
		}
		if h.Kind != event.KindHeartbeat && h.Seq != 0 {
			if h.Seq <= seq || h.Seq.Epoch() != 1 {
				s.Errorf("number %d follows %d", h.Seq, seq)
			}
			seq = h.Seq
		}
		if h.Kind == event.KindCommit && (h.Commit == nil || h.Tx == nil || h.Commit.Server != opened.Server) {
			s.Errorf("commit %+v", h.Item)
		}
	}
	st := src.Status()
	if !st.Connected || st.Server != opened.Server || len(st.Tables) != 1 || st.Tables[0].Paused || st.Tables[0].Attempting ||
		st.Tables[0].Trouble != "" || st.Tables[0].Rows == 0 {
		s.Errorf("status %+v", st)
	}
}

// rest opens again at every commit: what follows is the same, number for number.
func (s *sourceTest) rest() {
	src, opened := s.open(pipeline.Resume{})
	for i := range 5 {
		s.commit(10*i+1, 10*i+2)
	}
	all := s.read(src, commitOf(42))
	s.must(src.Close())
	positions := []event.Position{opened.Position}
	for _, h := range all {
		if h.Kind == event.KindCommit {
			positions = append(positions, *h.Commit)
		}
	}
	for _, at := range positions[:len(positions)-1] {
		again, _ := s.open(pipeline.Resume{Position: at, Schemas: s.schemas(opened)})
		got := rowsOf(s.read(again, commitOf(42)))
		s.must(again.Close())
		want := rowsOf(all)
		want = want[max(0, len(want)-len(got)):]
		if !slices.Equal(got, want) || len(got)%2 != 0 {
			s.Errorf("from %s:%d on\n%v, want\n%v", at.File, at.Pos, got, want)
		}
	}
}

func (s *sourceTest) schemas(o pipeline.Opened) map[event.TableName]*event.Schema {
	out := map[event.TableName]*event.Schema{}
	for _, t := range o.Tables {
		out[t.Name] = t.Schema
	}
	return out
}

// inside opens again behind each row of a transaction.
func (s *sourceTest) inside() {
	src, opened := s.open(pipeline.Resume{})
	s.commit(1, 2, 3, 4)
	all := s.read(src, commitOf(4))
	s.must(src.Close())
	var rows []heard
	for _, h := range all {
		if h.Kind == event.KindRow {
			rows = append(rows, h)
		}
	}
	if len(rows) != 4 {
		s.Fatalf("rows %v", rowsOf(all))
	}
	for i, h := range rows[:3] {
		at := h.Tx.Start
		at.Done, at.DoneID = h.Seq, h.Identity()
		again, _ := s.open(pipeline.Resume{Position: at, Schemas: s.schemas(opened)})
		got, want := rowsOf(s.read(again, commitOf(4))), rowsOf(rows[i+1:])
		if !slices.Equal(got, want) {
			s.Errorf("behind row %d\n%v, want\n%v", i, got, want)
		}
		s.must(again.Close())
	}
}

func endOf(h heard) bool { return h.Kind == event.KindEnd }

func (s *sourceTest) snapshot() {
	for i := range 7 {
		s.commit(i)
	}
	src, _ := s.open(pipeline.Resume{})
	src.RequestSnapshot([]event.TableName{s.sut.Table}, "conformance")
	s.commit(100)
	all := s.read(src, endOf)
	s.attempt(all, 0)
	read := map[int64]bool{}
	for _, h := range all {
		if h.Kind == event.KindRow {
			read[h.key] = true
		}
	}
	for i := range 7 {
		if !read[int64(i)] {
			s.Errorf("row %d is in neither the snapshot nor the stream", i)
		}
	}
}

// attempt checks the form of an attempt that is in all, from BEGIN or from a chunk on.
func (s *sourceTest) attempt(all []heard, begin event.Seq) {
	s.Helper()
	var seq event.Seq
	ids := map[event.Identity]bool{}
	for _, h := range all {
		switch h.Kind {
		case event.KindBegin:
			begin = h.Seq
		case event.KindEnd:
			if h.Attempt.Begin != begin || begin == 0 {
				s.Errorf("END of attempt %d, begun was %d", h.Attempt.Begin, begin)
			}
		case event.KindChunkEnd:
			if h.Attempt.Begin != begin || h.Commit == nil {
				s.Errorf("chunk end %+v", h.Item)
			}
			continue // has no number of its own
		case event.KindRow:
			if ids[h.Identity()] {
				s.Errorf("identity %s again", h.Identity())
			}
			ids[h.Identity()] = true
			if h.Op == event.OpRead && begin == 0 {
				s.Error("a chunk's row before BEGIN")
			}
		case event.KindHeartbeat, event.KindPaused, event.KindResumed:
			continue
		}
		if h.Seq <= seq {
			s.Errorf("number %d follows %d", h.Seq, seq)
		}
		seq = h.Seq
	}
}

// resumed stops behind the first chunk and goes on with the attempt.
func (s *sourceTest) resumed() {
	for i := range 7 {
		s.commit(i)
	}
	src, opened := s.open(pipeline.Resume{})
	src.RequestSnapshot([]event.TableName{s.sut.Table}, "conformance")
	var first []heard
	all := s.read(src, func(h heard) bool { return h.Kind == event.KindChunkEnd })
	for _, h := range all { // what comes in the same batch behind the chunk was not handed on
		first = append(first, h)
		if h.Kind == event.KindChunkEnd {
			break
		}
	}
	s.must(src.Close())
	last := first[len(first)-1]
	again, _ := s.open(pipeline.Resume{Position: *last.Commit, Schemas: s.schemas(opened), Attempts: []event.Attempt{*last.Attempt}})
	rest := s.read(again, endOf)
	s.attempt(rest, last.Attempt.Begin)
	read := map[int64]int{}
	for _, h := range append(first, rest...) {
		if h.Kind == event.KindBegin && h.Seq != last.Attempt.Begin {
			s.Error("the attempt began anew")
		}
		if h.Kind == event.KindRow {
			read[h.key]++
		}
	}
	for i := range 7 {
		if read[int64(i)] != 1 {
			s.Errorf("row %d was handed over %d times", i, read[int64(i)])
		}
	}
}

func (s *sourceTest) paused() {
	src, _ := s.open(pipeline.Resume{})
	src.SetPaused(s.sut.Table, true)
	s.commit(1)
	said := s.read(src, func(h heard) bool { return h.Kind == event.KindPaused })
	if why := said[len(said)-1].Reason; why == nil || why.Code == "" {
		s.Errorf("paused without a reason")
	}
	s.commit(2)
	src.SetPaused(s.sut.Table, false)
	src.RequestSnapshot([]event.TableName{s.sut.Table}, "resumed")
	all := s.read(src, endOf)
	resumed := slices.IndexFunc(all, func(h heard) bool { return h.Kind == event.KindResumed })
	if resumed < 0 {
		s.Fatal("nothing says that the table goes on")
	}
	read := map[int64]bool{}
	for i, h := range all {
		if h.Kind == event.KindRow {
			read[h.key] = true
			if i < resumed {
				s.Errorf("row %d while the table is paused", h.key)
			}
		}
	}
	if !read[1] || !read[2] {
		s.Errorf("rows %v after the pause", rowsOf(all))
	}
}

func (s *sourceTest) history() {
	if s.sut.Purge == nil {
		return
	}
	src, opened := s.open(pipeline.Resume{})
	s.must(src.Close())
	s.commit(1)
	s.must(s.sut.Purge())
	again, err := s.sut.New()
	s.must(err)
	defer again.Close()
	_, err = again.Open(s.ctx, pipeline.Resume{Position: opened.Position, Epoch: 1, Schemas: s.schemas(opened)})
	if !errors.Is(err, pipeline.ErrHistory) {
		s.Errorf("opened where the log is gone: %v", err)
	}
}

func (s *sourceTest) ends() {
	src, _ := s.open(pipeline.Resume{})
	ctx, cancel := context.WithCancel(s.ctx)
	done := make(chan error, 1)
	go func() {
		for {
			if _, err := src.Next(ctx); err != nil { // heartbeats may come first
				done <- err
				return
			}
		}
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		s.Errorf("Next: %v", err)
	}
	s.must(src.Close())
}
