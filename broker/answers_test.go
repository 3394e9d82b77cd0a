package broker

import (
	"strconv"
	"testing"

	"github.com/millrace/millrace/remoting/protocol"
)

// TestEachAnswerIsMeasuredByItsCode asks for what is refused, in handlers that answer at
// once, later, and before they begin, and looks for the very code in the metric.
func TestEachAnswerIsMeasuredByItsCode(t *testing.T) {
	r := newRig(t, nil)
	for _, c := range []struct {
		request int
		header  encoder
		body    []byte
		want    int
	}{
		{protocol.UpdateAndCreateTopic, &protocol.CreateTopicHeader{Topic: "a/b", ReadQueueNums: 1, WriteQueueNums: 1, Perm: 6}, nil, protocol.InvalidParameter},
		{protocol.GetTopicConfig, &protocol.TopicHeader{Topic: "nothing"}, nil, protocol.TopicNotExist},
		{protocol.GetMaxOffset, &protocol.QueueHeader{Topic: "nothing"}, nil, protocol.TopicNotExist},
		{protocol.SearchOffsetByTimestamp, &protocol.SearchOffsetHeader{Topic: "nothing"}, nil, protocol.TopicNotExist},
		{protocol.HeartBeat, nil, []byte("{"), protocol.SystemError},
		{protocol.PullMessage, pullHeader("nothing", 0, 0), nil, protocol.TopicNotExist},
		{protocol.SendMessageV2, sendHeader("a/b", 0, nil), nil, protocol.InvalidParameter},
		{protocol.EndTransaction, nil, nil, protocol.SystemError},
		{protocol.EndTransaction, &protocol.EndTransactionHeader{ProducerGroup: "p", CommitOrRollback: 5}, nil, protocol.InvalidParameter},
		{protocol.OpenWriter, nil, nil, protocol.SystemError},
		{protocol.OpenWriter, &protocol.OpenWriterHeader{Writer: "w", Term: 0, Opener: "o"}, nil, protocol.MessageIllegal},
		{protocol.Resolve, nil, []byte("{"), protocol.InvalidParameter},
		{protocol.Resolve, &protocol.ResolveHeader{Writer: "w", Term: 7}, []byte("{}"), protocol.Fenced},
		{protocol.GetBrokerConfig, nil, nil, protocol.Success},
		{protocol.LockBatchMQ, nil, nil, protocol.RequestCodeNotSupported},
	} {
		labels := map[string]string{"request_code": strconv.Itoa(c.request), "response_code": strconv.Itoa(c.want)}
		before := r.metric("rocketmq_rpc_latency", labels)
		all := map[string]string{"request_code": labels["request_code"]}
		beforeAll := r.metric("rocketmq_rpc_latency", all)
		if ans := r.call(c.request, c.header, c.body); ans.Code != c.want {
			t.Errorf("%s: %d %s, want %d", protocol.RequestName(c.request), ans.Code, ans.Remark, c.want)
			continue
		}
		if n := r.metric("rocketmq_rpc_latency", labels) - before; n != 1 {
			t.Errorf("%s answered with %d is counted %v times under that code", protocol.RequestName(c.request), c.want, n)
		}
		if n := r.metric("rocketmq_rpc_latency", all) - beforeAll; n != 1 {
			t.Errorf("%s is counted %v times", protocol.RequestName(c.request), n)
		}
	}
}
