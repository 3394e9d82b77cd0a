package protocol

// TopicRouteData answers GetRouteInfoByTopic (105).
type TopicRouteData struct {
	OrderTopicConf    string              `json:"orderTopicConf,omitempty"`
	QueueDatas        []QueueData         `json:"queueDatas"`
	BrokerDatas       []BrokerData        `json:"brokerDatas"`
	FilterServerTable map[string][]string `json:"filterServerTable"`
}

// QueueData is what one broker has of a topic.
type QueueData struct {
	BrokerName     string `json:"brokerName"`
	ReadQueueNums  int32  `json:"readQueueNums"`
	WriteQueueNums int32  `json:"writeQueueNums"`
	Perm           int32  `json:"perm"`
	TopicSysFlag   int32  `json:"topicSysFlag"`
}

// BrokerData is where the replicas of a broker are: id 0 is its master.
type BrokerData struct {
	Cluster            string           `json:"cluster"`
	BrokerName         string           `json:"brokerName"`
	BrokerAddrs        map[int64]string `json:"brokerAddrs"`
	EnableActingMaster bool             `json:"enableActingMaster"`
	ZoneName           string           `json:"zoneName,omitempty"`
}

func (r *TopicRouteData) encodeBody() ([]byte, error) {
	c := *r
	c.QueueDatas = orEmpty(c.QueueDatas)
	c.BrokerDatas = orEmpty(c.BrokerDatas)
	if c.FilterServerTable == nil {
		c.FilterServerTable = map[string][]string{}
	}
	return marshal(c)
}

// ClusterInfo answers GetBrokerClusterInfo (106).
type ClusterInfo struct {
	BrokerAddrTable  map[string]BrokerData `json:"brokerAddrTable"`
	ClusterAddrTable map[string][]string   `json:"clusterAddrTable"`
}

func (i *ClusterInfo) encodeBody() ([]byte, error) {
	c := *i
	if c.BrokerAddrTable == nil {
		c.BrokerAddrTable = map[string]BrokerData{}
	}
	if c.ClusterAddrTable == nil {
		c.ClusterAddrTable = map[string][]string{}
	}
	return marshal(c)
}

// TopicList answers 206, 224, 304, 305 and 343.
type TopicList struct {
	TopicList  []string `json:"topicList"`
	BrokerAddr string   `json:"brokerAddr,omitempty"`
}

func (l *TopicList) encodeBody() ([]byte, error) {
	return marshal(TopicList{orEmpty(l.TopicList), l.BrokerAddr})
}

// GroupList answers QueryTopicConsumeByWho (300).
type GroupList struct {
	GroupList []string `json:"groupList"`
}

func (l *GroupList) encodeBody() ([]byte, error) {
	return marshal(GroupList{orEmpty(l.GroupList)})
}

// KVTable answers GetBrokerRuntimeInfo (28), GetKVListByNamespace (219) and
// RegisterBroker (103).
type KVTable struct {
	Table map[string]string `json:"table"`
}

func (t *KVTable) encodeBody() ([]byte, error) {
	if t.Table == nil {
		return []byte(`{"table":{}}`), nil
	}
	return marshal(*t)
}

// DataVersion says which of two tables is newer.
type DataVersion struct {
	StateVersion int64 `json:"stateVersion"`
	Timestamp    int64 `json:"timestamp"`
	Counter      int64 `json:"counter"`
}

// NewerThan compares what Java's compare does: state, counter, then time.
func (v DataVersion) NewerThan(o DataVersion) bool {
	switch {
	case v.StateVersion != o.StateVersion:
		return v.StateVersion > o.StateVersion
	case v.Counter != o.Counter:
		return v.Counter > o.Counter
	}
	return v.Timestamp > o.Timestamp
}
