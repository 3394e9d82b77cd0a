package routecache

import (
	"reflect"
	"testing"

	"github.com/millrace/millrace/message"
)

func q(broker string, id int32) message.Queue {
	return message.Queue{Topic: "T", BrokerName: broker, QueueID: id}
}

func TestBuildOrdersQueuesAndHeedsPermissions(t *testing.T) {
	r := Build("T",
		[]QueueData{{"b", 2, 1, 6}, {"a", 1, 2, 6}, {"c", 1, 1, 4}, {"d", 1, 1, 2}, {"e", 3, 3, 0}},
		[]BrokerData{{"c1", "b", map[int64]string{0: "b:1"}}, {"c1", "a", map[int64]string{1: "slave:1"}}})
	if want := []message.Queue{q("a", 0), q("a", 1), q("b", 0), q("d", 0)}; !reflect.DeepEqual(r.Write, want) {
		t.Errorf("writable %v, want %v", r.Write, want)
	}
	if want := []message.Queue{q("a", 0), q("b", 0), q("b", 1), q("c", 0)}; !reflect.DeepEqual(r.Read, want) {
		t.Errorf("readable %v, want %v", r.Read, want)
	}
	if addr, ok := r.Master("b"); addr != "b:1" || !ok {
		t.Errorf("master of b: %q, %v", addr, ok)
	}
	for _, broker := range []string{"a", "z"} {
		if addr, ok := r.Master(broker); ok {
			t.Errorf("master of %s: %q", broker, addr)
		}
	}
}

func TestBuildBoundsWhatAnAnswerCanAskFor(t *testing.T) {
	r := Build("T", []QueueData{{"a", 1 << 30, -5, 6}, {"b", 1 << 30, 1, 6}}, nil)
	if len(r.Read) != maxQueues || len(r.Write) != 1 {
		t.Fatalf("%d readable, %d writable", len(r.Read), len(r.Write))
	}
}

func TestCacheTellsChangesAndKeepsAddresses(t *testing.T) {
	c := New()
	route := func(queues int32, addr string) *Route {
		return Build("T", []QueueData{{"a", queues, queues, 6}}, []BrokerData{{"c1", "a", map[int64]string{0: addr}}})
	}
	for i, step := range []struct {
		r       *Route
		changed bool
	}{{route(1, "x:1"), true}, {route(1, "x:1"), false}, {route(1, "y:1"), false}, {route(2, "y:1"), true}} {
		if got := c.Put(step.r); got != step.changed {
			t.Errorf("step %d: changed %v", i, got)
		}
	}
	if addr, _ := c.Master("a"); addr != "y:1" {
		t.Errorf("master at %q", addr)
	}
	c.PutBrokers([]BrokerData{{"c1", "a", map[int64]string{0: "z:1"}}})
	c.Drop("T")
	if addr, _ := c.Master("a"); addr != "z:1" || c.Get("T") != nil || len(c.Topics()) != 0 || len(c.Brokers()) != 1 {
		t.Errorf("after drop: %q, %v, %v", addr, c.Topics(), c.Brokers())
	}
}
