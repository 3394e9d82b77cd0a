package session

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/millrace/millrace/client/internal/routecache"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

// AnswerError is what a broker or name server said instead of SUCCESS.
type AnswerError struct {
	Code   int
	Remark string
}

func (e *AnswerError) Error() string {
	return fmt.Sprintf("%s (%d): %s", protocol.ResponseName(e.Code), e.Code, e.Remark)
}

// answerError is nil for SUCCESS.
func answerError(ans *remoting.Command) error {
	if ans.Code == protocol.Success {
		return nil
	}
	return &AnswerError{Code: ans.Code, Remark: ans.Remark}
}

// AnswerOK turns an answer that is not SUCCESS into an error.
func AnswerOK(ans *remoting.Command) error { return answerError(ans) }

// Int64 reads a required number of an answer's header.
func Int64(ans *remoting.Command, key string) (int64, error) {
	v, ok := ans.Ext.Get(key)
	if !ok {
		return 0, fmt.Errorf("the answer has no field %q", key)
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the answer's field %q is %q, not a number", key, v)
	}
	return n, nil
}

type routeBody struct {
	QueueDatas []struct {
		BrokerName     string `json:"brokerName"`
		ReadQueueNums  int32  `json:"readQueueNums"`
		WriteQueueNums int32  `json:"writeQueueNums"`
		Perm           int32  `json:"perm"`
	} `json:"queueDatas"`
	BrokerDatas []brokerBody `json:"brokerDatas"`
}

type brokerBody struct {
	Cluster     string           `json:"cluster"`
	BrokerName  string           `json:"brokerName"`
	BrokerAddrs map[int64]string `json:"brokerAddrs"`
}

func decodeRoute(body []byte) ([]routecache.QueueData, []routecache.BrokerData, error) {
	var r routeBody
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, nil, fmt.Errorf("route: %w", err)
	}
	queues := make([]routecache.QueueData, len(r.QueueDatas))
	for i, q := range r.QueueDatas {
		queues[i] = routecache.QueueData{Broker: q.BrokerName, ReadQueues: q.ReadQueueNums, WriteQueues: q.WriteQueueNums, Perm: q.Perm}
	}
	brokers := make([]routecache.BrokerData, len(r.BrokerDatas))
	for i, b := range r.BrokerDatas {
		brokers[i] = routecache.BrokerData{Cluster: b.Cluster, Name: b.BrokerName, Addrs: b.BrokerAddrs}
	}
	return queues, brokers, nil
}

func decodeCluster(body []byte) ([]routecache.BrokerData, error) {
	var c struct {
		BrokerAddrTable map[string]brokerBody `json:"brokerAddrTable"`
	}
	if err := json.Unmarshal(body, &c); err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	var brokers []routecache.BrokerData
	for name, b := range c.BrokerAddrTable {
		brokers = append(brokers, routecache.BrokerData{Cluster: b.Cluster, Name: name, Addrs: b.BrokerAddrs})
	}
	return brokers, nil
}
