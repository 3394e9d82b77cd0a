package bus

import "time"

// A message costs its queue, the record and whoever reads it the same however few rows it has,
// and a group has one for each queue that it touches. While the source catches up, with rows
// over many tables, groups of an interval would be of many small messages.
const (
	gatherShare     = 50 // of the rows' age
	gatherIntervals = 10 // at most
	// gatherCoarse is how coarse a commit's time may be: some servers tell it in seconds.
	gatherCoarse = time.Second
)

// gathers is how long a group gathers that begins with rows of an age: GroupInterval, and
// where they are old already a fiftieth of their age, up to ten intervals. Bytes end it sooner.
func (c *PublisherConfig) gathers(age time.Duration) time.Duration {
	return max(c.GroupInterval, min((age-gatherCoarse)/gatherShare, gatherIntervals*c.GroupInterval))
}
