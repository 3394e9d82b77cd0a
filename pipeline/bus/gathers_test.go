package bus

import (
	"testing"
	"time"
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
