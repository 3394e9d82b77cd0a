package broker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

func (r *rig) members(group string) []string {
	r.t.Helper()
	ans := r.call(protocol.GetConsumerListByGroup, &protocol.ConsumerGroupHeader{ConsumerGroup: group}, nil)
	if ans.Code != protocol.Success {
		return nil
	}
	var list protocol.ConsumerList
	if err := protocol.DecodeBody(ans.Body, &list); err != nil {
		r.t.Fatal(err)
	}
	return list.ConsumerIDList
}

func (p *pushed) expectChange(t *testing.T, group string) {
	t.Helper()
	c := p.next(t)
	got, _ := c.Ext.Get("consumerGroup")
	if c.Code != protocol.NotifyConsumerIDsChanged || got != group || !c.IsOneway() || c.Serialization != remoting.SerializationJSON {
		t.Fatalf("the broker says %v of %q", c, got)
	}
}

func TestMembersHearOfEachOtherAtOnce(t *testing.T) {
	r := newRig(t, nil)
	r.createTopic("orders", 1, "")
	a, b := r.pushClient(), r.pushClient()
	r.beatOver(a.Client, "a", "g", "orders", "*", 1)
	a.expectChange(t, "g")
	r.beatOver(b.Client, "b", "g", "orders", "*", 1)
	a.expectChange(t, "g")
	b.expectChange(t, "g")
	if got := r.members("g"); !slices.Equal(got, []string{"a", "b"}) {
		t.Fatalf("members %v", got)
	}

	b.Close() // without a word
	a.expectChange(t, "g")
	if got := r.members("g"); !slices.Equal(got, []string{"a"}) {
		t.Fatalf("members %v", got)
	}

	req := remoting.NewRequest(protocol.UnregisterClient)
	(&protocol.UnregisterClientHeader{ClientID: "a", ConsumerGroup: "g"}).Encode(req)
	if _, err := a.Invoke(context.Background(), r.broker.Addr(), req); err != nil {
		t.Fatal(err)
	}
	if got := r.members("g"); got != nil {
		t.Fatalf("members %v", got)
	}
	if ans := r.call(protocol.GetConsumerListByGroup, &protocol.ConsumerGroupHeader{ConsumerGroup: "g"}, nil); ans.Code != protocol.SystemError {
		t.Fatalf("an empty group: %v", protocol.AsError(ans))
	}
}

func TestTheFirstHeartbeatMakesTheRetryTopic(t *testing.T) {
	r := newRig(t, nil)
	r.createTopic("orders", 1, "")
	r.beat("a", "g", "orders", "*", 1)
	waitFor(t, "the route of the retry topic", func() bool {
		return r.ask(r.names.Addr(), protocol.GetRouteInfoByTopic, &protocol.GetRouteInfoHeader{Topic: "%RETRY%g"}, nil).Code == protocol.Success
	})
	r.restart()
	if _, ok := r.broker.topics.Get("%RETRY%g"); !ok {
		t.Fatal("the retry topic is gone after a restart")
	}
	if ans := r.ok(protocol.GetAllSubscriptionGroupConfig, nil, nil); !strings.Contains(string(ans.Body), `"g":{"groupName":"g"`) {
		t.Fatalf("the group is gone after a restart: %s", ans.Body)
	}
}

func TestHeartbeatsThatAreRefused(t *testing.T) {
	r := newRig(t, nil)
	for name, text := range map[string]string{
		"no JSON":     `{`,
		"no id":       `{"producerDataSet":[{"groupName":"p"}]}`,
		"long id":     `{"clientID":"` + strings.Repeat("x", 600) + `"}`,
		"path":        `{"clientID":"c","consumerDataSet":[{"groupName":"../g"}]}`,
		"path of a p": `{"clientID":"c","producerDataSet":[{"groupName":"a/b"}]}`,
	} {
		if ans := r.call(protocol.HeartBeat, nil, []byte(text)); ans.Code == protocol.Success {
			t.Errorf("%s passes", name)
		}
	}
	closed := newRig(t, func(c *Config) { c.AutoCreateSubscriptionGroup = false })
	if ans := closed.call(protocol.HeartBeat, nil, []byte(`{"clientID":"c","consumerDataSet":[{"groupName":"g"}]}`)); ans.Code != protocol.SubscriptionGroupNotExist {
		t.Errorf("a group that may not come into being: %v", protocol.AsError(ans))
	}
}

// A megabyte names 20,000 groups, and each would cost two durable writes.
func TestAHeartbeatNamesABoundedNumberOfGroups(t *testing.T) {
	r := newRig(t, nil)
	var beat protocol.HeartbeatData
	beat.ClientID = "c"
	for i := range 1025 {
		beat.ConsumerDataSet = append(beat.ConsumerDataSet, protocol.ConsumerData{GroupName: fmt.Sprint("g", i)})
	}
	body, err := protocol.EncodeBody(&beat)
	if err != nil {
		t.Fatal(err)
	}
	if ans := r.call(protocol.HeartBeat, nil, body); ans.Code != protocol.InvalidParameter || !strings.Contains(ans.Remark, "1025 groups") {
		t.Errorf("answered %d %s", ans.Code, ans.Remark)
	}
	if got := r.members("g0"); got != nil {
		t.Errorf("members %v", got)
	}
}

func TestConnectionsAsToolsSeeThem(t *testing.T) {
	r := newRig(t, nil)
	r.createTopic("orders", 1, "")
	r.beat("a", "g", "orders", "red || blue", 3)
	r.ok(protocol.HeartBeat, nil, []byte(`{"clientID":"a","producerDataSet":[{"groupName":"p"}]}`))
	var c protocol.ConsumerConnection
	if err := protocol.DecodeBody(r.ok(protocol.GetConsumerConnectionList, &protocol.ConsumerGroupHeader{ConsumerGroup: "g"}, nil).Body, &c); err != nil {
		t.Fatal(err)
	}
	if s := c.SubscriptionTable["orders"]; len(c.ConnectionSet) != 1 || c.ConnectionSet[0].ClientID != "a" || s.SubVersion != 3 ||
		!slices.Equal(s.TagsSet, []string{"red", "blue"}) {
		t.Fatalf("%+v", c)
	}
	var p protocol.ProducerConnection
	if err := protocol.DecodeBody(r.ok(protocol.GetProducerConnectionList, &protocol.ProducerGroupHeader{ProducerGroup: "p"}, nil).Body, &p); err != nil || len(p.ConnectionSet) != 1 {
		t.Fatalf("%+v, %v", p, err)
	}
	if ans := r.call(protocol.GetConsumerConnectionList, &protocol.ConsumerGroupHeader{ConsumerGroup: "none"}, nil); ans.Code != protocol.ConsumerNotOnline {
		t.Fatal(protocol.AsError(ans))
	}
	if n := r.metric("rocketmq_consumer_connections", nil); n != 1 {
		t.Fatalf("%v consumers in the metrics", n)
	}
}
