package runner

import "time"

// gathering says how long what an owner has written gathers before it is flushed. That is
// the sink's interval. Where the rows are older than it, because the stream catches up, more
// come at once, and a flush costs files for each of them however few rows it holds: then they
// gather for a quarter of their age, one interval at least and four at most. A reader sees
// nothing that is a quarter older than it would be else. What is old does not wait when
// nothing more comes: then the stream has caught up.
type gathering struct {
	late  time.Time     // it is over, whatever comes
	pause time.Duration // nothing may come for so long; 0 is however long
}

const (
	gatherShare     = 4 // of the rows' age
	gatherIntervals = 4 // at most
	// gatherRest is the part of an interval for which nothing may come where rows are old.
	// While the stream catches up rows come in groups, some ten of them in a second.
	gatherRest  = 4
	gatherPause = 20 * time.Millisecond // at least
)

// gather begins with rows of an age.
func gather(now time.Time, age, interval time.Duration) gathering {
	if age <= interval {
		return gathering{late: now.Add(interval)}
	}
	return gathering{
		late:  now.Add(max(interval, min(age/gatherShare, gatherIntervals*interval))),
		pause: max(gatherPause, min(interval/gatherRest, maintainEvery)),
	}
}

// empty says that nothing was written since the last flush.
func (g *gathering) empty() bool { return g.late.IsZero() }

// deadline is until when to wait for more.
func (g *gathering) deadline(now time.Time) time.Time {
	at := now.Add(maintainEvery)
	if g.pause > 0 {
		at = now.Add(g.pause)
	}
	if g.empty() || at.Before(g.late) {
		return at
	}
	return g.late
}

// over says that it is time to flush, after more has come or, up to the deadline, nothing has.
func (g *gathering) over(now time.Time, more bool) bool {
	return g.pause > 0 && !more || !now.Before(g.late)
}
