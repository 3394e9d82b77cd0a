package session

import (
	"github.com/millrace/millrace/client/internal/routecache"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

// header is any request header of package protocol.
type header interface{ Encode(*remoting.Command) }

// Request makes a request with a header.
func Request(code int, h header) *remoting.Command {
	req := remoting.NewRequest(code)
	h.Encode(req)
	return req
}

func decodeRoute(body []byte) ([]routecache.QueueData, []routecache.BrokerData, error) {
	var r protocol.TopicRouteData
	if err := protocol.DecodeBody(body, &r); err != nil {
		return nil, nil, err
	}
	queues := make([]routecache.QueueData, len(r.QueueDatas))
	for i, q := range r.QueueDatas {
		queues[i] = routecache.QueueData{Broker: q.BrokerName, ReadQueues: q.ReadQueueNums, WriteQueues: q.WriteQueueNums, Perm: q.Perm}
	}
	brokers := make([]routecache.BrokerData, len(r.BrokerDatas))
	for i, b := range r.BrokerDatas {
		brokers[i] = brokerData(b.BrokerName, b)
	}
	return queues, brokers, nil
}

func decodeCluster(body []byte) ([]routecache.BrokerData, error) {
	var c protocol.ClusterInfo
	if err := protocol.DecodeBody(body, &c); err != nil {
		return nil, err
	}
	brokers := make([]routecache.BrokerData, 0, len(c.BrokerAddrTable))
	for name, b := range c.BrokerAddrTable {
		brokers = append(brokers, brokerData(name, b))
	}
	return brokers, nil
}

func brokerData(name string, b protocol.BrokerData) routecache.BrokerData {
	return routecache.BrokerData{Cluster: b.Cluster, Name: name, Addrs: b.BrokerAddrs}
}
