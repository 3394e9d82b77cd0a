package parquet

import (
	"cmp"
	"slices"
	"time"

	"github.com/millrace/millrace/sinks/delta"
)

// leastKept is how long a file that was replaced stays at least where all those of its table
// take too much room: readers that have just begun may still read it.
const leastKept = time.Minute

// removedBefore is the time before which files that were replaced may go: keep.removed ago,
// or later where those after it take more than keep.removed_times what is live; crowded says
// that they do.
func (s *Sink) removedBefore(snap *delta.Snapshot) (at time.Time, crowded bool) {
	now := s.now()
	at = now.Add(-s.cfg.Keep.Removed.D())
	if s.cfg.Keep.RemovedTimes == 0 {
		return at, false
	}
	room := 0.0
	for _, f := range snap.Files {
		room += float64(f.Size) * s.cfg.Keep.RemovedTimes
	}
	gone := make([]*delta.Remove, 0, len(snap.Removed))
	for _, r := range snap.Removed {
		gone = append(gone, r)
	}
	slices.SortFunc(gone, func(a, b *delta.Remove) int { return cmp.Compare(b.DeletionTimestamp, a.DeletionTimestamp) })
	for _, r := range gone { // the newest first
		if room -= float64(r.Size); room >= 0 {
			continue
		}
		last := time.UnixMilli(r.DeletionTimestamp + 1)
		if latest := now.Add(-leastKept); last.After(latest) {
			last = latest
		}
		if last.After(at) {
			return last, true
		}
		break
	}
	return at, false
}
