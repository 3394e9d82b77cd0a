package runner

import (
	"math"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/bus"
	"github.com/millrace/millrace/pipeline/event"
)

// freshness is how far one target table is complete. What the target's own ledger says
// survives restarts, but moves only with what is written; that nothing had to be written
// is proven by watermarks: the target's marks have reached what the queues held at a time.
type freshness struct {
	table  event.TableName
	queues []pipeline.QueueID

	// goal is the watermark that the marks are to reach. It stays until they have, so that
	// a target that is never level with its queues goes on all the same.
	goal *bus.Watermark
	// merging are versions of the change log, each with the time up to which it is complete,
	// that the table as it is does not have yet; oldest first.
	merging []dated

	target, current time.Time
	// unfounded says that the target never had the table as a whole.
	unfounded bool
	// marks are those that this was proven by.
	marks []pipeline.QueueMark
}

// claimed looks at a target that was claimed anew. It may hold less than before (it was
// removed, or restored from a copy): then what its own ledger says is all that is known.
func (f *freshness) claimed(target pipeline.SinkTable) {
	f.goal, f.merging = nil, nil
	var changes, current time.Time
	if d, ok := target.(pipeline.Dated); ok {
		changes, current = d.CompleteTo()
	}
	switch {
	case f.lost(target.Marks()):
		f.target, f.current = changes, current
	case current.IsZero():
		f.current = current
	}
	f.marks = nil
}

// lost reports whether a queue's mark is lower than it was.
func (f *freshness) lost(now []pipeline.QueueMark) bool {
	for _, was := range f.marks {
		there := false
		for _, m := range now {
			there = there || m.Queue == was.Queue && m.Known && m.Seq >= was.Seq
		}
		if was.Known && !there {
			return true
		}
	}
	return false
}

// noVersion stands for the change log's version before the first commit of a claim.
const noVersion = math.MaxInt64 - 1

type dated struct {
	version int64
	at      time.Time
}

// maxMerging bounds merging.
const maxMerging = 64

// look takes in what the target and the queues say now. version is that of the change log's
// last commit; flows says that the table is neither paused nor waiting for a snapshot: where
// it does not flow, or was never there as a whole, only what the target's ledger says counts.
func (f *freshness) look(target pipeline.SinkTable, version int64, water *bus.Watermark, flows bool) {
	if d, ok := target.(pipeline.Dated); ok {
		changes, current := d.CompleteTo()
		f.target, f.current = later(f.target, changes), later(f.current, current)
	}
	f.marks = target.Marks()
	if root, ok := target.(pipeline.Founded); ok {
		f.unfounded = !root.Founded()
	}
	if !flows || f.unfounded || water.Holds(f.table) {
		f.goal = nil
	} else {
		f.reach(f.marks, water)
	}
	f.follow(target, version)
}

func (f *freshness) reach(marks []pipeline.QueueMark, water *bus.Watermark) {
	if f.goal.Covers(f.table, f.queues, marks) {
		f.target, f.goal = later(f.target, f.goal.Time), nil
	}
	if water.Covers(f.table, f.queues, marks) {
		f.target, f.goal = later(f.target, water.Time), nil
		return
	}
	if f.goal == nil {
		f.goal = water
	}
}

// follow moves the table as it is up to what has been merged.
func (f *freshness) follow(target pipeline.SinkTable, version int64) {
	merged := int64(math.MaxInt64)
	if m, ok := target.(pipeline.Merged); ok {
		merged = m.Merged()
	}
	n := len(f.merging)
	if n > 0 && version < f.merging[n-1].version { // the first commit of this claim
		f.merging, n = nil, 0
	}
	if n > 0 && f.merging[n-1].version == version {
		f.merging[n-1].at = f.target
	} else if n < maxMerging && !f.target.IsZero() {
		f.merging = append(f.merging, dated{version, f.target})
	}
	for len(f.merging) > 0 && f.merging[0].version <= merged {
		f.current = later(f.current, f.merging[0].at)
		f.merging = f.merging[1:]
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
