package current

import (
	"testing"
	"time"
)

// TestPaceKeepsCurrentWithinTwoIntervals plays merges of one length: what came just after one
// had begun is shown within twice the interval while merges take less than one, and where
// they take longer merging is not all that the machine does.
func TestPaceKeepsCurrentWithinTwoIntervals(t *testing.T) {
	const interval = 10 * time.Second
	for _, took := range []time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second, 9900 * time.Millisecond, 12 * time.Second, 40 * time.Second, 10 * time.Minute} {
		p, now := pace{interval: interval}, time.Unix(1e9, 0)
		for n := range 20 {
			asked := now
			p.ended(asked, asked, asked.Add(took))
			now = asked.Add(took)
			if p.next.After(now) {
				now = p.next
			}
			behind, pause := now.Sub(asked)+took, now.Sub(asked)-took
			if took < interval && behind >= 2*interval {
				t.Errorf("merges of %s: what came behind one is shown after %s", took, behind)
			}
			if took > 2*interval && n > 0 && pause < took/2 {
				t.Errorf("merges of %s are %s apart", took, pause)
			}
			if pause > max(took, interval) {
				t.Errorf("merges of %s are %s apart", took, pause)
			}
		}
	}
	p := pace{interval: interval, took: time.Second}
	day := time.Unix(1e9, 0)
	p.ended(day, day.Add(time.Minute), day.Add(2*time.Minute))
	if !p.next.Before(day.Add(2 * time.Minute)) {
		t.Errorf("one slow merge is followed by another at %s", p.next)
	}
}
