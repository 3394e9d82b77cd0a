package current

import (
	"fmt"
	"time"
)

// pace says when the next merge begins: an interval after the one before was asked for, so
// that current/ is never further behind changes/ than twice the interval while merges take
// less than one. Where they take longer that can't be kept, and they are parted by what they
// take beyond the interval, so that the machine has about half of its time for other work.
type pace struct {
	interval time.Duration
	next     time.Time
	took     time.Duration // by the merge before
}

// ended notes a merge that was asked for, began when it was its turn, and ended. One that was
// slow alone, because the machine was busy or much had come, is not held against the table.
func (p *pace) ended(asked, began, end time.Time) {
	least := min(end.Sub(began), p.took)
	p.took = end.Sub(began)
	p.next = asked.Add(p.interval)
	if late := end.Add(least - p.interval); late.After(p.next) {
		p.next = late
	}
}

// lagging is what people are told where current/ is too far behind changes/, "" where not.
func (c *Table) lagging() string {
	since := c.oldest
	if c.running && len(c.taken.files) > 0 {
		since = c.taken.oldest
	} else if len(c.files) == 0 {
		return ""
	}
	behind := c.Now().Sub(since)
	if behind <= 2*c.pace.interval {
		return ""
	}
	return fmt.Sprintf("current/ is %d s behind changes/: merging takes longer than its interval of %s; "+
		"give it a longer current.interval, or the table a faster machine", int(behind.Seconds()), c.pace.interval)
}
