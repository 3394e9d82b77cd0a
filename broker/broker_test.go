package broker

import (
	"fmt"
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

// TestANewTopicHasARouteAtOnce: who has the answer to a creation, a change or a deletion may
// ask the name server without waiting.
func TestANewTopicHasARouteAtOnce(t *testing.T) {
	r := newRig(t, nil)
	route := func(topic string) *remoting.Command {
		return r.ask(r.names.Addr(), protocol.GetRouteInfoByTopic, &protocol.GetRouteInfoHeader{Topic: topic}, nil)
	}
	here := `"brokerAddrs":{"0":"` + r.broker.Addr() + `"}`
	for n := range 40 {
		made, sent := fmt.Sprint("made-", n), fmt.Sprint("sent-", n)
		r.createTopic(made, 3, "")
		if ans := route(made); ans.Code != protocol.Success || !strings.Contains(string(ans.Body), here) ||
			!strings.Contains(string(ans.Body), `"writeQueueNums":3`) {
			t.Fatalf("%s: %d %s %s", made, ans.Code, ans.Remark, ans.Body)
		}
		r.createTopic(made, 5, "")
		if ans := route(made); !strings.Contains(string(ans.Body), `"writeQueueNums":5`) {
			t.Fatalf("%s after its change: %s", made, ans.Body)
		}
		r.send(sent, 0, "x", nil)
		if ans := route(sent); ans.Code != protocol.Success || !strings.Contains(string(ans.Body), here) {
			t.Fatalf("%s: %d %s", sent, ans.Code, ans.Remark)
		}
		r.ok(protocol.DeleteTopicInBroker, &protocol.DeleteTopicHeader{Topic: made}, nil)
		if ans := route(made); ans.Code != protocol.TopicNotExist {
			t.Fatalf("%s after its end: %d %s", made, ans.Code, ans.Body)
		}
	}
	r.stop()
	if ans := route("sent-0"); ans.Code != protocol.TopicNotExist {
		t.Fatalf("the route of a stopped broker: %v", ans)
	}
}

// TestANameServerThatIsAwayHoldsNoCreation has one that answers, one that takes connections
// and says nothing, and one whose port is closed. The topic is made, the first knows it, and
// the answer names the others.
func TestANameServerThatIsAwayHoldsNoCreation(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	r := newRig(t, func(c *Config) {
		c.NamesrvAddr += ";" + silent.Addr().String() + ";" + closed.Addr().String()
	})
	for _, topic := range []string{"first", "second"} {
		ans := r.ok(protocol.UpdateAndCreateTopic, &protocol.CreateTopicHeader{Topic: topic, ReadQueueNums: 1, WriteQueueNums: 1, Perm: 6, TopicFilterType: protocol.FilterSingleTag}, nil)
		for _, addr := range []net.Addr{silent.Addr(), closed.Addr()} {
			if !strings.Contains(ans.Remark, addr.String()) {
				t.Errorf("%s: the answer does not name %s: %q", topic, addr, ans.Remark)
			}
		}
		if strings.Contains(ans.Remark, r.names.Addr()) {
			t.Errorf("%s: the answer blames the name server that answers: %q", topic, ans.Remark)
		}
		if ans := r.ask(r.names.Addr(), protocol.GetRouteInfoByTopic, &protocol.GetRouteInfoHeader{Topic: topic}, nil); ans.Code != protocol.Success {
			t.Errorf("%s has no route where the name server answers: %v", topic, ans)
		}
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
