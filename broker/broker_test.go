package broker

import (
	"net"
	"strings"
	"testing"

	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/namesrv"
	"github.com/millrace/millrace/remoting"
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

// TestANameServerThatForgotIsToldAtOnce replaces the name server by another process: it
// knows nothing, and the broker's next word is due in half a minute.
func TestANameServerThatForgotIsToldAtOnce(t *testing.T) {
	r := newRig(t, nil)
	r.createTopic("orders", 1, "")
	addr := r.names.Addr()
	r.stopNames()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	cfg := namesrv.DefaultConfig()
	names, err := namesrv.New(cfg, namesrv.Deps{Listener: ln}, testLog())
	if err != nil {
		t.Fatal(err)
	}
	r.stopNames = once(run(t, names.Run))
	ask := r.pushClient()
	waitFor(t, "the route", func() bool {
		req := remoting.NewRequest(protocol.GetRouteInfoByTopic)
		(&protocol.GetRouteInfoHeader{Topic: "orders"}).Encode(req)
		ans, err := ask.Invoke(t.Context(), addr, req)
		return err == nil && ans.Code == protocol.Success
	})
}
