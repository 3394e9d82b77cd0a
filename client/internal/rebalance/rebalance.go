package rebalance

import (
	"cmp"
	"slices"

	"github.com/millrace/millrace/message"
)

// Strategy returns the queues of member self. members and queues are sorted, as Sort
// does it; a self that is not among the members gets nothing.
type Strategy func(self string, members []string, queues []message.Queue) []message.Queue

// Sort puts members and queues into the order that every client computes with.
func Sort(members []string, queues []message.Queue) {
	slices.Sort(members)
	slices.SortFunc(queues, CompareQueues)
}

// CompareQueues orders as Java's MessageQueue does: topic, broker, number.
func CompareQueues(a, b message.Queue) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.BrokerName, b.BrokerName), cmp.Compare(a.QueueID, b.QueueID))
}

// Averagely is Java's AllocateMessageQueueAveragely, the default: consecutive runs, the
// first members get one more.
func Averagely(self string, members []string, queues []message.Queue) []message.Queue {
	i := slices.Index(members, self)
	if i < 0 || len(queues) == 0 {
		return nil
	}
	n, extra := len(queues)/len(members), len(queues)%len(members)
	if i >= len(queues) {
		return nil
	}
	start := i*n + min(i, extra)
	if i < extra {
		n++
	}
	return slices.Clone(queues[start:min(start+n, len(queues))])
}

// Circle is Java's AllocateMessageQueueAveragelyByCircle: dealt out one by one.
func Circle(self string, members []string, queues []message.Queue) []message.Queue {
	i := slices.Index(members, self)
	if i < 0 {
		return nil
	}
	var mine []message.Queue
	for ; i < len(queues); i += len(members) {
		mine = append(mine, queues[i])
	}
	return mine
}

// Diff tells what to start and what to stop to get from have to want; both keep the
// order of their argument.
func Diff(have, want []message.Queue) (start, stop []message.Queue) {
	return without(want, have), without(have, want)
}

func without(a, b []message.Queue) []message.Queue {
	drop := make(map[message.Queue]struct{}, len(b))
	for _, q := range b {
		drop[q] = struct{}{}
	}
	var rest []message.Queue
	for _, q := range a {
		if _, ok := drop[q]; !ok {
			rest = append(rest, q)
		}
	}
	return rest
}
