package protocol_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting/protocol"
)

// golden reads what e2e/golden/run.sh recorded: name, then a body.
func golden(t testing.TB) map[string]string {
	t.Helper()
	text, err := os.ReadFile("testdata/golden.txt")
	if err != nil {
		t.Fatal(err)
	}
	m := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " "); ok && name != "#" {
			m[name] = value
		}
	}
	return m
}

func broker() protocol.BrokerData {
	return protocol.BrokerData{Cluster: "cluster-a", BrokerName: "broker-a",
		BrokerAddrs: map[int64]string{0: "127.0.0.1:10911", 1: "127.0.0.1:20911"}}
}

func subscription() protocol.SubscriptionData {
	return protocol.SubscriptionData{Topic: "orders", SubString: "TagA || TagB", TagsSet: []string{"TagA", "TagB"},
		CodeSet: []int32{2598919, 2598920}, SubVersion: 1700000000123, ExpressionType: protocol.ExpressionTag}
}

// bodies are the values that the generator fills in.
func bodies() map[string]any {
	route := &protocol.TopicRouteData{
		OrderTopicConf:    "broker-a:4",
		QueueDatas:        []protocol.QueueData{{BrokerName: "broker-a", ReadQueueNums: 8, WriteQueueNums: 4, Perm: 6}},
		BrokerDatas:       []protocol.BrokerData{broker()},
		FilterServerTable: map[string][]string{},
	}
	version := protocol.DataVersion{StateVersion: 1, Timestamp: 1700000000123, Counter: 42}
	topics := protocol.TopicConfigTable{DataVersion: version, TopicConfigTable: map[string]protocol.TopicConfig{
		"orders": {TopicName: "orders", ReadQueueNums: 8, WriteQueueNums: 4, Perm: 6, TopicFilterType: "SINGLE_TAG", Order: true,
			Attributes: map[string]string{"message.type": "FIFO"}}}}
	group := protocol.DefaultSubscriptionGroup("group_c")
	group.Attributes = map[string]string{}
	mq := message.Queue{Topic: "orders", BrokerName: "broker-a", QueueID: 3}
	connection := protocol.Connection{ClientID: "192.0.2.1@1234", ClientAddr: "192.0.2.1:50123", Language: "GO", Version: 317}
	return map[string]any{
		"HeartbeatData": &protocol.HeartbeatData{ClientID: "192.0.2.1@1234",
			ProducerDataSet: []protocol.ProducerData{{GroupName: "group_p"}},
			ConsumerDataSet: []protocol.ConsumerData{{GroupName: "group_c", ConsumeType: protocol.ConsumePassively,
				MessageModel: protocol.ModelClustering, ConsumeFromWhere: protocol.FromLastOffset,
				SubscriptionDataSet: []protocol.SubscriptionData{subscription()}}}},
		"HeartbeatData-empty":     &protocol.HeartbeatData{ProducerDataSet: []protocol.ProducerData{}, ConsumerDataSet: []protocol.ConsumerData{}},
		"TopicRouteData":          route,
		"TopicRouteData-fastjson": route,
		"ClusterInfo": &protocol.ClusterInfo{BrokerAddrTable: map[string]protocol.BrokerData{"broker-a": broker()},
			ClusterAddrTable: map[string][]string{"cluster-a": {"broker-a"}}},
		"TopicList":          &protocol.TopicList{TopicList: []string{"orders"}},
		"GroupList":          &protocol.GroupList{GroupList: []string{"group_c"}},
		"KVTable":            &protocol.KVTable{Table: map[string]string{"brokerVersionDesc": "V5_5_0"}},
		"DataVersion":        &version,
		"TopicConfigTable":   &topics,
		"RegisterBrokerBody": &protocol.RegisterBrokerBody{TopicConfigs: topics, FilterServerList: []string{}},
		"SubscriptionGroupTable": &protocol.SubscriptionGroupTable{DataVersion: version, ForbiddenTable: map[string]map[string]int32{},
			SubscriptionGroupTable: map[string]protocol.SubscriptionGroupConfig{"group_c": group}},
		"LockBatch":         &protocol.LockBatch{ConsumerGroup: "group_c", ClientID: "192.0.2.1@1234", MQSet: []message.Queue{mq}},
		"LockBatchResponse": &protocol.LockBatchResponse{LockOKMQSet: []message.Queue{mq}},
		"ConsumerList":      &protocol.ConsumerList{ConsumerIDList: []string{"192.0.2.1@1234", "192.0.2.2@5678"}},
		"CheckClient":       &protocol.CheckClient{ClientID: "192.0.2.1@1234", Group: "group_c", SubscriptionData: subscription()},
		"TopicStatsTable": &protocol.TopicStatsTable{OffsetTable: map[message.Queue]protocol.TopicOffset{
			mq: {MinOffset: 1, MaxOffset: 1234567890123, LastUpdateTimestamp: 1700000000123}}},
		"ConsumeStats": &protocol.ConsumeStats{ConsumeTps: 1.5, OffsetTable: map[message.Queue]protocol.OffsetWrapper{
			mq: {BrokerOffset: 12, ConsumerOffset: 10, PullOffset: 11, LastTimestamp: 1700000000123}}},
		"ConsumerConnection": &protocol.ConsumerConnection{ConnectionSet: []protocol.Connection{connection},
			SubscriptionTable: map[string]protocol.SubscriptionData{"orders": subscription()}, ConsumeType: protocol.ConsumePassively,
			MessageModel: protocol.ModelClustering, ConsumeFromWhere: protocol.FromLastOffset},
		"ProducerConnection": &protocol.ProducerConnection{ConnectionSet: []protocol.Connection{connection}},
	}
}

func TestBodiesAreJavas(t *testing.T) {
	g := golden(t)
	tested := bodies()
	for name := range g {
		if tested[name] == nil && name != "RegisterBrokerBody-packed" {
			t.Errorf("%s was recorded and is not tested", name)
		}
	}
	for name, want := range tested {
		t.Run(name, func(t *testing.T) {
			got := reflect.New(reflect.TypeOf(want).Elem()).Interface()
			if err := protocol.DecodeBody([]byte(g[name]), got); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("decoded\n  got %+v\n want %+v", got, want)
			}
			b, err := protocol.EncodeBody(want)
			if err != nil {
				t.Fatal(err)
			}
			ours, javas := tree(t, b), tree(t, []byte(g[name]))
			if !reflect.DeepEqual(ours, javas) {
				t.Errorf("encoded\n  got %v\n want %v", ours, javas)
			}
			objectKeys := strings.Contains(g[name], "{{")
			if !objectKeys && !json.Valid(b) {
				t.Errorf("no JSON: %s", b)
			}
			if objectKeys && !strings.Contains(string(b), `{{"brokerName":"broker-a","queueId":3,"topic":"orders"}:{`) {
				t.Errorf("not the form that mqadmin reads: %s", b)
			}
		})
	}
}

// tree is a body as a generic value, without the members that only Java has
// and those that are empty, which mean the same as missing.
func tree(t *testing.T, b []byte) any {
	t.Helper()
	var v any
	if err := protocol.DecodeBody(b, &v); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return prune(v)
}

func prune(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		if l, ok := v.([]any); ok {
			for i := range l {
				l[i] = prune(l[i])
			}
		}
		return v
	}
	for k, e := range m {
		switch k {
		case "groupRetryPolicy", "mappingDataVersion", "topicQueueMappingDetailMap", "topicQueueMappingInfoMap":
			delete(m, k)
			continue
		}
		m[k] = prune(e)
		if s, ok := m[k].(string); ok && s == "" {
			delete(m, k)
		}
		if s, ok := m[k].(map[string]any); ok && len(s) == 0 && k == "attributes" {
			delete(m, k)
		}
	}
	return m
}

func TestPackedRegistrationsAreJavas(t *testing.T) {
	b, err := hex.DecodeString(golden(t)["RegisterBrokerBody-packed"])
	if err != nil {
		t.Fatal(err)
	}
	h := &protocol.RegisterBrokerHeader{BrokerName: "broker-a", Compressed: true, BodyCRC32: protocol.BodyCRC(b)}
	got, err := protocol.DecodeRegisterBroker(h, b)
	if err != nil {
		t.Fatal(err)
	}
	want := bodies()["RegisterBrokerBody"].(*protocol.RegisterBrokerBody)
	topic := want.TopicConfigs.TopicConfigTable["orders"]
	topic.Order = false // the packed form does not say
	want.TopicConfigs.TopicConfigTable["orders"] = topic
	if !reflect.DeepEqual(got, want) {
		t.Errorf("decoded\n  got %+v\n want %+v", got, want)
	}
	packed, err := want.EncodePacked()
	if err != nil {
		t.Fatal(err)
	}
	h.BodyCRC32 = protocol.BodyCRC(packed)
	if again, err := protocol.DecodeRegisterBroker(h, packed); err != nil || !reflect.DeepEqual(again, want) {
		t.Errorf("read again: %+v, %v", again, err)
	}
	h.BodyCRC32++
	if _, err := protocol.DecodeRegisterBroker(h, packed); err == nil {
		t.Error("a wrong checksum was taken")
	}
	h.BodyCRC32 = 0
	for n := 1; n < len(packed)-8; n++ {
		if _, err := protocol.DecodeRegisterBroker(h, packed[:n]); err == nil {
			t.Errorf("%d of %d bytes were taken", n, len(packed))
		}
	}
}

func TestEveryPrefixOfABodyIsAnError(t *testing.T) {
	for name, body := range golden(t) {
		want := bodies()[name]
		if want == nil {
			continue
		}
		for n := range len(body) {
			got := reflect.New(reflect.TypeOf(want).Elem()).Interface()
			if err := protocol.DecodeBody([]byte(body[:n]), got); err == nil {
				t.Fatalf("%s: %d of %d bytes were taken", name, n, len(body))
			}
		}
	}
}
