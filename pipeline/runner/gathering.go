package runner

import "time"

// gathering says how long what an owner has written gathers before it is flushed. That is
// the sink's interval. Where the rows are much older than it, because the stream catches up,
// more come at once, and a flush costs files for each of them however few rows they hold: then
// they gather for a quarter of their age, up to four intervals, for as long as more come
// without a pause. A reader sees nothing that is a quarter older than it would be else.
type gathering struct {
	due, late time.Time // the interval is over; the longer time is
}

const (
	gatherShare     = 4 // of the rows' age
	gatherIntervals = 4 // at most
	// gatherPause is how long nothing may come once the interval is over.
	gatherPause = 20 * time.Millisecond
)

// gather begins with rows of an age.
func gather(now time.Time, age, interval time.Duration) gathering {
	longer := min(age/gatherShare, gatherIntervals*interval)
	return gathering{due: now.Add(interval), late: now.Add(max(interval, longer))}
}

// empty says that nothing was written since the last flush.
func (g *gathering) empty() bool { return g.due.IsZero() }

// deadline is until when to wait for more.
func (g *gathering) deadline(now time.Time) time.Time {
	at := now.Add(maintainEvery)
	switch {
	case g.empty():
		return at
	case now.Before(g.due):
		return earlier(at, g.due)
	}
	return earlier(now.Add(gatherPause), g.late)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// over says that it is time to flush, after more has come or nothing has.
func (g *gathering) over(now time.Time, more bool) bool {
	if more {
		return !now.Before(g.late)
	}
	return !now.Before(g.due)
}
