package bus

import (
	"fmt"
	"testing"
	"time"

	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/life"
)

// agree compares the tables' lives, which follow what was handed over, with what a restart
// would make of the records. Everything that was added must be recorded.
func agree(p *Publisher) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ck.mu.Lock()
	defer p.ck.mu.Unlock()
	if p.cur != nil {
		return nil // within a transaction
	}
	recorded := recordedLives(p.ck.state)
	for name, is := range p.cfg.Life.All() {
		want := is.After(life.Event{Kind: life.Opened, Recorded: recorded[name]})
		if a, b := aspect(is), aspect(want); a != b {
			return fmt.Errorf("table %s lives as %s, and by the records it is %s: %w", name, a, b, errBroken)
		}
	}
	for name := range recorded {
		if _, known := p.cfg.Life.All()[name]; !known {
			return fmt.Errorf("table %s is recorded and has no life: %w", name, errBroken)
		}
	}
	return nil
}

// aspect is what the records are to tell of a table. A table that was paused before the
// source dropped it is not told to be paused while it is gone.
func aspect(t life.Table) string {
	state, code, _ := t.State()
	a, there := t.Attempt()
	halted := t.Halted() && t.Gone().Code == ""
	return fmt.Sprintf("%s(%s), attempt %v %d for %q, halted %v", state, code, there, a.Begin, a.Cause, halted)
}

// TestHeartbeatsClaimNothingForATableThatOwes: while a table's attempt is due, its queues'
// heartbeats carry no time: a target would take it for the time up to which it has all.
func TestHeartbeatsClaimNothingForATableThatOwes(t *testing.T) {
	b := openBench(t, newTwin(), PublisherConfig{HeartbeatInterval: 1, NoSnapshot: true})
	owes, whole := benchTable("owes", 1), benchTable("whole", 1)
	if err := b.p.Declare(t.Context(), []*event.Table{owes, whole}); err != nil {
		t.Fatal(err)
	}
	b.add(b.tx("g1", owes, "a", whole, "a")...)
	beat := func() (of, other time.Time) {
		t.Helper()
		b.seq()
		at := b.at()
		at.Time = time.Now().UnixMicro()
		seq := event.MakeSeq(1, b.n)
		b.n += 2
		it := event.Item{Kind: event.KindHeartbeat, Seq: seq, Commit: at}
		b.add(it, it) // the first one starts the clock
		b.flush()
		last := func(x *event.Table) time.Time {
			s, _ := b.slices(x, 0)
			if m := s[len(s)-1]; m.Kind == event.KindHeartbeat && m.Hi == seq {
				return m.Mark.Time
			}
			t.Fatalf("%s got no heartbeat", x.Name)
			return time.Time{}
		}
		return last(owes), last(whole)
	}
	claims := func(when string, want bool) {
		t.Helper()
		if of, other := beat(); (of.UnixMicro() > 0) != want || other.UnixMicro() <= 0 {
			t.Errorf("%s heartbeats carry %s and, of a table that is whole, %s", when, of, other)
		}
	}
	claims("at first", true)
	if err := b.p.MakeDue(t.Context(), []event.TableName{owes.Name}, "asked"); err != nil {
		t.Fatal(err)
	}
	claims("with a snapshot that was asked for", false)
	begin := b.attempt(event.KindBegin, owes, 0)
	b.add(begin)
	claims("with one under way", false)
	b.add(b.attempt(event.KindEnd, owes, begin.Seq))
	claims("behind its END", true)
	b.add(event.Item{Kind: event.KindPaused, Table: owes, Reason: &event.PauseReason{Code: event.PauseRequest}}, resumed(b, owes))
	claims("resumed", false)
	begin = b.attempt(event.KindBegin, owes, 0)
	b.add(begin, b.attempt(event.KindEnd, owes, begin.Seq))
	claims("and read anew", true)
	b.add(event.Item{Kind: event.KindDue, Table: owes, Attempt: &event.Attempt{Cause: "a cascade"}})
	claims("with one that the source owes", false)
	b.close()
}
