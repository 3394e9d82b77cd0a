package broker

import (
	"strconv"
	"testing"

	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting/protocol"
)

func (r *rig) offset(code int, h encoder) (int64, int) {
	r.t.Helper()
	ans := r.call(code, h, nil)
	text, _ := ans.Ext.Get("offset")
	if code == protocol.GetEarliestMsgStoreTime {
		text, _ = ans.Ext.Get("timestamp")
	}
	n, _ := strconv.ParseInt(text, 10, 64)
	return n, ans.Code
}

func (r *rig) commit(topic string, queue int32, offset int64) int {
	r.t.Helper()
	return r.call(protocol.UpdateConsumerOffset, &protocol.UpdateConsumerOffsetHeader{ConsumerGroup: "g", Topic: topic, QueueID: queue, CommitOffset: offset}, nil).Code
}

func (r *rig) committed(topic string, queue int32) (int64, int) {
	r.t.Helper()
	return r.offset(protocol.QueryConsumerOffset, &protocol.QueryConsumerOffsetHeader{ConsumerGroup: "g", Topic: topic, QueueID: queue})
}

func TestConsumerOffsets(t *testing.T) {
	r := newRig(t, nil)
	r.createTopic("orders", 2, "")
	for range 5 {
		r.send("orders", 0, "x", nil)
	}
	if n, code := r.committed("orders", 0); n != 0 || code != protocol.Success {
		t.Fatalf("a new group on a small topic: %d, code %d", n, code)
	}
	if code := r.commit("orders", 0, 3); code != protocol.Success {
		t.Fatal(code)
	}
	h := pullHeader("orders", 0, 4)
	h.ConsumerGroup, h.CommitOffset = "g", 4
	h.SysFlag |= protocol.PullFlagCommitOffset
	r.pull(h)
	if n, _ := r.committed("orders", 0); n != 4 {
		t.Fatalf("the offset that came with a pull: %d", n)
	}
	for name, code := range map[string]int{
		"unknown topic": r.commit("nowhere", 0, 1), "unknown queue": r.commit("orders", 2, 1), "negative": r.commit("orders", 0, -1),
	} {
		if code == protocol.Success {
			t.Errorf("%s passes", name)
		}
	}
	r.restart()
	if n, _ := r.committed("orders", 0); n != 4 {
		t.Fatalf("after a restart %d", n)
	}
	r.ok(protocol.DeleteTopicInBroker, &protocol.DeleteTopicHeader{Topic: "orders"}, nil)
	r.createTopic("orders", 2, "")
	if n, _ := r.committed("orders", 0); n != 0 {
		t.Fatalf("a new topic of an old name begins at %d", n)
	}
}

// TestAnOffsetBeyondTheLogIsShown is what tools see of a broker that lost its tail, or of
// a group that was reset to nowhere.
func TestAnOffsetBeyondTheLogIsShown(t *testing.T) {
	r := newRig(t, nil)
	r.createTopic("orders", 2, "")
	for range 5 {
		r.send("orders", 0, "x", nil)
	}
	r.commit("orders", 0, 1000)
	r.commit("orders", 1, 0)
	waitFor(t, "the messages", func() bool { _, end, _ := r.broker.store.QueueRange("orders", 0); return end == 5 })
	var stats protocol.ConsumeStats
	ans := r.ok(protocol.GetConsumeStats, &protocol.GetConsumeStatsHeader{ConsumerGroup: "g"}, nil)
	if err := protocol.DecodeBody(ans.Body, &stats); err != nil {
		t.Fatal(err)
	}
	q := message.Queue{Topic: "orders", BrokerName: "broker-a"}
	if o := stats.OffsetTable[q]; o.BrokerOffset != 5 || o.ConsumerOffset != 1000 || len(stats.OffsetTable) != 2 {
		t.Fatalf("%+v", stats)
	}
	if n := r.metric("millrace_consumer_offsets_out_of_range", map[string]string{"consumer_group": "g", "side": "above_end"}); n != 1 {
		t.Fatalf("%v queues in the metric", n)
	}
	if n := r.metric("rocketmq_consumer_lag_messages", map[string]string{"consumer_group": "g"}); n != 0 {
		t.Fatalf("lag %v", n)
	}
	r.commit("orders", 0, 2)
	if n := r.metric("rocketmq_consumer_lag_messages", map[string]string{"consumer_group": "g"}); n != 3 {
		t.Fatalf("lag %v", n)
	}
}

func TestSearches(t *testing.T) {
	r := newRig(t, nil)
	r.createTopic("orders", 2, "")
	for range 3 {
		r.send("orders", 0, "x", nil)
	}
	var p pulled
	waitFor(t, "the messages", func() bool { p = r.pull(pullHeader("orders", 0, 0)); return len(p.recs) == 3 })
	first, last := p.recs[0].StoreTimestamp, p.recs[2].StoreTimestamp
	queue := &protocol.QueueHeader{Topic: "orders"}
	empty := &protocol.QueueHeader{Topic: "orders", QueueID: 1}
	search := func(at int64, boundary string) *protocol.SearchOffsetHeader {
		return &protocol.SearchOffsetHeader{Topic: "orders", Timestamp: at, BoundaryType: boundary}
	}
	for name, c := range map[string]struct {
		code int
		h    encoder
		want int64
	}{
		"max":           {protocol.GetMaxOffset, queue, 3},
		"min":           {protocol.GetMinOffset, queue, 0},
		"max, empty":    {protocol.GetMaxOffset, empty, 0},
		"oldest":        {protocol.GetEarliestMsgStoreTime, queue, first},
		"oldest, empty": {protocol.GetEarliestMsgStoreTime, empty, -1},
		"before all":    {protocol.SearchOffsetByTimestamp, search(first-1000, ""), 0},
		"after all":     {protocol.SearchOffsetByTimestamp, search(last+1000, "LOWER"), 3},
		"empty":         {protocol.SearchOffsetByTimestamp, &protocol.SearchOffsetHeader{Topic: "orders", QueueID: 1, Timestamp: last}, 0},
		"empty, upper":  {protocol.SearchOffsetByTimestamp, &protocol.SearchOffsetHeader{Topic: "orders", QueueID: 1, Timestamp: last, BoundaryType: "UPPER"}, 0},
		"upper":         {protocol.SearchOffsetByTimestamp, search(last+1000, "UPPER"), 2},
	} {
		if got, code := r.offset(c.code, c.h); got != c.want || code != protocol.Success {
			t.Errorf("%s: %d (code %d), want %d", name, got, code, c.want)
		}
	}
	for _, code := range []int{protocol.GetMaxOffset, protocol.GetMinOffset, protocol.GetEarliestMsgStoreTime} {
		if _, got := r.offset(code, &protocol.QueueHeader{Topic: "nowhere"}); got != protocol.TopicNotExist {
			t.Errorf("%d of an unknown topic: %d", code, got)
		}
		if _, got := r.offset(code, &protocol.QueueHeader{Topic: "orders", QueueID: 9}); got != protocol.InvalidParameter {
			t.Errorf("%d of an unknown queue: %d", code, got)
		}
	}
}

func TestViewByID(t *testing.T) {
	r := newRig(t, nil)
	h := r.send("orders", 0, "seen", nil)
	at, phys, err := message.ParseOffsetMsgID(h.MsgID)
	if err != nil || at.String() != r.broker.Addr() {
		t.Fatalf("id %s leads to %v: %v", h.MsgID, at, err)
	}
	ans := r.ok(protocol.ViewMessageByID, &protocol.ViewMessageHeader{Offset: phys}, nil)
	rec, _, err := message.ParseRecord(ans.Body)
	if err != nil || string(rec.Body) != "seen" || rec.Topic != "orders" {
		t.Fatalf("%+v, %v", rec, err)
	}
	for _, bad := range []int64{phys + 1, phys + 1<<40, -1} {
		if ans := r.call(protocol.ViewMessageByID, &protocol.ViewMessageHeader{Offset: bad}, nil); ans.Code != protocol.SystemError {
			t.Errorf("offset %d: code %d", bad, ans.Code)
		}
	}
}
