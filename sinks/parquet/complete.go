package parquet

import (
	"math"
	"strconv"
	"time"
)

// Founded reports whether the table was ever here as a whole.
func (t *Table) Founded() bool { return t.facts.ledger.Founded() }

// CompleteTo is the commit time up to which readers of changes/ and of current/ have
// everything. It survives restarts, for it stands in the logs beside the files.
func (t *Table) CompleteTo() (changes, current time.Time) {
	done := t.facts.ledger.CompleteTo()
	if t.current == nil {
		return timeOf(done), time.Time{}
	}
	if t.current.level() {
		return timeOf(done), timeOf(done)
	}
	return timeOf(done), timeOf(t.current.complete)
}

func timeOf(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

// Merged is the version of changes/ up to which current/ has everything.
func (t *Table) Merged() int64 {
	if t.current == nil || t.current.level() {
		return math.MaxInt64
	}
	return t.current.version
}

// Total is how many rows of the source changes/ has.
func (t *Table) Total() uint64 {
	snap := t.changes.Snapshot()
	if t.counted.version == snap.Version {
		return t.counted.rows
	}
	var rows uint64
	for _, p := range snap.Paths() {
		n, err := strconv.ParseUint(snap.Files[p].Tags[rowsTag], 10, 64)
		if err != nil {
			continue // another program's file, which says nothing of itself
		}
		rows += n
	}
	t.counted.version, t.counted.rows = snap.Version, rows-min(rows, t.facts.controls)
	return t.counted.rows
}
