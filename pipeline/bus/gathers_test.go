package bus

import (
	"context"
	"testing"
	"time"

	"github.com/millrace/millrace/pipeline/event"
)

// TestGroupsOfOldRowsGatherLonger asks how long a group gathers, and adds transactions to one
// that is two intervals old: with fresh rows it ends, with old ones it goes on.
func TestGroupsOfOldRowsGatherLonger(t *testing.T) {
	const interval = time.Minute
	c := PublisherConfig{GroupInterval: interval, PositionInterval: time.Hour}
	for _, x := range []struct{ age, want time.Duration }{
		{0, interval}, {-time.Hour, interval}, {time.Second, interval}, {50 * time.Minute, interval},
		{100*time.Minute + gatherCoarse, 2 * interval}, {500*time.Minute + gatherCoarse, 10 * interval}, {1000 * time.Hour, 10 * interval},
	} {
		if got := c.gathers(x.age); got != x.want {
			t.Errorf("rows of %s gather for %s, want %s", x.age, got, x.want)
		}
	}
	for _, fresh := range []bool{true, false} {
		b := openBench(t, newTwin(), c)
		table := benchTable("t", 1)
		for i, id := range []string{"g1", "g2"} {
			items := b.tx(id, table, "a")
			if fresh {
				items[0].Tx.CommitTime = time.Now()
			}
			b.add(items...)
			b.p.mu.Lock()
			if g := b.p.cur; i == 0 && g != nil {
				g.begun = g.begun.Add(-2 * interval)
			} else if (g == nil) != fresh {
				t.Errorf("fresh rows %t: the group ended %t", fresh, g == nil)
			}
			b.p.mu.Unlock()
		}
		b.close()
	}
}

// TestAGroupOfOldRowsIsLookedAtAgain: nothing may come behind its last transaction, which was
// still open when an interval was over, or came when the group had only a position to tell.
func TestAGroupOfOldRowsIsLookedAtAgain(t *testing.T) {
	const interval = time.Minute
	cfg := PublisherConfig{GroupInterval: interval, PositionInterval: time.Hour}
	b := openBench(t, newTwin(), cfg)
	defer b.close()
	table := benchTable("t", 1)
	b.add(b.tx("g1", table, "a")[0])
	b.p.mu.Lock()
	b.p.cur.begun = b.p.cur.begun.Add(-interval)
	again, err := b.p.flushDueLocked(t.Context())
	b.p.mu.Unlock()
	if want := (gatherIntervals - 1) * interval; again <= want-interval || again > want || err != nil {
		t.Errorf("inside a transaction it is looked at again in %s, want %s: %v", again, want, err)
	}

	still := openBench(t, newTwin(), cfg)
	still.close() // nobody looks, so what is to be looked at stays there
	still.p.life, still.p.fail = context.WithCancelCause(t.Context())
	still.add(event.Item{Kind: event.KindCommit, Seq: still.seq(), Tx: &event.Tx{ID: "g1"}, Commit: still.at()})
	for len(still.p.opened) > 0 {
		<-still.p.opened
	}
	still.add(still.tx("g2", table, "a")...)
	if len(still.p.opened) != 1 {
		t.Error("rows behind a position wait for as long as that")
	}
}
