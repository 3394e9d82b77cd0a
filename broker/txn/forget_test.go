package txn_test

import (
	"fmt"
	"testing"
)

// The power fails while an owned topic is deleted. Where its queues are gone a topic of
// that name begins anew, though the record that forgets them was lost; where they are
// still there it goes on with them.
func TestThePowerFailsWhileATopicIsDeleted(t *testing.T) {
	for _, snapshot := range []bool{false, true} {
		for _, gone := range []bool{false, true} {
			t.Run(fmt.Sprintf("snapshot %v, queues gone %v", snapshot, gone), func(t *testing.T) {
				w := newWorld(t)
				w.snaps = snapshot
				w.start()
				w.own("p-a", 1)
				w.own("p-b", 1)
				w.open("p", 1, "x")
				for _, topic := range []string{"p-a", "p-b"} {
					if res := w.send(topic, 0, linkProps("p", 1, 1, 10, 0)); res.Err != nil {
						t.Fatal(res.Err)
					}
				}
				if err := w.log.retain(w.log.next); err != nil { // the record knows both
					t.Fatal(err)
				}
				if snapshot {
					w.txn.Snapshot()
				}
				delete(w.topics, "p-b")
				last := uint64(10)
				if gone {
					w.log.drop("p-b")
					last = 0
				}
				w.crash(0)
				w.own("p-b", 1)
				for range 2 {
					res := w.open("p", 2, "y")
					if res.err != nil {
						t.Fatal(res.err)
					}
					for i, want := range []uint64{10, last} {
						if q := res.state.Queues[i]; q.Hi != want {
							t.Errorf("the last message of %s is %d, want %d", q.Topic, q.Hi, want)
						}
					}
					w.crash(0)
				}
			})
		}
	}
}
