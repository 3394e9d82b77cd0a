package runner

import (
	"testing"
	"testing/synctest"
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
	older := level{marks: []pipeline.QueueMark{{Queue: q, Known: true, Seq: event.MakeSeq(1, 50)}}, changes: at.Add(-time.Hour),
		current: at.Add(-time.Hour)}
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

// troubled is a target table with something that fails beside the stream.
type troubled struct {
	pipeline.SinkTable
	why string
}

func (t *troubled) Trouble() string { return t.why }

// TestATargetIsBehindWhenItStaysSo: current/ that can't keep up is said at once, and is the
// table's state once it has lasted; one merge that took long is not.
func TestATargetIsBehindWhenItStaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &owner{status: pipeline.SinkSummary{State: pipeline.StateRunning}}
		target := &troubled{}
		const slow = "current/ is 25 s behind changes/"
		for _, step := range []struct {
			after  time.Duration
			why    string
			state  pipeline.State
			reason string
		}{
			{0, "", pipeline.StateRunning, ""},
			{0, slow, pipeline.StateRunning, slow},
			{troubleTime - time.Second, slow, pipeline.StateRunning, slow},
			{time.Second, slow, pipeline.StateBehind, slow},
			{time.Hour, slow, pipeline.StateBehind, slow},
			{time.Second, "", pipeline.StateRunning, ""},
			{time.Second, slow, pipeline.StateRunning, slow}, // counted anew
			{troubleTime, slow, pipeline.StateBehind, slow},
		} {
			time.Sleep(step.after)
			target.why = step.why
			o.noticeTrouble(target)
			if s := o.status; s.State != step.state || s.Reason != step.reason {
				t.Errorf("%s later, with %q: %s, %q", step.after, step.why, s.State, s.Reason)
			}
		}
		o.status.State, o.status.Reason = pipeline.StateWaiting, "a queue waits"
		if o.noticeTrouble(target); o.status.State != pipeline.StateWaiting {
			t.Errorf("a target that waits is said to be %s", o.status.State)
		}
	})
}
