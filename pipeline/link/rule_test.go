package link

import (
	"testing"

	"github.com/millrace/millrace/pipeline/event"
)

func rows(prev event.Seq, seqs ...event.Seq) *event.Slice {
	s := &event.Slice{Kind: event.KindRow, Prev: prev, Lo: seqs[0], Hi: seqs[len(seqs)-1],
		Txs: []event.SliceTx{{ID: "tx", End: true, EndSeq: seqs[len(seqs)-1] + 1}}}
	for _, n := range seqs {
		s.Rows = append(s.Rows, event.Row{Seq: n, Index: uint64(n)})
	}
	s.To = event.Identity{Tx: "tx", Index: uint64(s.Hi)}
	return s
}

func TestASliceIsJudgedByTheMark(t *testing.T) {
	for name, c := range map[string]struct {
		mark event.Seq
		s    *event.Slice
		want Verdict
		rows int
	}{
		"the first":                     {0, rows(0, 12), Steady, 1},
		"the next":                      {10, rows(10, 12, 14), Steady, 2},
		"one that names an older one":   {11, rows(10, 12, 14), Steady, 2},
		"half of it is there":           {12, rows(10, 12, 14, 16), Partly, 2},
		"all of it is there":            {14, rows(10, 12, 14), Drop, 0},
		"the one before it is not":      {10, rows(12, 14), SeekBack, 1},
		"a first one that is not first": {0, rows(8, 12), SeekBack, 1},
	} {
		if got := Judge(c.mark, c.s); got != c.want || len(Above(c.mark, c.s)) != c.rows {
			t.Errorf("%s: %v with %d rows, not %v with %d", name, got, len(Above(c.mark, c.s)), c.want, c.rows)
		}
		p := Position{Mark: c.mark}
		moved := c.want == Steady || c.want == Partly
		if got := p.Take(c.s); got != c.want || (p.Mark == c.s.Hi) != (moved || c.mark == c.s.Hi) {
			t.Errorf("%s: a position at %d says %v and is at %d", name, c.mark, got, p.Mark)
		}
	}
}

// TestTheMessageAtTheMarkCarriesIt covers each place that a reader may find.
func TestTheMessageAtTheMarkCarriesIt(t *testing.T) {
	id := func(n uint64) event.Identity { return event.Identity{Tx: "tx", Index: n} }
	for name, c := range map[string]struct {
		mark   event.Seq
		id     event.Identity
		s      *event.Slice
		oldest bool
		after  bool
		wait   Wait
	}{
		"it is there":                      {14, id(14), rows(10, 12, 14), false, true, None},
		"another row is there":             {14, id(15), rows(10, 12, 14), false, false, LostTail},
		"it is inside":                     {12, id(12), rows(10, 12, 14), false, false, None},
		"another row is inside":            {12, id(99), rows(10, 12, 14), false, false, LostTail},
		"the end of a transaction, inside": {15, event.TxEndIdentity("tx"), func() *event.Slice { s := rows(10, 12, 14); s.Hi = 17; return s }(), false, false, None},
		"the one behind it is the oldest":  {12, id(12), rows(12, 14), true, false, None},
		"what is behind it is gone":        {10, id(10), rows(12, 14), true, false, Gap},
		"something else has its place":     {10, id(10), rows(12, 14), false, false, LostTail},
	} {
		p := Position{Mark: c.mark, ID: c.id}
		if after, wait := p.Found(c.s, c.oldest); after != c.after || wait != c.wait {
			t.Errorf("%s: after %v, wait %q", name, after, wait)
		}
	}
	if Begins(rows(0, 2)) != None || Begins(rows(2, 4)) != New {
		t.Error("a queue is read from its first message on, and from no other")
	}
}

func TestAWaitEndsAtABeginAboveIt(t *testing.T) {
	begin := func(n event.Seq) *event.Slice { return &event.Slice{Kind: event.KindBegin, Prev: 1, Lo: n, Hi: n} }
	for name, c := range map[string]struct {
		p    Position
		s    *event.Slice
		want Verdict
	}{
		"rows":                       {Position{Mark: 10, Wait: Gap}, rows(10, 12), Drop},
		"a BEGIN":                    {Position{Mark: 10, Wait: New}, begin(40), Adopt},
		"an older BEGIN":             {Position{Mark: 50, Wait: LostTail}, begin(40), Drop},
		"a BEGIN before a refusal":   {Position{Mark: 10, Wait: Refused, Refused: 60}, begin(40), Drop},
		"a BEGIN behind a refusal":   {Position{Mark: 10, Wait: Refused, Refused: 30}, begin(40), Adopt},
		"retention gave up, a BEGIN": {Position{Mark: 10, Wait: NeedsSnapshot}, begin(40), Adopt},
	} {
		if got := c.p.Take(c.s); got != c.want || (c.p.Wait == None) != (c.want == Adopt) {
			t.Errorf("%s: %v, and it waits for %q", name, got, c.p.Wait)
		}
	}
	for _, w := range Waits() {
		if w.Explain() == "" {
			t.Errorf("%s is not explained", w)
		}
	}
	if Wait("").Explain() != "" || Adopt.String() != "adopt" {
		t.Error("nothing is explained that does not wait")
	}
}
