package protocol

import "github.com/millrace/millrace/remoting"

// UnregisterClientHeader says good-bye for a client (35).
type UnregisterClientHeader struct {
	ClientID      string
	ProducerGroup string
	ConsumerGroup string
}

func (h *UnregisterClientHeader) walk(k *codec) {
	k.str("clientID", &h.ClientID, required)
	k.str("producerGroup", &h.ProducerGroup, optional)
	k.str("consumerGroup", &h.ConsumerGroup, optional)
}

// Encode writes the header into c.
func (h *UnregisterClientHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *UnregisterClientHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "UnregisterClientRequestHeader", h.walk)
}

// ConsumerSendMsgBackHeader gives a message back to be tried again (36).
type ConsumerSendMsgBackHeader struct {
	Offset            int64 // in the commit log
	Group             string
	DelayLevel        int32
	OriginMsgID       string
	OriginTopic       string
	UnitMode          bool
	MaxReconsumeTimes OptInt32
}

func (h *ConsumerSendMsgBackHeader) walk(k *codec) {
	k.int64("offset", &h.Offset, required)
	k.str("group", &h.Group, required)
	k.int32("delayLevel", &h.DelayLevel, required)
	k.str("originMsgId", &h.OriginMsgID, optional)
	k.str("originTopic", &h.OriginTopic, optional)
	k.bool("unitMode", &h.UnitMode, optional)
	k.optInt32("maxReconsumeTimes", &h.MaxReconsumeTimes)
}

// Encode writes the header into c.
func (h *ConsumerSendMsgBackHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *ConsumerSendMsgBackHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "ConsumerSendMsgBackRequestHeader", h.walk)
}

// ConsumerGroupHeader names a consumer group: GetConsumerListByGroup (38), NotifyConsumerIDsChanged (40), GetConsumerConnectionList (203).
type ConsumerGroupHeader struct {
	ConsumerGroup string
}

func (h *ConsumerGroupHeader) walk(k *codec) {
	k.str("consumerGroup", &h.ConsumerGroup, required)
}

// Encode writes the header into c.
func (h *ConsumerGroupHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *ConsumerGroupHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "GetConsumerListByGroupRequestHeader", h.walk)
}

// ProducerGroupHeader names a producer group (204).
type ProducerGroupHeader struct {
	ProducerGroup string
}

func (h *ProducerGroupHeader) walk(k *codec) {
	k.str("producerGroup", &h.ProducerGroup, required)
}

// Encode writes the header into c.
func (h *ProducerGroupHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *ProducerGroupHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "GetProducerConnectionListRequestHeader", h.walk)
}

// GroupHeader names a group (343, 352).
type GroupHeader struct {
	Group string
}

func (h *GroupHeader) walk(k *codec) {
	k.str("group", &h.Group, required)
}

// Encode writes the header into c.
func (h *GroupHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *GroupHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "QueryTopicsByConsumerRequestHeader", h.walk)
}

// DeleteSubscriptionGroupHeader removes a group (207).
type DeleteSubscriptionGroupHeader struct {
	GroupName   string
	CleanOffset bool
}

func (h *DeleteSubscriptionGroupHeader) walk(k *codec) {
	k.str("groupName", &h.GroupName, required)
	k.bool("cleanOffset", &h.CleanOffset, optional)
}

// Encode writes the header into c.
func (h *DeleteSubscriptionGroupHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *DeleteSubscriptionGroupHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "DeleteSubscriptionGroupRequestHeader", h.walk)
}
