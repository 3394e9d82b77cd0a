package protocol

import "github.com/millrace/millrace/remoting"

// CreateTopicHeader creates or changes a topic (17). Attributes are written +k=v,-k.
type CreateTopicHeader struct {
	Topic           string
	DefaultTopic    string
	ReadQueueNums   int32
	WriteQueueNums  int32
	Perm            int32
	TopicFilterType string
	TopicSysFlag    int32
	Order           bool
	Attributes      string
	Force           bool
}

func (h *CreateTopicHeader) walk(k *codec) {
	k.str("topic", &h.Topic, required)
	k.str("defaultTopic", &h.DefaultTopic, required)
	k.int32("readQueueNums", &h.ReadQueueNums, required)
	k.int32("writeQueueNums", &h.WriteQueueNums, required)
	k.int32("perm", &h.Perm, required)
	k.str("topicFilterType", &h.TopicFilterType, required)
	k.int32("topicSysFlag", &h.TopicSysFlag, optional)
	k.bool("order", &h.Order, required)
	k.str("attributes", &h.Attributes, optional)
	k.bool("force", &h.Force, optional)
}

// Encode writes the header into c.
func (h *CreateTopicHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *CreateTopicHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "CreateTopicRequestHeader", h.walk)
}

// TopicHeader names a topic: GetTopicStatsInfo (202), QueryTopicConsumeByWho (300), GetTopicConfig (351).
type TopicHeader struct {
	Topic string
}

func (h *TopicHeader) walk(k *codec) {
	k.str("topic", &h.Topic, required)
}

// Encode writes the header into c.
func (h *TopicHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *TopicHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "DeleteTopicRequestHeader", h.walk)
}

// DeleteTopicHeader removes a topic and its messages (215). Force is Millrace's own: without
// it a topic that belongs to a writer stays.
type DeleteTopicHeader struct {
	Topic string
	Force bool
}

func (h *DeleteTopicHeader) walk(k *codec) {
	k.str("topic", &h.Topic, required)
	k.bool("force", &h.Force, optional)
}

// Encode writes the header into c.
func (h *DeleteTopicHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *DeleteTopicHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "DeleteTopicRequestHeader", h.walk)
}

// DeleteTopicResponseHeader is in the answer to 215. Missing is Millrace's own: success of
// deleting what was not there is RocketMQ's.
type DeleteTopicResponseHeader struct {
	Missing bool
}

func (h *DeleteTopicResponseHeader) walk(k *codec) { k.bool("missing", &h.Missing, optional) }

// Encode writes the header into c.
func (h *DeleteTopicResponseHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *DeleteTopicResponseHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "DeleteTopicResponseHeader", h.walk)
}

// DeleteTopicInNamesrvHeader removes a topic from the routes (216).
type DeleteTopicInNamesrvHeader struct {
	Topic       string
	ClusterName string
}

func (h *DeleteTopicInNamesrvHeader) walk(k *codec) {
	k.str("topic", &h.Topic, required)
	k.str("clusterName", &h.ClusterName, optional)
}

// Encode writes the header into c.
func (h *DeleteTopicInNamesrvHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *DeleteTopicInNamesrvHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "DeleteTopicFromNamesrvRequestHeader", h.walk)
}

// GetTopicsByClusterHeader names a cluster (224).
type GetTopicsByClusterHeader struct {
	Cluster string
}

func (h *GetTopicsByClusterHeader) walk(k *codec) {
	k.str("cluster", &h.Cluster, required)
}

// Encode writes the header into c.
func (h *GetTopicsByClusterHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *GetTopicsByClusterHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "GetTopicsByClusterRequestHeader", h.walk)
}

// GetConsumeStatsHeader asks for the offsets of a group (208). TopicList is joined with ;.
type GetConsumeStatsHeader struct {
	ConsumerGroup string
	Topic         string
	TopicList     string
}

func (h *GetConsumeStatsHeader) walk(k *codec) {
	k.str("consumerGroup", &h.ConsumerGroup, required)
	k.str("topic", &h.Topic, optional)
	k.str("topicList", &h.TopicList, optional)
}

// Encode writes the header into c.
func (h *GetConsumeStatsHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *GetConsumeStatsHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "GetConsumeStatsRequestHeader", h.walk)
}

// PageHeader asks for a page of GetAllTopicConfig (21). A zero value asks for everything.
type PageHeader struct {
	TopicSeq    int32
	DataVersion string
	MaxTopicNum int32
}

func (h *PageHeader) walk(k *codec) {
	k.int32("topicSeq", &h.TopicSeq, optional)
	k.str("dataVersion", &h.DataVersion, optional)
	k.int32("maxTopicNum", &h.MaxTopicNum, optional)
}

// Encode writes the header into c.
func (h *PageHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *PageHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "GetAllTopicConfigRequestHeader", h.walk)
}

// PageResponseHeader answers with the count of all.
type PageResponseHeader struct {
	TotalTopicNum int32
}

func (h *PageResponseHeader) walk(k *codec) {
	k.int32("totalTopicNum", &h.TotalTopicNum, optional)
}

// Encode writes the header into c.
func (h *PageResponseHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *PageResponseHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "GetAllTopicConfigResponseHeader", h.walk)
}

// GroupPageHeader asks for a page of GetAllSubscriptionGroupConfig (201). A zero value asks for everything.
type GroupPageHeader struct {
	GroupSeq    int32
	DataVersion string
	MaxGroupNum int32
}

func (h *GroupPageHeader) walk(k *codec) {
	k.int32("groupSeq", &h.GroupSeq, optional)
	k.str("dataVersion", &h.DataVersion, optional)
	k.int32("maxGroupNum", &h.MaxGroupNum, optional)
}

// Encode writes the header into c.
func (h *GroupPageHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *GroupPageHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "GetAllSubscriptionGroupRequestHeader", h.walk)
}

// GroupPageResponseHeader answers with the count of all.
type GroupPageResponseHeader struct {
	TotalGroupNum int32
}

func (h *GroupPageResponseHeader) walk(k *codec) {
	k.int32("totalGroupNum", &h.TotalGroupNum, optional)
}

// Encode writes the header into c.
func (h *GroupPageResponseHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *GroupPageResponseHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "GetAllSubscriptionGroupResponseHeader", h.walk)
}

// GetBrokerConfigResponseHeader answers GetBrokerConfig (26); Version is a DataVersion in JSON.
type GetBrokerConfigResponseHeader struct {
	Version string
}

func (h *GetBrokerConfigResponseHeader) walk(k *codec) {
	k.str("version", &h.Version, required)
}

// Encode writes the header into c.
func (h *GetBrokerConfigResponseHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *GetBrokerConfigResponseHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "GetBrokerConfigResponseHeader", h.walk)
}
