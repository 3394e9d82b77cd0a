package bus

import (
	"log/slog"
	"testing"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// TestMemoryOfAPullIsUsedAgainWhenAllIsDone hands out three messages of one pull and takes
// them back in another order: the pull's memory goes back with the last of them, once, and a
// slice that comes later has nothing of one before it.
func TestMemoryOfAPullIsUsedAgainWhenAllIsDone(t *testing.T) {
	id := pipeline.QueueID{Broker: "b", Topic: "t"}
	q := message.Queue{Topic: "t", BrokerName: "b"}
	tw := newTwin()
	put(t, tw, q, rowSlice(0, 10, 12, 14))
	put(t, tw, q, rowSlice(14, 16))
	put(t, tw, q, rowSlice(16, 18))
	put(t, tw, q, beginSlice(18, 20))
	sub := NewSubscription(SubscriptionConfig{Table: subTable, Queues: []pipeline.QueueID{id}}, tw, slog.New(slog.DiscardHandler))
	reading := sub.queues[id]
	got, err := tw.Pull(t.Context(), q, 0, client.PullOptions{MaxMsgs: 3})
	if err != nil || len(got.Messages) != 3 {
		t.Fatalf("%d messages, %v", len(got.Messages), err)
	}
	released := 0
	p := &pulled{release: func() { released++ }}
	p.hold()
	var out []Delivery
	for i := range got.Messages {
		handed := make(chan error, 1)
		go func() { _, err := sub.take(t.Context(), reading, p, &got.Messages[i]); handed <- err }()
		d, err := sub.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := <-handed; err != nil {
			t.Fatal(err)
		}
		out = append(out, d)
	}
	p.drop() // the loop is through
	for i, at := range []int{1, 2, 0} {
		if released != 0 {
			t.Fatalf("released with %d deliveries under way", 3-i)
		}
		sub.Done(out[at])
	}
	if released != 1 {
		t.Fatalf("released %d times", released)
	}
	again := sub.slices.get()
	if len(again.Rows)+len(again.Txs) != 0 || again.Mark != nil || again.Kind != 0 {
		t.Errorf("a slice that was taken back is %+v", again)
	}
	for _, r := range again.Rows[:cap(again.Rows)] {
		if r.After != nil || r.Before != nil {
			t.Errorf("it holds on to a row's image: %+v", r)
		}
	}
	var big slicePool
	big.put(&event.Slice{Rows: make([]event.Row, keepRows+1)})
	if s := big.get(); cap(s.Rows) != 0 {
		t.Errorf("room of %d rows is kept", cap(s.Rows))
	}
}
