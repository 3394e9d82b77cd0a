package runner

import (
	"testing"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// level is a target table that knows its marks and how far it is, and nothing else.
type level struct {
	pipeline.SinkTable
	marks            []pipeline.QueueMark
	changes, current time.Time
}

func (d level) Marks() []pipeline.QueueMark              { return d.marks }
func (d level) CompleteTo() (changes, current time.Time) { return d.changes, d.current }

// TestATargetThatLostDataIsNotComplete: what was proven by marks is gone with them.
func TestATargetThatLostDataIsNotComplete(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	q := pipeline.QueueID{Topic: "t"}
	full := level{marks: []pipeline.QueueMark{{Queue: q, Known: true, Seq: event.MakeSeq(1, 100)}}, changes: at, current: at}
	older := level{marks: []pipeline.QueueMark{{Queue: q, Known: true, Seq: event.MakeSeq(1, 50)}}, changes: at.Add(-time.Hour), current: at.Add(-time.Hour)}
	for _, c := range []struct {
		name            string
		now             level
		target, current time.Time
	}{
		{"the same", full, at, at},
		{"the same, whose ledger moves less often", level{marks: full.marks, changes: at.Add(-time.Minute), current: at.Add(-time.Minute)}, at, at},
		{"a restored copy", older, older.changes, older.current},
		{"an empty one", level{}, time.Time{}, time.Time{}},
		{"current/ removed", level{marks: full.marks, changes: at}, at, time.Time{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := freshness{queues: []pipeline.QueueID{q}, target: at, current: at, marks: full.marks}
			f.claimed(c.now)
			if !f.target.Equal(c.target) || !f.current.Equal(c.current) {
				t.Errorf("complete to %v and %v, want %v and %v", f.target, f.current, c.target, c.current)
			}
		})
	}
}
