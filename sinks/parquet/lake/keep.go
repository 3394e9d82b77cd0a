package lake

import (
	"cmp"
	"slices"
	"time"

	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/sinks/delta"
)

// Keep is how long what no longer counts stays on disk.
type Keep struct {
	// Removed are files that a merge replaced: readers may still be reading them.
	Removed config.Duration `yaml:"removed"`
	// RemovedTimes bounds what they take, as a multiple of what is live; 0 is no bound. The
	// last minute's stay whatever they take.
	RemovedTimes float64 `yaml:"removed_times"`
	// Orphans are files that no commit names.
	Orphans config.Duration `yaml:"orphans"`
	// Log is the age from which entries of the commit log go that a checkpoint covers.
	Log config.Duration `yaml:"log"`
}

// CheckpointEvery is how many commits a log checkpoint covers.
const CheckpointEvery = 50

// VacuumEvery is how often a table is looked through for files that no longer count.
const VacuumEvery = 5 * time.Minute

// LeastKept is how long a file that was replaced stays at least where all those of its table
// take too much room: readers that have just begun may still read it.
const LeastKept = time.Minute

// RemovedBefore is the time before which files that were replaced may go: keep.removed ago,
// or later where those after it take more than keep.removed_times what is live; crowded says
// that they do.
func (l *Lake) RemovedBefore(snap *delta.Snapshot) (at time.Time, crowded bool) {
	now := l.Now()
	at = now.Add(-l.Keep.Removed.D())
	if l.Keep.RemovedTimes == 0 {
		return at, false
	}
	room := 0.0
	for _, f := range snap.Files {
		room += float64(f.Size) * l.Keep.RemovedTimes
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
		if latest := now.Add(-LeastKept); last.After(latest) {
			last = latest
		}
		if last.After(at) {
			return last, true
		}
		break
	}
	return at, false
}
