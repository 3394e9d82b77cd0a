package rebalance

import (
	"fmt"
	"slices"
	"testing"

	"github.com/millrace/millrace/message"
)

func queues(n int) []message.Queue {
	qs := make([]message.Queue, n)
	for i := range qs {
		qs[i] = message.Queue{Topic: "T", BrokerName: "a", QueueID: int32(i)}
	}
	return qs
}

func ids(qs []message.Queue) []int {
	out := make([]int, len(qs))
	for i, q := range qs {
		out[i] = int(q.QueueID)
	}
	return out
}

// The expected values are those of AllocateMessageQueueAveragely and
// AllocateMessageQueueAveragelyByCircle of RocketMQ's Java client.
func TestStrategiesEqualJava(t *testing.T) {
	for _, tc := range []struct {
		name     string
		strategy Strategy
		queues   int
		members  int
		want     [][]int
	}{
		{"average, even", Averagely, 4, 2, [][]int{{0, 1}, {2, 3}}},
		{"average, rest", Averagely, 8, 3, [][]int{{0, 1, 2}, {3, 4, 5}, {6, 7}}},
		{"average, rest of one", Averagely, 7, 3, [][]int{{0, 1, 2}, {3, 4}, {5, 6}}},
		{"average, more members", Averagely, 2, 3, [][]int{{0}, {1}, {}}},
		{"average, alone", Averagely, 3, 1, [][]int{{0, 1, 2}}},
		{"average, no queue", Averagely, 0, 2, [][]int{{}, {}}},
		{"circle, rest", Circle, 8, 3, [][]int{{0, 3, 6}, {1, 4, 7}, {2, 5}}},
		{"circle, more members", Circle, 2, 3, [][]int{{0}, {1}, {}}},
	} {
		members := []string{"m0", "m1", "m2"}[:tc.members]
		for i, m := range members {
			if got := ids(tc.strategy(m, members, queues(tc.queues))); !slices.Equal(got, tc.want[i]) {
				t.Errorf("%s: %s gets %v, want %v", tc.name, m, got, tc.want[i])
			}
		}
	}
}

func TestEveryQueueHasOneOwner(t *testing.T) {
	for name, strategy := range map[string]Strategy{"averagely": Averagely, "circle": Circle} {
		for m := 1; m <= 9; m++ {
			members := make([]string, m)
			for i := range members {
				members[i] = fmt.Sprint("m", i)
			}
			for n := range 30 {
				var all []message.Queue
				for _, self := range members {
					mine := strategy(self, members, queues(n))
					if len(mine) > n/m+1 || len(mine) < n/m {
						t.Errorf("%s: %d of %d queues for one of %d members", name, len(mine), n, m)
					}
					all = append(all, mine...)
				}
				slices.SortFunc(all, CompareQueues)
				if !slices.Equal(all, queues(n)) {
					t.Fatalf("%s, %d members, %d queues: %v", name, m, n, ids(all))
				}
			}
		}
	}
}

func TestStrangersGetNothing(t *testing.T) {
	for _, strategy := range []Strategy{Averagely, Circle} {
		if got := strategy("stranger", []string{"m0"}, queues(4)); got != nil {
			t.Errorf("a stranger gets %v", got)
		}
	}
}

func TestSortIsJavas(t *testing.T) {
	qs := []message.Queue{{Topic: "T", BrokerName: "b", QueueID: 0}, {Topic: "T", BrokerName: "a", QueueID: 10},
		{Topic: "T", BrokerName: "a", QueueID: 9}}
	members := []string{"10.0.0.2@1", "10.0.0.10@1"}
	Sort(members, qs)
	if qs[0].QueueID != 9 || qs[1].QueueID != 10 || qs[2].BrokerName != "b" || members[0] != "10.0.0.10@1" {
		t.Fatalf("%v %v", members, qs)
	}
}

func TestDiff(t *testing.T) {
	q := queues(4)
	start, stop := Diff(q[:2], q[1:3])
	if !slices.Equal(ids(start), []int{2}) || !slices.Equal(ids(stop), []int{0}) {
		t.Fatalf("start %v, stop %v", ids(start), ids(stop))
	}
}
