package bus

import (
	"testing"

	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/pipeline/event"
)

// controls makes workers of one cluster.
func controls(t *testing.T) (tw *twin, q message.Queue, worker func() *Control) {
	t.Helper()
	tw = newTwin()
	q = message.Queue{Topic: event.ControlTopic("p"), BrokerName: "b"}
	if err := tw.CreateTopic(t.Context(), ownedTopic(q.Topic, q.Topic), "b"); err != nil {
		t.Fatal(err)
	}
	return tw, q, func() *Control {
		return NewControl(&twinConn{t: tw, name: q.Topic, terms: map[string]uint64{}}, tw, "p", "b", "worker")
	}
}

func claim(t *testing.T, c *Control) Claimed {
	t.Helper()
	got, err := c.Claim(t.Context(), "lake", subTable, 0)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// All claims of a control queue have one origin, which outlives the records that named it
// first. Those of another one have another.
func TestClaimsOfOneQueueHaveOneOrigin(t *testing.T) {
	tw, q, worker := controls(t)
	idle := worker()
	one, two := worker(), worker()
	first := claim(t, one)
	if got := claim(t, two); first.Origin == "" || got.Origin != first.Origin || got.Generation != 2 {
		t.Errorf("%+v behind %+v", got, first)
	}
	if err := one.Refresh(t.Context()); err != nil { // it has lost its turn, and does not know
		t.Log(err)
	}
	two.refresh, idle.refresh = 0, 0
	for _, c := range []*Control{two, idle} {
		if err := c.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	tw.mu.Lock()
	records := tw.queues[q]
	n := len(records.messages)
	records.least = int64(n - 1) // all but the newest have aged out
	tw.mu.Unlock()
	if n != 3 {
		t.Errorf("%d records: two claims and one origin are wanted", n)
	}
	if got := claim(t, worker()); got.Origin != first.Origin {
		t.Errorf("behind the records' age %+v, before %+v", got, first)
	}
	_, _, other := controls(t)
	if got := claim(t, other()); got.Origin == "" || got.Origin == first.Origin {
		t.Errorf("another queue: %+v, and this one %+v", got, first)
	}
}
