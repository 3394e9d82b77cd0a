package txn_test

import (
	"errors"
	"testing"

	"github.com/millrace/millrace/broker/writer"
)

// A record of a writer is made before it is appended. Messages that enter between the two
// must survive retention and restarts as if the record knew them.
func TestMessagesThatEnterWhileARecordIsWritten(t *testing.T) {
	for _, tc := range []struct {
		name   string
		before func(w *world)            // what the queues hold
		enter  func(w *world) *putResult // what enters
		queue  int32
		last   uint64
	}{
		{
			name:   "into a queue that the record names",
			before: func(w *world) { w.send("p-a", 0, linkProps("p", 1, 1, 10, 0)) },
			enter:  func(w *world) *putResult { return w.send("p-a", 0, linkProps("p", 1, 11, 20, 10)) },
			last:   20,
		},
		{
			name:   "the first of its queue",
			before: func(w *world) { w.send("p-a", 0, linkProps("p", 1, 1, 10, 0)) },
			enter:  func(w *world) *putResult { return w.send("p-a", 1, linkProps("p", 1, 1, 10, 0)) },
			queue:  1,
			last:   10,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.own("p-a", 2)
			if res := w.open("p", 1, "x"); res.err != nil {
				t.Fatal(res.err)
			}
			tc.before(w)
			var entered *putResult
			w.log.between = func(topic string) bool {
				if topic != writer.Topic {
					return false
				}
				entered = tc.enter(w)
				return true
			}
			if err := w.log.retain(w.log.next); err != nil {
				t.Fatal(err)
			}
			if entered == nil || entered.Err != nil {
				t.Fatalf("nothing entered: %+v", entered)
			}
			for _, step := range []string{"a restart", "retention and a restart"} {
				if step != "a restart" {
					if err := w.log.retain(w.log.next); err != nil {
						t.Fatal(err)
					}
				}
				w.crash(0)
				res := w.open("p", 1, "x")
				if res.err != nil {
					t.Fatal(res.err)
				}
				if got := res.state.Queues[tc.queue]; got.Hi != tc.last {
					t.Fatalf("after %s queue %d ends with %d, want %d", step, tc.queue, got.Hi, tc.last)
				}
			}
		})
	}
}

// A half that is being decided while retention carries it forward is decided once: the
// copy is refused, or the final message is made of it.
func TestAHalfIsDecidedWhileItIsCarriedForward(t *testing.T) {
	w := newWorld(t)
	if res := w.half("a", "free", 0, nil, "g"); res.Err != nil {
		t.Fatal(res.Err)
	}
	var decided *resolveResult
	w.log.between = func(topic string) bool {
		decided = w.end("a", true, nil)
		return true
	}
	if err := w.log.retain(w.log.next); err != nil {
		t.Fatal(err)
	}
	if got := describe(decided.outcomes[0]); got != "committed at 0" {
		t.Fatal(got)
	}
	w.crash(0)
	if n := w.txn.Pending(); n != 0 {
		t.Fatalf("%d halves are pending after the only one was committed", n)
	}
	if got := w.visible("free", 0); len(got) != 1 {
		t.Fatalf("visible: %v", got)
	}
}

// A decision that comes while halves are carried forward keeps the half in the log until it
// is durable itself: a power cut must not take both.
func TestRetentionWaitsForADecisionThatIsNotDurable(t *testing.T) {
	w := newWorld(t)
	if res := w.half("a", "free", 0, nil, "g"); res.Err != nil {
		t.Fatal(res.Err)
	}
	w.log.between = func(string) bool {
		w.log.hold = true
		w.end("a", true, nil)
		return true
	}
	err := w.log.retain(w.log.next)
	w.crash(0)
	if n := w.txn.Pending(); n != 1 {
		t.Fatalf("%d halves are pending after a power cut; retention said %v", n, err)
	}
	if err == nil {
		t.Fatal("the file of a half was given free whose decision was not durable")
	}
}

// A half that cannot be read now is not gone: that would be final.
func TestAHalfThatCannotBeReadIsNotGone(t *testing.T) {
	w := newWorld(t)
	w.cfg.Remembered = 1
	w.start()
	for _, name := range []string{"a", "b"} {
		if res := w.half(name, "free", 0, nil, "g"); res.Err != nil {
			t.Fatal(res.Err)
		}
		w.end(name, true, nil)
	}
	w.log.unreadable = errors.New("input/output error")
	if got := describe(w.end("a", true, nil).outcomes[0]); got != "failed: input/output error" {
		t.Fatal(got)
	}
	w.log.unreadable = nil
	if got := describe(w.end("a", true, nil).outcomes[0]); got != "committed at 0" {
		t.Fatal(got)
	}
}

// Two ENDs in flight for one half: one decides, both are told the same.
func TestTwoEndsInFlight(t *testing.T) {
	for _, first := range []bool{true, false} {
		w := newWorld(t)
		if res := w.half("a", "free", 0, nil, "g"); res.Err != nil {
			t.Fatal(res.Err)
		}
		var inner *resolveResult
		w.log.between = func(string) bool { inner = w.end("a", first, nil); return true }
		outer := w.end("a", !first, nil)
		if a, b := describe(inner.outcomes[0]), describe(outer.outcomes[0]); a != b || (a == "committed at 0") != first {
			t.Fatalf("the one that came first is told %q, the other %q", a, b)
		}
	}
}
