package broker

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
	"github.com/millrace/millrace/remoting/rpc"
)

// pullLater starts a pull that may be parked.
func (r *rig) pullLater(h *protocol.PullHeader, wait time.Duration) <-chan pulled {
	r.t.Helper()
	h.SysFlag |= protocol.PullFlagSuspend
	h.SuspendTimeoutMillis = wait.Milliseconds()
	req := remoting.NewRequest(protocol.PullMessage)
	h.Encode(req)
	out := make(chan pulled, 1)
	r.client.InvokeAsync(r.broker.Addr(), req, time.Minute, func(ans *remoting.Command, err error) {
		if err != nil {
			out <- pulled{code: -1, remark: err.Error()}
			return
		}
		out <- parsePull(r.t, ans)
	})
	return out
}

func (r *rig) parked(n int) {
	r.t.Helper()
	waitFor(r.t, fmt.Sprint(n, " parked pulls"), func() bool { return r.broker.holds.Len() == n })
}

func receive(t *testing.T, c <-chan pulled) pulled {
	t.Helper()
	select {
	case p := <-c:
		return p
	case <-time.After(25 * time.Second):
		t.Fatal("no answer to a parked pull")
		return pulled{}
	}
}

func TestAParkedPullHearsOfAMessageAtOnce(t *testing.T) {
	r := newRig(t, nil)
	r.createTopic("orders", 2, "")
	red := pullHeader("orders", 0, 0)
	red.Subscription = "red"
	all := r.pullLater(pullHeader("orders", 0, 0), time.Minute)
	tagged := r.pullLater(red, time.Minute)
	other := r.pullLater(pullHeader("orders", 1, 0), time.Minute)
	r.parked(3)

	r.send("orders", 0, "first", map[string]string{message.PropertyTags: "blue"})
	if p := receive(t, all); p.code != protocol.Success || p.bodies != "first" {
		t.Fatalf("%+v", p)
	}
	r.parked(2)
	r.send("orders", 0, "second", map[string]string{message.PropertyTags: "red"})
	if p := receive(t, tagged); p.bodies != "second" || p.header.NextBeginOffset != 2 {
		t.Fatalf("%+v", p)
	}
	r.stop() // what is parked then is answered, not cut off
	if p := receive(t, other); p.code != protocol.PullNotFound || p.header.NextBeginOffset != 0 {
		t.Fatalf("%+v", p)
	}
}

func TestAParkedPullGivesUpInTime(t *testing.T) {
	r := newRig(t, nil)
	r.createTopic("orders", 1, "")
	if p := receive(t, r.pullLater(pullHeader("orders", 0, 0), 20*time.Millisecond)); p.code != protocol.PullNotFound {
		t.Fatalf("%+v", p)
	}
	if p := r.pull(pullHeader("orders", 0, 0)); p.code != protocol.PullNotFound {
		t.Fatalf("a pull that may not wait: %+v", p)
	}
}

func TestParkedPullsLeaveWithTheirConnection(t *testing.T) {
	r := newRig(t, nil)
	r.createTopic("orders", 1, "")
	gone := rpc.NewClient(rpc.ClientConfig{}, testLog())
	req := remoting.NewRequest(protocol.PullMessage)
	h := pullHeader("orders", 0, 0)
	h.SysFlag |= protocol.PullFlagSuspend
	h.SuspendTimeoutMillis = 60_000
	h.Encode(req)
	gone.InvokeAsync(r.broker.Addr(), req, time.Minute, func(*remoting.Command, error) {})
	r.parked(1)
	gone.Close()
	r.parked(0)
}

func TestPollingRoomIsBounded(t *testing.T) {
	r := newRig(t, func(c *Config) { c.PollingMapSize = 1 })
	r.createTopic("orders", 1, "")
	r.pullLater(pullHeader("orders", 0, 0), time.Minute)
	r.parked(1)
	if p := receive(t, r.pullLater(pullHeader("orders", 0, 0), time.Minute)); p.code != protocol.PullNotFound {
		t.Fatalf("a pull for which there is no room: %+v", p)
	}
}

func TestOffsetsOutsideOfTheQueueAreRefusedAndCounted(t *testing.T) {
	r := newRig(t, nil)
	r.createTopic("orders", 2, "")
	r.send("orders", 0, "zero", nil)
	waitFor(t, "the message", func() bool { return r.pull(pullHeader("orders", 0, 0)).bodies == "zero" })
	for _, c := range []struct {
		queue  int32
		offset int64
		code   int
	}{{0, 1, protocol.PullNotFound}, {0, 2, protocol.PullOffsetMoved}, {0, 1 << 40, protocol.PullOffsetMoved},
		{1, 0, protocol.PullNotFound}, {1, 5, protocol.PullOffsetMoved}} {
		h := pullHeader("orders", c.queue, c.offset)
		h.SysFlag |= protocol.PullFlagSuspend // to no avail
		h.SuspendTimeoutMillis = 0
		if c.code == protocol.PullOffsetMoved {
			h.SuspendTimeoutMillis = 60_000
		}
		p := r.pull(h)
		if p.code != c.code || p.header.MinOffset != 0 || p.header.MaxOffset != 1-int64(c.queue) {
			t.Errorf("queue %d offset %d: %+v", c.queue, c.offset, p)
		}
	}
	if n := r.metric("millrace_pull_out_of_range_total", map[string]string{"topic": "orders", "side": "above_end"}); n != 3 {
		t.Errorf("%v are counted", n)
	}
}

func TestPullsThatAreRefused(t *testing.T) {
	r := newRig(t, nil)
	r.createTopic("orders", 2, "")
	r.ok(protocol.UpdateAndCreateTopic, &protocol.CreateTopicHeader{
		Topic: "writeonly", DefaultTopic: "TBW102", ReadQueueNums: 1, WriteQueueNums: 1, Perm: 2, TopicFilterType: "SINGLE_TAG"}, nil)
	r.ok(protocol.UpdateAndCreateSubscriptionGroup, nil, []byte(`{"groupName":"closed","consumeEnable":false}`))
	for name, c := range map[string]struct {
		change func(*protocol.PullHeader)
		want   int
	}{
		"unknown topic":  {func(h *protocol.PullHeader) { h.Topic = "nowhere" }, protocol.TopicNotExist},
		"path":           {func(h *protocol.PullHeader) { h.Topic = "../etc" }, protocol.TopicNotExist},
		"write only":     {func(h *protocol.PullHeader) { h.Topic = "writeonly" }, protocol.NoPermission},
		"queue":          {func(h *protocol.PullHeader) { h.QueueID = 2 }, protocol.InvalidParameter},
		"negative queue": {func(h *protocol.PullHeader) { h.QueueID = -1 }, protocol.InvalidParameter},
		"negative":       {func(h *protocol.PullHeader) { h.QueueOffset = -1 }, protocol.InvalidParameter},
		"group's name":   {func(h *protocol.PullHeader) { h.ConsumerGroup = "../g" }, protocol.InvalidParameter},
		"closed group":   {func(h *protocol.PullHeader) { h.ConsumerGroup = "closed" }, protocol.NoPermission},
		"nobody alive":   {func(h *protocol.PullHeader) { h.SysFlag = 0 }, protocol.SubscriptionNotExist},
		"SQL":            {func(h *protocol.PullHeader) { h.ExpressionType = "SQL92" }, protocol.SystemError},
	} {
		h := pullHeader("orders", 0, 0)
		c.change(h)
		if p := r.pull(h); p.code != c.want {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if ans := r.call(protocol.PullMessage, nil, nil); ans.Code != protocol.SystemError {
		t.Errorf("no header: %v", protocol.AsError(ans))
	}
}

// TestTheHeartbeatsSubscriptionFilters is how Go clients pull: without a subscription of
// their own, and with version 0.
func TestTheHeartbeatsSubscriptionFilters(t *testing.T) {
	r := newRig(t, nil)
	r.createTopic("orders", 1, "")
	for _, tag := range []string{"red", "blue", "red"} {
		r.send("orders", 0, tag, map[string]string{message.PropertyTags: tag})
	}
	r.beat("c1", "g", "orders", "red", 7)
	h := pullHeader("orders", 0, 0)
	h.SysFlag, h.Subscription = protocol.PullFlagSuspend, ""
	waitFor(t, "the tagged ones", func() bool { return r.pull(h).bodies == "red red" })
	h.SubVersion = 8
	if p := r.pull(h); p.code != protocol.SubscriptionNotLatest {
		t.Fatalf("a newer subscription: %+v", p)
	}
	h.SubVersion, h.Topic = 7, "broker-a"
	if p := r.pull(h); p.code != protocol.SubscriptionNotExist {
		t.Fatalf("another topic: %+v", p)
	}
	only := pullHeader("orders", 0, 1)
	only.Subscription, only.MaxMsgNums = "green", 10
	if p := r.pull(only); p.code != protocol.PullRetryImmediately || p.header.NextBeginOffset != 3 {
		t.Fatalf("nothing of the kind: %+v", p)
	}
}

func TestPullsAreBoundedInMessagesAndBytes(t *testing.T) {
	r := newRig(t, nil)
	r.createTopic("orders", 1, "")
	for range 20 {
		r.send("orders", 0, string(make([]byte, 1000)), nil)
	}
	waitFor(t, "all", func() bool { return len(r.pull(pullHeader("orders", 0, 0)).recs) == 20 })
	h := pullHeader("orders", 0, 0)
	h.MaxMsgNums = 3
	if p := r.pull(h); len(p.recs) != 3 || p.header.NextBeginOffset != 3 {
		t.Fatalf("%d messages, %+v", len(p.recs), p.header)
	}
	h.MaxMsgNums, h.MaxMsgBytes = 20, 2500
	if p := r.pull(h); len(p.recs) != 2 {
		t.Fatalf("%d messages in 2500 bytes", len(p.recs))
	}
	h.MaxMsgBytes = 1
	if p := r.pull(h); len(p.recs) != 1 {
		t.Fatalf("%d messages in 1 byte", len(p.recs))
	}
}

// TestWhoSendsCanReadOn pulls behind each message as soon as it is acknowledged: that is
// never outside of the queue.
func TestWhoSendsCanReadOn(t *testing.T) {
	for _, flush := range []string{"SYNC_FLUSH", "ASYNC_FLUSH"} {
		t.Run(flush, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.FlushDiskType = flush })
			for range 200 {
				h := r.send("orders", 0, "x", nil)
				if p := r.pull(pullHeader("orders", 0, h.QueueOffset+1)); p.code != protocol.PullNotFound {
					t.Fatalf("behind %d: %+v", h.QueueOffset, p)
				}
			}
		})
	}
}

// metric is the sum of the samples with these labels.
func (r *rig) metric(name string, labels map[string]string) (sum float64) {
	r.t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	samples:
		for _, m := range f.GetMetric() {
			have := prometheus.Labels{}
			for _, l := range m.GetLabel() {
				have[l.GetName()] = l.GetValue()
			}
			for k, v := range labels {
				if have[k] != v {
					continue samples
				}
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum
}

func (r *rig) beat(client, group, topic, tags string, version int64) {
	r.t.Helper()
	r.beatOver(r.client, client, group, topic, tags, version)
}

func (r *rig) beatOver(c *rpc.Client, client, group, topic, tags string, version int64) {
	r.t.Helper()
	req := remoting.NewRequest(protocol.HeartBeat)
	req.Body = body(r.t, &protocol.HeartbeatData{ClientID: client, ConsumerDataSet: []protocol.ConsumerData{{
		GroupName: group, ConsumeType: protocol.ConsumePassively, MessageModel: protocol.ModelClustering,
		ConsumeFromWhere: protocol.FromLastOffset, SubscriptionDataSet: []protocol.SubscriptionData{{
			Topic: topic, SubString: tags, SubVersion: version, ExpressionType: protocol.ExpressionTag}},
	}}})
	ans, err := c.Invoke(context.Background(), r.broker.Addr(), req)
	if err != nil || ans.Code != protocol.Success {
		r.t.Fatal(ans, err)
	}
	if ans.Version < remoting.V4_1_0 {
		r.t.Fatalf("the answer to a heartbeat says version %d: Java clients then refuse SQL", ans.Version)
	}
}
