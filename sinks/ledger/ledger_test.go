package ledger

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

func rowsOf(prev event.Seq, seqs ...event.Seq) *event.Slice {
	s := &event.Slice{Kind: event.KindRow, Prev: prev, Lo: seqs[0], Hi: seqs[len(seqs)-1], Txs: []event.SliceTx{{ID: "tx"}}}
	for _, n := range seqs {
		s.Rows = append(s.Rows, event.Row{Op: event.OpCreate, Seq: n})
	}
	s.To = event.Identity{Tx: "tx", Index: uint64(s.Hi)}
	return s
}

// TestASliceThatReachesOverTheMarkIsCut: what was published again may be grouped otherwise.
func TestASliceThatReachesOverTheMarkIsCut(t *testing.T) {
	b := (&Table{Queues: []Queue{{ID: queueID(0), Seq: 12, High: 12}}}).Begin()
	step, ok, err := b.Take(queueID(0), rowsOf(10, 11, 12, 13, 14), &event.Schema{}, now)
	if err != nil || !ok || len(step.Rows) != 2 || step.Rows[0].Seq != 13 {
		t.Fatalf("%+v, %v, %v", step, ok, err)
	}
	if q := b.Next().Queues[0]; q.Seq != 14 || q.High != 14 || q.At != (event.Identity{Tx: "tx", Index: 14}) {
		t.Errorf("the queue is %+v", q)
	}
}

// TestABatchIsCommittedOnItsMarks: K9, and the generation first.
func TestABatchIsCommittedOnItsMarks(t *testing.T) {
	c := &pipeline.Claim{Generation: 3, Table: event.TableName{DB: "shop", Table: "orders"}}
	table := &Table{Generation: 3, Queues: []Queue{{ID: queueID(0), Seq: 12}}}
	b := table.Begin()
	if _, _, err := b.Take(queueID(0), rowsOf(12, 14), nil, now); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Take(queueID(1), rowsOf(0, 16), nil, now); err != nil {
		t.Fatal(err)
	}
	type now map[int]event.Seq
	for name, x := range map[string]struct {
		generation uint64
		marks      now
		want       string
	}{
		"as it was":                 {3, now{0: 12}, ""},
		"under an older generation": {2, now{0: 12}, ""},
		"another has taken it":      {4, now{0: 12}, "generation 4 has table shop.orders, this one is 3"},
		"the mark has moved":        {3, now{0: 14}, "stands at 14 in the target and not at 12"},
		"the mark is gone":          {3, now{}, "stands at 0 in the target and not at 12"},
		"another has added a queue": {3, now{0: 12, 1: 16}, "stands at 16"},
	} {
		err := b.StillOn(x.generation, c, func(q int) (event.Seq, bool) { s, ok := x.marks[q]; return s, ok })
		if (err == nil) != (x.want == "") || err != nil && !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v", name, err)
		}
		if superseded := x.generation > 3; errors.Is(err, pipeline.ErrSuperseded) != superseded {
			t.Errorf("%s: superseded %v: %v", name, superseded, err)
		}
	}
}

// TestAMarkGoesBackToAnEarlierOne: to one whose identity was noted, never to a number that
// only happens to be there.
func TestAMarkGoesBackToAnEarlierOne(t *testing.T) {
	earlier := []Queue{
		{Seq: 30, High: 12, At: event.Identity{Tx: "above the mark"}},
		{Seq: 19, High: 18}, // adopted: nobody knows what stands there
		{Seq: 14, High: 12, At: event.Identity{Tx: "tx", Index: 14}},
		{Seq: 6, High: 6, At: event.Identity{Tx: "tx", Index: 6}},
	}
	for name, c := range map[string]struct {
		highest event.Seq
		want    event.Seq
	}{
		"everything is there":                   {20, 24},
		"more than was noted":                   {22, 24},
		"the newest rows are gone":              {16, 14},
		"an earlier mark whose rows just are":   {12, 14},
		"that one's are gone as well":           {11, 6},
		"everything is gone":                    {0, 0},
		"nothing was noted that is still there": {5, 0},
	} {
		q := Queue{ID: queueID(3), Seq: 24, High: 20, At: event.Identity{Tx: "tx", Index: 24}}
		rewound := q.Believe(c.highest, earlier)
		if rewound != (c.want != 24) || q.Seq != c.want || q.At.Index != uint64(c.want) || q.ID != queueID(3) {
			t.Errorf("%s: %v %+v", name, rewound, q)
		}
		if rewound && q.Believe(c.highest, earlier) {
			t.Errorf("%s: it goes back twice", name)
		}
	}
}

// TestADeletionIsRememberedUntilEveryQueueHasPassedIt counts queues of the route that were
// never heard of.
func TestADeletionIsRememberedUntilEveryQueueHasPassedIt(t *testing.T) {
	for name, c := range map[string]struct {
		marks []event.Seq
		route int
		want  bool
	}{
		"all":                      {[]event.Seq{10, 12}, 2, true},
		"one is behind":            {[]event.Seq{10, 9}, 2, false},
		"one was never heard of":   {[]event.Seq{10}, 2, false},
		"no route is known":        {[]event.Seq{10, 10}, 0, true},
		"a former route's is left": {[]event.Seq{10, 12, 3}, 2, true},
	} {
		table := &Table{Route: c.route}
		for q, m := range c.marks {
			table.Queues = append(table.Queues, Queue{ID: queueID(q), Seq: m})
		}
		if table.Passed(10) != c.want {
			t.Errorf("%s: passed %v", name, !c.want)
		}
	}
	if table := (&Table{Floor: 10}); !table.Gone(9) || table.Gone(10) {
		t.Error("what is below the floor is gone, and nothing else")
	}
}

func TestColumnsAreMappedByIdentity(t *testing.T) {
	old := &event.Schema{Columns: []event.Column{{ID: 1, Name: "id"}, {ID: 2, Name: "a"}, {ID: 3, Name: "b"}}}
	// a and b have changed names, a new column stands first, b was dropped and made again.
	now := &event.Schema{Columns: []event.Column{{ID: 4, Name: "new", HasDefault: true, Default: []byte("web")}, {ID: 1, Name: "id"}, {ID: 3, Name: "a"}, {ID: 5, Name: "b"}}}
	if got := Map(now, old); !slices.Equal(got, []int{Missing, 0, 2, Missing}) {
		t.Errorf("the newer table's columns are at %v", got)
	}
	if got := Map(old, now); !slices.Equal(got, []int{1, Missing, 2}) {
		t.Errorf("the older table's columns are at %v", got)
	}
	if v := Fill(&now.Columns[0]); string(v) != "web" {
		t.Errorf("rows of before show %q", v)
	}
	if v := Fill(&now.Columns[3]); v != nil {
		t.Errorf("without a default they show %q", v)
	}
}

// TestSignsAddUp compares what is shown of a row without a key with a plain sum over the
// changes at or above the floor; after any later floor at one of the open BEGINs it must
// still be so, for what was kept on record.
func TestSignsAddUp(t *testing.T) {
	for _, seed := range seeds(t, 2000) {
		rng := rand.New(rand.NewPCG(seed, 3))
		table := &Table{Floor: event.Seq(rng.IntN(20))}
		for b := table.Floor; ; {
			if b += event.Seq(1 + rng.IntN(30)); b > 60 {
				break
			}
			table.Open = append(table.Open, b)
		}
		var plus, minus []event.Seq
		for n := range event.Seq(60) {
			switch rng.IntN(5) {
			case 0:
				plus = append(plus, n)
			case 1:
				minus = append(minus, n)
			}
		}
		for _, floor := range append([]event.Seq{table.Floor}, table.Open...) {
			want := 0
			for _, n := range plus {
				if n >= floor {
					want++
				}
			}
			for _, n := range minus {
				if n >= floor {
					want--
				}
			}
			table.Floor = floor
			rng.Shuffle(len(plus), func(i, j int) { plus[i], plus[j] = plus[j], plus[i] })
			shown, hidden, owed := table.Settle(slices.Clone(plus), slices.Clone(minus))
			if len(shown) != max(0, want) {
				t.Fatalf("seed %d: %d are shown above %d, the sum is %d", seed, len(shown), floor, want)
			}
			// From what is on record the same follows.
			again := append(slices.Clone(shown), hidden...)
			if s, h, o := table.Settle(slices.Clone(again), slices.Clone(owed)); fmt.Sprint(len(s), len(h), len(o)) != fmt.Sprint(len(shown), len(hidden), len(owed)) {
				t.Fatalf("seed %d: settled again %d %d %d, not %d %d %d", seed, len(s), len(h), len(o), len(shown), len(hidden), len(owed))
			}
			plus, minus = again, owed // the next floor finds what was kept
		}
	}
	for op, want := range map[event.Op]int{event.OpCreate: 1, event.OpRead: 1, event.OpDelete: -1, event.OpUpdate: 0, event.OpBelow: 0} {
		if Sign(op) != want {
			t.Errorf("%c counts %d", op, Sign(op))
		}
	}
}

// TestWhatWasHandedOutIsNotWrittenTo: merges read a ledger while the next batch grows.
func TestWhatWasHandedOutIsNotWrittenTo(t *testing.T) {
	for _, seed := range seeds(t, 50) {
		src := newSource(seed)
		for range 30 {
			src.step()
		}
		table, want := &Table{}, ""
		for q := range src.queues {
			for _, x := range src.queues[q] {
				b := table.Begin()
				if _, _, err := b.Take(x.queue, x.slice, x.schema, now); err != nil {
					t.Fatal(err)
				}
				if got := fmt.Sprintf("%+v", *table); want != "" && got != want {
					t.Fatalf("seed %d: the ledger was\n%s\nand is\n%s", seed, want, got)
				}
				table = b.Next()
				want = fmt.Sprintf("%+v", *table)
			}
		}
		for q, m := range table.Marks() {
			if m.Q != q || !m.Known || m.Seq != src.last[m.Queue.Queue] || m.ID.Tx == "" {
				t.Errorf("seed %d: mark %+v", seed, m)
			}
		}
	}
}

func TestTheNewestCommitIsKnown(t *testing.T) {
	if at := (&Table{Queues: []Queue{{Done: 3}, {Done: 7}, {Done: 5}}}).Newest(); at != 7 {
		t.Errorf("the newest is %d", at)
	}
}

// TestATruncateAnswersWhatMadeAnAttemptDue: a queue that is behind brings the statement after
// another has brought the TRUNCATE that took all its rows.
func TestATruncateAnswersWhatMadeAnAttemptDue(t *testing.T) {
	schema := &event.Schema{ID: event.SchemaID{1}}
	mark := func(k event.Kind, prev, n event.Seq, m event.Mark) *event.Slice {
		m.Seq, m.Queues = n, 2
		return &event.Slice{Kind: k, Prev: prev, Lo: n, Hi: n, Mark: &m}
	}
	due := mark(event.KindDDL, 0, 4, event.Mark{Schema: schema.ID, Old: event.SchemaID{9}, Due: "converted"})
	b := (&Table{}).Begin()
	for _, x := range []struct {
		q      int
		s      *event.Slice
		schema *event.Schema
	}{{0, due, schema}, {0, mark(event.KindTruncate, 4, 6, event.Mark{}), nil}, {1, due, schema}} {
		if _, _, err := b.Take(queueID(x.q), x.s, x.schema, now); err != nil {
			t.Fatal(err)
		}
	}
	if b.Next().Due != 0 || !b.Next().Whole() {
		t.Errorf("an attempt is due above %d although nothing from before it is left", b.Next().Due)
	}
}

// TestARouteChangesWhereItsNumberDoes: marks that repeat it change nothing, and neither does
// what a queue that is behind brings late.
func TestARouteChangesWhereItsNumberDoes(t *testing.T) {
	b := (&Table{}).Begin()
	prev := map[int]event.Seq{}
	for _, x := range []struct {
		q, queues int
		n         event.Seq
		changed   event.Seq
	}{{0, 2, 4, 4}, {0, 2, 8, 4}, {0, 4, 12, 12}, {0, 4, 16, 12}, {1, 2, 4, 12}, {1, 2, 8, 12}, {1, 4, 12, 12},
		{2, 4, 12, 12}, {0, 3, 20, 20}} {
		s := &event.Slice{Kind: event.KindTruncate, Prev: prev[x.q], Lo: x.n, Hi: x.n, Mark: &event.Mark{Seq: x.n, Queues: x.queues}}
		if _, _, err := b.Take(queueID(x.q), s, nil, now); err != nil {
			t.Fatal(err)
		}
		prev[x.q] = x.n
		if got := b.Next().Rerouted; got != x.changed {
			t.Errorf("behind %d of queue %d the route is that of %d, not of %d", x.n, x.q, got, x.changed)
		}
	}
}
