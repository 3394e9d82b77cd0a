package golden_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
	"github.com/millrace/millrace/remoting/rpc"
)

// stub is a name server and a broker in one that answers from fixed values.
type stub struct {
	t    *testing.T
	addr string
}

func (s *stub) ServeRemoting(x *rpc.Exchange) {
	body := s.body(x.Request())
	if body == nil {
		x.Reply(remoting.NewResponse(protocol.RequestCodeNotSupported, "no "+protocol.RequestName(x.Request().Code)))
		return
	}
	b, err := protocol.EncodeBody(body)
	if err != nil {
		s.t.Error(err)
	}
	ans := remoting.NewResponse(protocol.Success, "")
	ans.Body = b
	x.Reply(ans)
}

func (s *stub) body(req *remoting.Command) any {
	broker := protocol.BrokerData{Cluster: "cluster-a", BrokerName: "broker-a", BrokerAddrs: map[int64]string{0: s.addr}}
	mq := message.Queue{Topic: "orders", BrokerName: "broker-a", QueueID: 3}
	subscription := protocol.SubscriptionData{Topic: "orders", SubString: "TagA", TagsSet: []string{"TagA"}, CodeSet: []int32{2598919},
		ExpressionType: protocol.ExpressionTag}
	connections := []protocol.Connection{{ClientID: "client-a", ClientAddr: "192.0.2.1:50123", Language: "GO", Version: 317}}
	switch req.Code {
	case protocol.GetRouteInfoByTopic:
		return &protocol.TopicRouteData{
			QueueDatas:  []protocol.QueueData{{BrokerName: "broker-a", ReadQueueNums: 8, WriteQueueNums: 4, Perm: 6}},
			BrokerDatas: []protocol.BrokerData{broker}}
	case protocol.GetBrokerClusterInfo:
		return &protocol.ClusterInfo{BrokerAddrTable: map[string]protocol.BrokerData{"broker-a": broker},
			ClusterAddrTable: map[string][]string{"cluster-a": {"broker-a"}}}
	case protocol.GetAllTopicListFromNameserver:
		return &protocol.TopicList{TopicList: []string{"orders", "%RETRY%group_c"}}
	case protocol.GetBrokerRuntimeInfo:
		return &protocol.KVTable{Table: map[string]string{"brokerVersionDesc": "V5_3_3", "putTps": "1 2 3", "getTransferredTps": "4 5 6"}}
	case protocol.GetTopicConfig:
		return &protocol.TopicConfig{TopicName: "orders", ReadQueueNums: 8, WriteQueueNums: 4, Perm: 6, TopicFilterType: protocol.FilterSingleTag}
	case protocol.GetTopicStatsInfo:
		return &protocol.TopicStatsTable{OffsetTable: map[message.Queue]protocol.TopicOffset{
			mq: {MinOffset: 17, MaxOffset: 4711, LastUpdateTimestamp: 1700000000123}}}
	case protocol.GetConsumeStats:
		return &protocol.ConsumeStats{ConsumeTps: 1.5, OffsetTable: map[message.Queue]protocol.OffsetWrapper{
			mq: {BrokerOffset: 4711, ConsumerOffset: 4700, PullOffset: 4705, LastTimestamp: 1700000000123}}}
	case protocol.GetConsumerConnectionList:
		return &protocol.ConsumerConnection{ConnectionSet: connections,
			SubscriptionTable: map[string]protocol.SubscriptionData{"orders": subscription},
			ConsumeType:       protocol.ConsumePassively, MessageModel: protocol.ModelClustering, ConsumeFromWhere: protocol.FromLastOffset}
	case protocol.GetProducerConnectionList:
		return &protocol.ProducerConnection{ConnectionSet: connections}
	case protocol.GetAllSubscriptionGroupConfig:
		return &protocol.SubscriptionGroupTable{SubscriptionGroupTable: map[string]protocol.SubscriptionGroupConfig{
			"group_c": protocol.DefaultSubscriptionGroup("group_c")}}
	}
	return nil
}

func TestMqadminReadsOurBodies(t *testing.T) {
	r := testenv.NeedRocketMQ(t)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &stub{t: t, addr: ln.Addr().String()}
	served := make(chan error, 1)
	serving, stop := context.WithCancel(ctx)
	go func() { served <- rpc.NewServer(rpc.ServerConfig{}, s, nil).Serve(serving, ln) }()
	defer func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	for _, tc := range []struct{ command, want string }{
		{"topicRoute -t orders", `"readQueueNums":8 "writeQueueNums":4`},
		{"clusterList", "cluster-a broker-a V5_3_3"},
		{"topicList", "orders %RETRY%group_c"},
		{"topicStatus -t orders", "broker-a 3 17 4711"},
		{"consumerProgress -g group_c", "orders broker-a 3 4711 4700"},
		{"consumerConnection -g group_c", "client-a 192.0.2.1:50123 GO V4_5_2 orders TagA CONSUME_PASSIVELY CLUSTERING CONSUME_FROM_LAST_OFFSET"},
		{"producerConnection -g group_p -t orders", "client-a 192.0.2.1:50123 GO"},
		{"getConsumerConfig -g group_c", "group_c retryMaxTimes"},
	} {
		t.Run(strings.Fields(tc.command)[0], func(t *testing.T) {
			out, err := r.Admin(ctx, t.TempDir(), s.addr, strings.Fields(tc.command)...)
			if err != nil {
				t.Fatal(err)
			}
			rest := out
			for _, word := range strings.Fields(tc.want) {
				_, after, ok := strings.Cut(rest, word)
				if !ok {
					t.Fatalf("no %q, or not in its place, in:\n%s", word, out)
				}
				rest = after
			}
		})
	}
}
