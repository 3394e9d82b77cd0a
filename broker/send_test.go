package broker

import (
	"context"
	"strings"
	"testing"

	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

func TestABatchIsStoredAsSingleMessages(t *testing.T) {
	r := newRig(t, nil)
	r.send("orders", 0, "zero", nil)
	var batch []byte
	for _, text := range []string{"one", "two", "three"} {
		var err error
		if batch, err = message.AppendBatchItem(batch, message.BatchItem{Body: []byte(text), Properties: message.AppendProperty(nil, "k", text)}); err != nil {
			t.Fatal(err)
		}
	}
	var h protocol.SendResponseHeader
	if err := h.Decode(r.ok(protocol.SendBatchMessage, sendHeader("orders", 0, nil), batch)); err != nil {
		t.Fatal(err)
	}
	if h.QueueOffset != 1 || len(strings.Split(h.MsgID, ",")) != 3 {
		t.Fatalf("answer %+v", h)
	}
	var p pulled
	waitFor(t, "the batch", func() bool { p = r.pull(pullHeader("orders", 0, 1)); return p.bodies == "one two three" })
	if k, _ := p.recs[2].Property("k"); k != "three" || p.recs[2].QueueOffset != 3 {
		t.Fatalf("the last of the batch: %+v", p.recs[2])
	}
	if ans := r.call(protocol.SendBatchMessage, sendHeader("orders", 0, nil), batch[:len(batch)-1]); ans.Code != protocol.MessageIllegal {
		t.Fatalf("a torn batch: %v", protocol.AsError(ans))
	}
}

func TestSendsThatAreRefused(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxMessageSize = 1000 })
	r.createTopic("orders", 2, "")
	r.createTopic("owned", 2, "+millrace.writer=shop")
	r.ok(protocol.UpdateAndCreateTopic, &protocol.CreateTopicHeader{
		Topic: "readonly", DefaultTopic: "TBW102", ReadQueueNums: 1, WriteQueueNums: 1, Perm: 4, TopicFilterType: "SINGLE_TAG"}, nil)
	with := func(topic string, queue int32, props map[string]string, change func(*protocol.SendHeader)) *protocol.SendHeader {
		h := sendHeader(topic, queue, props)
		if change != nil {
			change(h)
		}
		return h
	}
	batch, err := message.AppendBatchItem(nil, message.BatchItem{Body: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		header *protocol.SendHeader
		code   int
		body   string
		want   int
		remark string
	}{
		"path":            {with("../etc/passwd", 0, nil, nil), protocol.SendMessage, "x", protocol.InvalidParameter, "topic"},
		"empty topic":     {with("", 0, nil, nil), protocol.SendMessage, "x", protocol.InvalidParameter, "empty"},
		"unknown":         {with("nowhere", 0, nil, func(h *protocol.SendHeader) { h.DefaultTopic = "none" }), protocol.SendMessage, "x", protocol.TopicNotExist, "create it first"},
		"system":          {with("RMQ_SYS_TRANS_HALF_TOPIC", 0, nil, nil), protocol.SendMessage, "x", protocol.SystemError, "forbidden"},
		"read only":       {with("readonly", 0, nil, nil), protocol.SendMessage, "x", protocol.NoPermission, "perm is 4"},
		"queue":           {with("orders", 2, nil, nil), protocol.SendMessage, "x", protocol.InvalidParameter, "request queueId[2] is illegal"},
		"large":           {with("orders", 0, nil, nil), protocol.SendMessage, strings.Repeat("x", 1001), protocol.MessageIllegal, "limit is 1000"},
		"large batch":     {with("orders", 0, nil, nil), protocol.SendBatchMessage, strings.Repeat("x", 1001), protocol.SystemError, "message body size exceeded"},
		"properties":      {with("orders", 0, map[string]string{"k": strings.Repeat("v", 33000)}, nil), protocol.SendMessage, "x", protocol.MessageIllegal, "properties"},
		"delay":           {with("orders", 0, map[string]string{"DELAY": "3"}, nil), protocol.SendMessage, "x", protocol.MessageIllegal, "not supported yet"},
		"timer":           {with("orders", 0, map[string]string{"TIMER_DELIVER_MS": "1"}, nil), protocol.SendMessage, "x", protocol.MessageIllegal, "not supported yet"},
		"unlinked, owned": {with("owned", 0, nil, nil), protocol.SendMessage, "x", protocol.MessageIllegal, "belongs to writer shop"},
		"batch, owned":    {with("owned", 0, nil, nil), protocol.SendBatchMessage, string(batch), protocol.MessageIllegal, "owned by writer shop"},
		"delayed, owned":  {with("owned", 0, map[string]string{"DELAY": "3"}, nil), protocol.SendMessage, "x", protocol.MessageIllegal, "not supported yet"},
		"half in a batch": {with("orders", 0, nil, func(h *protocol.SendHeader) { h.SysFlag = message.TransactionPrepared }), protocol.SendBatchMessage, string(batch), protocol.MessageIllegal, "transaction"},
	} {
		ans := r.call(c.code, c.header, []byte(c.body))
		if ans.Code != c.want || !strings.Contains(ans.Remark, c.remark) {
			t.Errorf("%s: %v", name, protocol.AsError(ans))
		}
		if region, _ := ans.Ext.Get("MSG_REGION"); region != "DefaultRegion" {
			t.Errorf("%s: Java clients need the region in every answer to a send", name)
		}
	}
	if ans := r.call(protocol.SendMessageV2, nil, []byte("x")); ans.Code != protocol.SystemError ||
		!strings.Contains(ans.Remark, "field a is missing") {
		t.Errorf("no header: %v", protocol.AsError(ans))
	}
	for _, q := range []int32{0, 1} {
		if _, end, _ := r.broker.store.QueueRange("orders", q); end != 0 {
			t.Errorf("queue %d holds %d messages that were refused", q, end)
		}
	}
}

func TestWhatIsRefusedCostsNothing(t *testing.T) {
	r := newRig(t, nil)
	r.send("orders", 0, "before", nil)
	r.call(protocol.SendMessage, sendHeader("orders", 99, nil), []byte("x"))
	if h := r.send("orders", 0, "after", nil); h.QueueOffset != 1 {
		t.Fatalf("the next message got offset %d", h.QueueOffset)
	}
}

func TestTheBrokerChoosesAQueueWhenTheClientDoesNot(t *testing.T) {
	r := newRig(t, nil)
	seen := map[int32]bool{}
	waitFor(t, "all four queues", func() bool {
		h := r.send("orders", -1, "x", nil)
		seen[h.QueueID] = true
		return len(seen) == 4
	})
}

func TestOnewaySendsAreStoredWithoutAnAnswer(t *testing.T) {
	r := newRig(t, nil)
	r.createTopic("orders", 1, "")
	req := remoting.NewRequest(protocol.SendMessageV2)
	sendHeader("orders", 0, nil).Encode(req)
	req.Body = []byte("quiet")
	if err := r.client.Oneway(context.Background(), r.broker.Addr(), req); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the message", func() bool { return r.pull(pullHeader("orders", 0, 0)).bodies == "quiet" })
}
