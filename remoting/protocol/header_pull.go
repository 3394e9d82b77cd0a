package protocol

import "github.com/millrace/millrace/remoting"

// PullHeader asks for messages of a queue (11, 361).
type PullHeader struct {
	ConsumerGroup        string
	Topic                string
	QueueID              int32
	QueueOffset          int64
	MaxMsgNums           int32
	SysFlag              int32 // PullFlag bits
	CommitOffset         int64
	SuspendTimeoutMillis int64
	Subscription         string
	SubVersion           int64
	ExpressionType       string
	MaxMsgBytes          int32
	RequestSource        int32
	ProxyForwardClientID string // spelled so on the wire
}

func (h *PullHeader) walk(k *codec) {
	k.str("consumerGroup", &h.ConsumerGroup, required)
	k.str("topic", &h.Topic, required)
	k.int32("queueId", &h.QueueID, required)
	k.int64("queueOffset", &h.QueueOffset, required)
	k.int32("maxMsgNums", &h.MaxMsgNums, required)
	k.int32("sysFlag", &h.SysFlag, required)
	k.int64("commitOffset", &h.CommitOffset, required)
	k.int64("suspendTimeoutMillis", &h.SuspendTimeoutMillis, required)
	k.str("subscription", &h.Subscription, optional)
	k.int64("subVersion", &h.SubVersion, required)
	k.str("expressionType", &h.ExpressionType, optional)
	k.int32("maxMsgBytes", &h.MaxMsgBytes, optional)
	k.int32("requestSource", &h.RequestSource, optional)
	k.str("proxyFrowardClientId", &h.ProxyForwardClientID, optional)
}

// Encode writes the header into c.
func (h *PullHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *PullHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "PullMessageRequestHeader", h.walk)
}

// PullResponseHeader answers a pull, whatever its code.
type PullResponseHeader struct {
	SuggestWhichBrokerID int64
	NextBeginOffset      int64
	MinOffset            int64
	MaxOffset            int64
	OffsetDelta          int64
	TopicSysFlag         int32
	GroupSysFlag         int32
	ForbiddenType        int32
}

func (h *PullResponseHeader) walk(k *codec) {
	k.int64("suggestWhichBrokerId", &h.SuggestWhichBrokerID, required)
	k.int64("nextBeginOffset", &h.NextBeginOffset, required)
	k.int64("minOffset", &h.MinOffset, required)
	k.int64("maxOffset", &h.MaxOffset, required)
	k.int64("offsetDelta", &h.OffsetDelta, optional)
	k.int32("topicSysFlag", &h.TopicSysFlag, optional)
	k.int32("groupSysFlag", &h.GroupSysFlag, optional)
	k.int32("forbiddenType", &h.ForbiddenType, optional)
}

// Encode writes the header into c.
func (h *PullResponseHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *PullResponseHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "PullMessageResponseHeader", h.walk)
}

// QueryMessageHeader asks for messages by key (12). The ext field UniqueKeyQuery says that the key is a UNIQ_KEY.
type QueryMessageHeader struct {
	Topic          string
	Key            string
	MaxNum         int32
	BeginTimestamp int64
	EndTimestamp   int64
	IndexType      string
	LastKey        string
	UniqueKeyQuery bool
}

func (h *QueryMessageHeader) walk(k *codec) {
	k.str("topic", &h.Topic, required)
	k.str("key", &h.Key, required)
	k.int32("maxNum", &h.MaxNum, required)
	k.int64("beginTimestamp", &h.BeginTimestamp, required)
	k.int64("endTimestamp", &h.EndTimestamp, required)
	k.str("indexType", &h.IndexType, optional)
	k.str("lastKey", &h.LastKey, optional)
	k.bool("_UNIQUE_KEY_QUERY", &h.UniqueKeyQuery, optional)
}

// Encode writes the header into c.
func (h *QueryMessageHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *QueryMessageHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "QueryMessageRequestHeader", h.walk)
}

// QueryMessageResponseHeader answers QueryMessage.
type QueryMessageResponseHeader struct {
	IndexLastUpdateTimestamp int64
	IndexLastUpdatePhyOffset int64
}

func (h *QueryMessageResponseHeader) walk(k *codec) {
	k.int64("indexLastUpdateTimestamp", &h.IndexLastUpdateTimestamp, required)
	k.int64("indexLastUpdatePhyoffset", &h.IndexLastUpdatePhyOffset, required)
}

// Encode writes the header into c.
func (h *QueryMessageResponseHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *QueryMessageResponseHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "QueryMessageResponseHeader", h.walk)
}

// ViewMessageHeader asks for the message at a place of the log (33).
type ViewMessageHeader struct {
	Topic  string
	Offset int64
}

func (h *ViewMessageHeader) walk(k *codec) {
	k.str("topic", &h.Topic, optional)
	k.int64("offset", &h.Offset, required)
}

// Encode writes the header into c.
func (h *ViewMessageHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *ViewMessageHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "ViewMessageRequestHeader", h.walk)
}
