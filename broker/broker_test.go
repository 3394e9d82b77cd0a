package broker

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting/protocol"
)

func TestAMessageGoesThrough(t *testing.T) {
	r := newRig(t, nil)
	for i, text := range []string{"one", "two", "three"} {
		h := r.send("orders", 1, text, map[string]string{message.PropertyTags: "red", message.PropertyUniqueKey: "U" + text})
		if h.QueueID != 1 || h.QueueOffset != int64(i) || h.TransactionID != "U"+text || h.MsgRegion != "DefaultRegion" || len(h.MsgID) != 32 {
			t.Fatalf("answer %+v", h)
		}
	}
	waitFor(t, "the messages", func() bool { return r.pull(pullHeader("orders", 1, 0)).bodies == "one two three" })
	p := r.pull(pullHeader("orders", 1, 0))
	if p.header.NextBeginOffset != 3 || p.header.MinOffset != 0 || p.header.MaxOffset != 3 || p.recs[2].QueueOffset != 2 {
		t.Fatalf("answer %+v", p.header)
	}

	r.restart()
	if p := r.pull(pullHeader("orders", 1, 1)); p.bodies != "two three" {
		t.Fatalf("after a restart %q", p.bodies)
	}
	if h := r.send("orders", 1, "four", nil); h.QueueOffset != 3 || len(h.TransactionID) != 32 {
		t.Fatalf("after a restart %+v", h)
	}
}

func TestANewTopicHasARouteAtOnce(t *testing.T) {
	r := newRig(t, nil)
	r.send("fresh", 0, "x", nil)
	waitFor(t, "the route", func() bool {
		ans := r.ask(r.names.Addr(), protocol.GetRouteInfoByTopic, &protocol.GetRouteInfoHeader{Topic: "fresh"}, nil)
		return ans.Code == protocol.Success && strings.Contains(string(ans.Body), `"brokerAddrs":{"0":"`+r.broker.Addr()+`"}`)
	})
	r.stop()
	ans := r.ask(r.names.Addr(), protocol.GetRouteInfoByTopic, &protocol.GetRouteInfoHeader{Topic: "fresh"}, nil)
	if ans.Code != protocol.TopicNotExist {
		t.Fatalf("the route of a stopped broker: %v", ans)
	}
}
