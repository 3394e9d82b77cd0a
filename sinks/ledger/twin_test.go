package ledger

import (
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// twin is the naive ledger: it keeps all that each queue has brought and reckons from the
// beginning at every question.
type twin struct {
	order []taken
}

type taken struct {
	queue  pipeline.QueueID
	slice  *event.Slice
	schema *event.Schema
	adopt  bool // slice.Prev was adopted
}

// floor is the highest deletion in force after the first n things taken, and which queue
// brought it.
func (w *twin) floor(n int) (floor event.Seq, by pipeline.QueueID) {
	passed := map[event.Seq]map[pipeline.QueueID]bool{}
	for _, x := range w.order[:n] {
		if x.adopt {
			continue
		}
		switch m := x.slice.Mark; x.slice.Kind {
		case event.KindTruncate:
			if m.Seq > floor {
				floor, by = m.Seq, x.queue
			}
		case event.KindEnd:
			if m.Attempt <= floor {
				continue
			}
			if passed[m.Attempt] == nil {
				passed[m.Attempt] = map[pipeline.QueueID]bool{}
			}
			passed[m.Attempt][x.queue] = true
			if len(passed[m.Attempt]) >= m.Queues {
				floor, by = m.Attempt, x.queue
			}
		}
	}
	return floor, by
}

// marks are each queue's mark, in the order in which the queues came.
func (w *twin) marks() (ids []pipeline.QueueID, marks map[pipeline.QueueID]event.Seq, high map[pipeline.QueueID]event.Seq) {
	marks, high = map[pipeline.QueueID]event.Seq{}, map[pipeline.QueueID]event.Seq{}
	for n, x := range w.order {
		if _, ok := marks[x.queue]; !ok {
			ids = append(ids, x.queue)
		}
		if x.adopt {
			marks[x.queue] = x.slice.Prev
			continue
		}
		marks[x.queue] = x.slice.Hi
		for _, r := range x.slice.Rows {
			high[x.queue] = max(high[x.queue], r.Seq)
		}
		before, _ := w.floor(n)
		after, _ := w.floor(n + 1)
		if after != before || w.firstDue(n) {
			high[x.queue] = max(high[x.queue], x.slice.Mark.Seq)
		}
	}
	return ids, marks, high
}

// firstDue says that the thing taken at n makes an attempt due that nothing before asked for.
func (w *twin) firstDue(n int) bool {
	x := w.order[n]
	floor, _ := w.floor(n)
	return !x.adopt && x.slice.Kind == event.KindDDL && x.slice.Mark.Due != "" && x.slice.Mark.Seq > max(floor, w.due(n))
}

// due is the highest number that asks for an attempt and has not been answered.
func (w *twin) due(n int) (due event.Seq) {
	for i, x := range w.order[:n] {
		if !x.adopt && x.slice.Kind == event.KindDDL && x.slice.Mark.Due != "" {
			due = max(due, x.slice.Mark.Seq)
		}
		if floor, _ := w.floor(i + 1); floor >= due {
			due = 0
		}
	}
	return due
}

// open are the BEGINs above the floor, at their time and now.
func (w *twin) open(n int) []event.Seq {
	floor, _ := w.floor(n)
	seen := map[event.Seq]bool{}
	var list []event.Seq
	for i, x := range w.order[:n] {
		if x.adopt || x.slice.Kind != event.KindBegin || seen[x.slice.Mark.Seq] {
			continue
		}
		if then, _ := w.floor(i); x.slice.Mark.Seq > then && x.slice.Mark.Seq > floor {
			seen[x.slice.Mark.Seq] = true
			list = append(list, x.slice.Mark.Seq)
		}
	}
	slices.Sort(list)
	return list
}

func (w *twin) born(n int) (born event.Seq) {
	for _, x := range w.order[:n] {
		if m := x.slice.Mark; !x.adopt && x.slice.Kind == event.KindDDL && m.Due == "" && m.Old == (event.SchemaID{}) &&
			m.Schema != (event.SchemaID{}) {
			born = max(born, m.Seq)
		}
	}
	return born
}

func (w *twin) route(n int) (queues int) {
	at := event.Seq(0)
	for _, x := range w.order[:n] {
		if m := x.slice.Mark; !x.adopt && m != nil && m.Queues > 0 && m.Seq > at {
			at, queues = m.Seq, m.Queues
		}
	}
	return queues
}

func (w *twin) whole(n int) bool {
	floor, _ := w.floor(n)
	return w.due(n) == 0 && len(w.open(n)) == 0 && (floor > 0 || w.born(n) > 0)
}

// schema is the definition that the highest number brought.
func (w *twin) schema(n int) (s *event.Schema) {
	at := event.Seq(0)
	for _, x := range w.order[:n] {
		switch {
		case x.adopt || x.schema == nil:
		case x.slice.Kind == event.KindRow && s == nil:
			s = x.schema
		case x.slice.Mark != nil && (s == nil || x.slice.Mark.Seq > at):
			s, at = x.schema, x.slice.Mark.Seq
		}
	}
	return s
}

// completeTo is the least of what the queues' last transactions or marks prove, as it was
// when the table ceased to be whole.
func (w *twin) completeTo(n int) int64 {
	if !w.whole(n) {
		for i := n - 1; i >= 0; i-- {
			if w.whole(i) {
				return w.completeTo(i)
			}
		}
		return 0
	}
	done, seen := map[pipeline.QueueID]int64{}, map[pipeline.QueueID]bool{}
	for _, x := range w.order[:n] {
		seen[x.queue] = true
		if at := proves(x); at > 0 {
			done[x.queue] = at
		}
	}
	if len(seen) == 0 || len(seen) < w.route(n) {
		return 0
	}
	least := int64(1) << 62
	for q := range seen {
		least = min(least, done[q])
	}
	return least
}

// proves is the time that a thing taken shows its queue to be complete to; 0 for none.
func proves(x taken) int64 {
	latest := now.Add(time.Minute).UnixMicro()
	switch s := x.slice; {
	case x.adopt:
		return 0
	case s.Mark != nil:
		at := s.Mark.Time.UnixMicro()
		if s.Kind == event.KindHeartbeat && at > latest {
			return now.UnixMicro()
		}
		if at <= latest {
			return max(0, at)
		}
	default:
		at := int64(0)
		for _, tx := range s.Txs {
			if when := tx.CommitTime.UnixMicro(); tx.End && tx.ID[:3] != "sna" && when > 0 && when <= latest {
				at = when
			}
		}
		return at
	}
	return 0
}

var now = time.Date(2026, 8, 21, 12, 0, 0, 0, time.UTC)

func queueID(q int) pipeline.QueueID {
	return pipeline.QueueID{Broker: "b", Topic: "p--shop--orders", Queue: q}
}

// source makes a table's messages for its queues, in an order that a source could have.
type source struct {
	rng     *rand.Rand
	queues  [][]taken
	seq     event.Seq
	begun   event.Seq
	schemas []*event.Schema
	last    []event.Seq
}

func newSource(seed uint64) *source {
	rng := rand.New(rand.NewPCG(seed, 1))
	n := 1 + rng.IntN(4)
	s := &source{rng: rng, queues: make([][]taken, n), last: make([]event.Seq, n)}
	s.define()
	if rng.IntN(2) == 0 {
		s.all(event.KindDDL, event.Mark{Schema: s.schema().ID}, s.schema())
	}
	return s
}

func (s *source) schema() *event.Schema { return s.schemas[len(s.schemas)-1] }

func (s *source) define() {
	x := event.Schema{ID: event.SchemaID{byte(len(s.schemas) + 1)}, Columns: []event.Column{{ID: 1, Name: "id"}}}
	s.schemas = append(s.schemas, &x)
}

func (s *source) next() event.Seq { s.seq += 2; return s.seq }

func (s *source) when() time.Time {
	switch s.rng.IntN(8) {
	case 0:
		return time.Time{}
	case 1:
		return now.Add(time.Hour) // somebody's SET TIMESTAMP
	}
	return now.Add(-time.Hour + time.Duration(s.rng.IntN(3600))*time.Second)
}

func (s *source) send(q int, x *event.Slice, schema *event.Schema) {
	x.Prev = s.last[q]
	s.last[q] = x.Hi
	s.queues[q] = append(s.queues[q], taken{queue: queueID(q), slice: x, schema: schema})
}

func (s *source) all(k event.Kind, m event.Mark, schema *event.Schema) {
	m.Seq, m.Queues, m.Time = s.next(), len(s.queues), s.when()
	if k == event.KindBegin {
		m.Attempt, s.begun = m.Seq, m.Seq
	}
	for q := range s.queues {
		id := event.Identity{Tx: fmt.Sprintf("mark:%d", m.Seq)}
		s.send(q, &event.Slice{Kind: k, Lo: m.Seq, Hi: m.Seq, To: id, Mark: &m}, schema)
	}
}

func (s *source) rows() {
	q := s.rng.IntN(len(s.queues))
	x := &event.Slice{Kind: event.KindRow}
	for n := range 1 + s.rng.IntN(3) {
		tx := event.SliceTx{ID: fmt.Sprintf("tx:%d", s.seq), CommitTime: s.when(), End: s.rng.IntN(4) > 0}
		if s.rng.IntN(5) == 0 {
			tx.ID = fmt.Sprintf("snap/1/%d", s.seq)
		}
		x.Txs = append(x.Txs, tx)
		for range 1 + s.rng.IntN(2) {
			x.Rows = append(x.Rows, event.Row{Op: event.OpCreate, Seq: s.next(), Tx: n})
		}
	}
	x.Lo, x.Hi = x.Rows[0].Seq, x.Rows[len(x.Rows)-1].Seq
	x.To = event.Identity{Tx: x.Txs[len(x.Txs)-1].ID, Index: uint64(x.Hi)}
	s.send(q, x, s.schema())
}

func (s *source) step() {
	switch n := s.rng.IntN(20); {
	case n < 9:
		s.rows()
	case n < 11:
		s.all(event.KindHeartbeat, event.Mark{}, nil)
	case n < 13:
		old := s.schema().ID
		s.define()
		due := ""
		if s.rng.IntN(2) == 0 {
			due = "stored values changed"
		}
		s.all(event.KindDDL, event.Mark{Old: old, Schema: s.schema().ID, Due: due}, s.schema())
	case n < 14:
		s.all(event.KindTruncate, event.Mark{}, nil)
	case n < 15:
		s.all(event.KindDDL, event.Mark{Old: s.schema().ID}, nil) // DROP
	case n < 17:
		s.all(event.KindBegin, event.Mark{Schema: s.schema().ID}, s.schema())
	case s.begun != 0:
		s.all(event.KindEnd, event.Mark{Attempt: s.begun}, nil)
		s.begun = 0
	}
}

func seeds(t testing.TB, n int) []uint64 {
	if s := os.Getenv("MILLRACE_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return []uint64{seed}
	}
	list := make([]uint64, n)
	for i := range list {
		list[i] = uint64(i + 1)
	}
	return list
}

// TestTheLedgerSaysWhatTheTwinSays delivers each queue in its order and the queues in any,
// with repeats, batches that are given up, and holes, and compares all that the ledger says.
func TestTheLedgerSaysWhatTheTwinSays(t *testing.T) {
	for _, seed := range seeds(t, 100) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { runTwin(t, seed) })
	}
}

func runTwin(t *testing.T, seed uint64) {
	src, rng := newSource(seed), rand.New(rand.NewPCG(seed, 2))
	for range 40 {
		src.step()
	}
	table, w := &Table{}, &twin{}
	at := make([]int, len(src.queues))
	batch, kept, from := table.Begin(), 0, slices.Clone(at)
	for range 120 {
		q := rng.IntN(len(src.queues))
		switch n := rng.IntN(20); {
		case n == 0: // the batch cannot be written
			w.order, at = w.order[:kept], slices.Clone(from)
			batch = table.Begin()
		case n < 5:
			table, kept, from = batch.Next(), len(w.order), slices.Clone(at)
			batch = table.Begin()
			if batch.Changed() || !batch.Empty() {
				t.Fatal("a new batch has something to write")
			}
		case n == 5 && at[q] > 0: // the broker hands a message out again
			x := src.queues[q][rng.IntN(at[q])]
			if _, ok, err := batch.Take(x.queue, x.slice, x.schema, now); ok || err != nil {
				t.Fatalf("a message that is there was taken again: %v %v", ok, err)
			}
		case n == 6 && at[q]+1 < len(src.queues[q]): // one is left out
			x := src.queues[q][at[q]+1]
			if _, _, err := batch.Take(x.queue, x.slice, x.schema, now); err == nil {
				t.Fatal("a message behind a hole was taken")
			}
		case at[q] < len(src.queues[q]):
			x := src.queues[q][at[q]]
			if x.slice.Kind == event.KindBegin && x.slice.Prev > 0 && rng.IntN(4) == 0 {
				batch.Adopt(x.queue, x.slice.Prev)
				w.order = append(w.order, taken{queue: x.queue, slice: x.slice, adopt: true})
			}
			step, ok, err := batch.Take(x.queue, x.slice, x.schema, now)
			if err != nil || !ok {
				t.Fatalf("the next message was not taken: %v", err)
			}
			at[q]++
			w.order = append(w.order, x)
			w.checkStep(t, step, x)
		}
		w.check(t, batch)
	}
}

// checkStep compares what a step asks to be written.
func (w *twin) checkStep(t *testing.T, step Step, x taken) {
	t.Helper()
	n := len(w.order)
	before, _ := w.floor(n - 1)
	after, _ := w.floor(n)
	switch {
	case after != before && (step.Delete == nil || step.Delete.Below != after || step.Delete.Mark != x.slice.Mark):
		t.Fatalf("the floor rose to %d, to be recorded is %+v", after, step.Delete)
	case after == before && w.firstDue(n-1) && (step.Delete == nil || step.Delete.Below != 0):
		t.Fatalf("changes are not told from here on, to be recorded is %+v", step.Delete)
	case after == before && !w.firstDue(n-1) && step.Delete != nil:
		t.Fatalf("nothing is to be recorded, and %+v is", step.Delete)
	}
	if len(step.Rows) != len(x.slice.Rows) {
		t.Fatalf("%d of %d rows", len(step.Rows), len(x.slice.Rows))
	}
}

func (w *twin) check(t *testing.T, b *Batch) {
	t.Helper()
	n, got := len(w.order), b.Next()
	ids, marks, high := w.marks()
	if len(got.Queues) != len(ids) {
		t.Fatalf("%d queues, not %d", len(got.Queues), len(ids))
	}
	for q, id := range ids {
		x := got.Queues[q]
		if x.ID != id || x.Seq != marks[id] || x.High != high[id] {
			t.Fatalf("queue %d is %+v, mark %d and highest %d are right", q, x, marks[id], high[id])
		}
	}
	floor, by := w.floor(n)
	if got.Floor != floor || floor > 0 && got.Queues[got.FloorQ].ID != by {
		t.Fatalf("the floor is %d by queue %d, not %d by %v", got.Floor, got.FloorQ, floor, by)
	}
	for name, c := range map[string][2]any{
		"open": {fmt.Sprint(got.Open), fmt.Sprint(w.open(n))}, "due": {got.Due, w.due(n)}, "born": {got.Born, w.born(n)},
		"route": {got.Route, w.route(n)}, "whole": {got.Whole(), w.whole(n)}, "schema": {got.Schema, w.schema(n)},
		"complete to": {got.CompleteTo(), w.completeTo(n)},
	} {
		if !reflect.DeepEqual(c[0], c[1]) {
			t.Fatalf("%s: %v, not %v (after %d)", name, c[0], c[1], n)
		}
	}
}
