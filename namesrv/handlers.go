package namesrv

import (
	"log/slog"
	"strconv"
	"time"

	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/namesrv/route"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
	"github.com/millrace/millrace/remoting/rpc"
)

func (s *Server) registerBroker(x *rpc.Exchange) (*remoting.Command, error) {
	var h protocol.RegisterBrokerHeader
	if err := header(x, &h); err != nil {
		return nil, err
	}
	body, err := protocol.DecodeRegisterBroker(&h, x.Request().Body)
	if err != nil {
		return nil, err
	}
	r := route.Registration{
		Broker:  route.Broker{Cluster: h.ClusterName, Name: h.BrokerName, ID: h.BrokerID, Addr: h.BrokerAddr},
		HAAddr:  h.HAServerAddr,
		Conn:    x.Conn(),
		Timeout: time.Duration(s.cfg.BrokerTimeout) * time.Millisecond,
		Version: version(body.TopicConfigs.DataVersion),
		Topics:  make(map[string]route.Topic, len(body.TopicConfigs.TopicConfigTable)),
	}
	if ms := h.HeartbeatTimeoutMillis; ms > 0 {
		r.Timeout = time.Duration(min(ms, s.cfg.BrokerTimeout)) * time.Millisecond
	}
	for name, t := range body.TopicConfigs.TopicConfigTable {
		if message.CheckTopic(name) != nil {
			continue // no client could ask for it
		}
		r.Topics[name] = route.Topic{ReadQueues: t.ReadQueueNums, WriteQueues: t.WriteQueueNums, Perm: t.Perm, SysFlag: t.TopicSysFlag}
	}
	s.mu.Lock()
	holder, heard, taken := s.table.Holder(r.Broker)
	s.mu.Unlock()
	if taken && s.claim(x, &h, r, holder, heard) {
		return nil, nil // it is answered when that is decided
	}
	return s.register(&h, r)
}

// register enters a broker.
func (s *Server) register(h *protocol.RegisterBrokerHeader, r route.Registration) (*remoting.Command, error) {
	s.mu.Lock()
	known := s.table.Known(r.Broker)
	master, masterHA, err := s.table.Register(s.now(), r)
	if err == nil && !known {
		close(s.joined)
		s.joined = make(chan struct{})
	}
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if !known {
		s.log.Info("broker registered", slog.String("broker", h.BrokerName), slog.String("addr", h.BrokerAddr), slog.Int("topics", len(r.Topics)))
	}
	ans, err := answer(&protocol.KVTable{Table: s.kv.list(protocol.OrderTopicConfig)})
	if err != nil {
		return nil, err
	}
	(&protocol.RegisterBrokerResponseHeader{HAServerAddr: masterHA, MasterAddr: master}).Encode(ans)
	return ans, nil
}

func version(v protocol.DataVersion) route.Version {
	return route.Version{State: v.StateVersion, Timestamp: v.Timestamp, Counter: v.Counter}
}

func (s *Server) unregisterBroker(x *rpc.Exchange) (*remoting.Command, error) {
	var h protocol.UnregisterBrokerHeader
	if err := header(x, &h); err != nil {
		return nil, err
	}
	s.mu.Lock()
	known := s.table.Unregister(route.Broker{Cluster: h.ClusterName, Name: h.BrokerName, ID: h.BrokerID, Addr: h.BrokerAddr})
	s.mu.Unlock()
	if known {
		s.log.Info("broker unregistered", slog.String("broker", h.BrokerName), slog.String("addr", h.BrokerAddr))
	}
	return answer(nil)
}

func (s *Server) queryDataVersion(x *rpc.Exchange) (*remoting.Command, error) {
	var h protocol.UnregisterBrokerHeader
	if err := header(x, &h); err != nil {
		return nil, err
	}
	var v protocol.DataVersion
	if err := protocol.DecodeBody(x.Request().Body, &v); err != nil {
		return nil, err
	}
	s.mu.Lock()
	changed := s.table.Changed(s.now(), route.Broker{Cluster: h.ClusterName, Name: h.BrokerName, ID: h.BrokerID,
		Addr: h.BrokerAddr}, version(v))
	s.mu.Unlock()
	ans, err := answer(&v)
	if err != nil {
		return nil, err
	}
	(&protocol.QueryDataVersionResponseHeader{Changed: changed}).Encode(ans)
	return ans, nil
}

func (s *Server) route(x *rpc.Exchange) (*remoting.Command, error) {
	var h protocol.GetRouteInfoHeader
	if err := header(x, &h); err != nil {
		return nil, err
	}
	s.mu.Lock()
	hops := s.table.Route(h.Topic)
	s.mu.Unlock()
	if len(hops) == 0 {
		return nil, protocol.Errorf(protocol.TopicNotExist,
			"No topic route info in name server for the topic: %.300s. Create it (millrace admin topic create), or look whether its broker is "+
				"registered here (millrace admin cluster).", h.Topic)
	}
	var data protocol.TopicRouteData
	for _, hop := range hops {
		data.QueueDatas = append(data.QueueDatas, protocol.QueueData{
			BrokerName: hop.Name, ReadQueueNums: hop.ReadQueues, WriteQueueNums: hop.WriteQueues, Perm: hop.Perm, TopicSysFlag: hop.SysFlag,
		})
		data.BrokerDatas = append(data.BrokerDatas, brokerData(hop.Group))
	}
	return answer(&data)
}

func brokerData(g route.Group) protocol.BrokerData {
	return protocol.BrokerData{Cluster: g.Cluster, BrokerName: g.Name, BrokerAddrs: g.Addrs}
}

func (s *Server) cluster(*rpc.Exchange) (*remoting.Command, error) {
	s.mu.Lock()
	groups := s.table.Groups()
	s.mu.Unlock()
	info := protocol.ClusterInfo{BrokerAddrTable: map[string]protocol.BrokerData{}, ClusterAddrTable: map[string][]string{}}
	for _, g := range groups {
		info.BrokerAddrTable[g.Name] = brokerData(g)
		info.ClusterAddrTable[g.Cluster] = append(info.ClusterAddrTable[g.Cluster], g.Name)
	}
	return answer(&info)
}

func (s *Server) topics(*rpc.Exchange) (*remoting.Command, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return answer(&protocol.TopicList{TopicList: s.table.Topics("")})
}

func (s *Server) topicsOfCluster(x *rpc.Exchange) (*remoting.Command, error) {
	var h protocol.GetTopicsByClusterHeader
	if err := header(x, &h); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return answer(&protocol.TopicList{TopicList: s.table.Topics(h.Cluster)})
}

// systemTopics names the clusters and brokers, each of which has a topic, as RocketMQ does.
func (s *Server) systemTopics(*rpc.Exchange) (*remoting.Command, error) {
	s.mu.Lock()
	groups := s.table.Groups()
	s.mu.Unlock()
	list := protocol.TopicList{}
	clusters := map[string]bool{}
	for _, g := range groups {
		if !clusters[g.Cluster] {
			clusters[g.Cluster] = true
			list.TopicList = append(list.TopicList, g.Cluster)
		}
		list.TopicList = append(list.TopicList, g.Name)
		if master, ok := g.Addrs[route.MasterID]; ok && list.BrokerAddr == "" {
			list.BrokerAddr = master
		}
	}
	return answer(&list)
}

func (s *Server) deleteTopic(x *rpc.Exchange) (*remoting.Command, error) {
	var h protocol.DeleteTopicInNamesrvHeader
	if err := header(x, &h); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.table.DeleteTopic(h.Topic, h.ClusterName)
	s.mu.Unlock()
	return answer(nil)
}

func (s *Server) wipeWritePerm(x *rpc.Exchange) (*remoting.Command, error) {
	return s.changePerm(x, 0, protocol.PermWrite, "wipeTopicCount")
}

func (s *Server) addWritePerm(x *rpc.Exchange) (*remoting.Command, error) {
	return s.changePerm(x, protocol.PermWrite, 0, "addTopicCount")
}

func (s *Server) changePerm(x *rpc.Exchange, set, clear int32, count string) (*remoting.Command, error) {
	var h protocol.WritePermHeader
	if err := header(x, &h); err != nil {
		return nil, err
	}
	s.mu.Lock()
	n := s.table.ChangePerm(h.BrokerName, set, clear)
	s.mu.Unlock()
	ans, err := answer(nil)
	ans.Ext.Add(count, strconv.Itoa(n))
	return ans, err
}
