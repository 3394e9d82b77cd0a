package protocol

import "github.com/millrace/millrace/remoting"

// SendHeader comes with a message (10, 310, 320, 324, 325). The codes of the
// V2 family and batches abbreviate its names to letters.
type SendHeader struct {
	ProducerGroup         string
	Topic                 string
	DefaultTopic          string
	DefaultTopicQueueNums int32
	QueueID               int32 // below 0: the broker chooses
	SysFlag               int32
	BornTimestamp         int64
	Flag                  int32
	Properties            string // raw
	ReconsumeTimes        int32
	UnitMode              bool
	MaxReconsumeTimes     OptInt32
	Batch                 bool
	BrokerName            string
}

// IsAbbreviated tells the codes whose send header has one-letter names.
func IsAbbreviated(code int) bool {
	return code == SendMessageV2 || code == SendBatchMessage || code == SendReplyMessageV2
}

// DecodeSend reads the header of any send request.
func DecodeSend(c *remoting.Command) (SendHeader, error) {
	var h SendHeader
	err := h.Decode(c)
	return h, err
}

// Encode writes the header into c in the form that c's code has.
func (h *SendHeader) Encode(c *remoting.Command) {
	c.Ext.Grow(14)
	if IsAbbreviated(c.Code) {
		encodeHeader(c, h.walkV2)
		return
	}
	encodeHeader(c, h.walk)
}

// Decode reads the header of c in the form that c's code has.
func (h *SendHeader) Decode(c *remoting.Command) error {
	if IsAbbreviated(c.Code) {
		return decodeHeader(c, "SendMessageRequestHeaderV2", h.walkV2)
	}
	return decodeHeader(c, "SendMessageRequestHeader", h.walk)
}

func (h *SendHeader) walk(k *codec) {
	k.str("producerGroup", &h.ProducerGroup, required)
	k.str("topic", &h.Topic, required)
	k.str("defaultTopic", &h.DefaultTopic, required)
	k.int32("defaultTopicQueueNums", &h.DefaultTopicQueueNums, required)
	k.int32("queueId", &h.QueueID, required)
	k.int32("sysFlag", &h.SysFlag, required)
	k.int64("bornTimestamp", &h.BornTimestamp, required)
	k.int32("flag", &h.Flag, required)
	k.str("properties", &h.Properties, optional)
	k.int32("reconsumeTimes", &h.ReconsumeTimes, optional)
	k.bool("unitMode", &h.UnitMode, optional)
	k.optInt32("maxReconsumeTimes", &h.MaxReconsumeTimes)
	k.bool("batch", &h.Batch, optional)
	k.str("bname", &h.BrokerName, optional)
}

func (h *SendHeader) walkV2(k *codec) {
	k.str("a", &h.ProducerGroup, required)
	k.str("b", &h.Topic, required)
	k.str("c", &h.DefaultTopic, required)
	k.int32("d", &h.DefaultTopicQueueNums, required)
	k.int32("e", &h.QueueID, required)
	k.int32("f", &h.SysFlag, required)
	k.int64("g", &h.BornTimestamp, required)
	k.int32("h", &h.Flag, required)
	k.str("i", &h.Properties, optional)
	k.int32("j", &h.ReconsumeTimes, optional)
	k.bool("k", &h.UnitMode, optional)
	k.optInt32("l", &h.MaxReconsumeTimes)
	k.bool("m", &h.Batch, optional)
	k.str("n", &h.BrokerName, optional)
}

// SendResponseHeader answers a send.
type SendResponseHeader struct {
	MsgID         string // offset id; of a batch, all of them joined by commas
	QueueID       int32
	QueueOffset   int64 // of a batch, the first one's
	TransactionID string
	BatchUniqID   string
	RecallHandle  string
	// Java clients read these two and fail without them; Encode writes
	// DefaultRegion and true for their zero values.
	MsgRegion string
	TraceOff  bool
}

// DefaultRegion is the region of brokers that were given none.
const DefaultRegion = "DefaultRegion"

// Encode writes the header into c.
func (h *SendResponseHeader) Encode(c *remoting.Command) {
	c.Ext.Grow(7)
	encodeHeader(c, h.walk)
	region, trace := h.MsgRegion, "true"
	if region == "" {
		region = DefaultRegion
	}
	if h.TraceOff {
		trace = "false"
	}
	c.Ext.Set("MSG_REGION", region)
	c.Ext.Set("TRACE_ON", trace)
}

// Decode reads the header of c.
func (h *SendResponseHeader) Decode(c *remoting.Command) error {
	h.MsgRegion, _ = c.Ext.Get("MSG_REGION")
	trace, _ := c.Ext.Get("TRACE_ON")
	h.TraceOff = trace == "false"
	return decodeHeader(c, "SendMessageResponseHeader", h.walk)
}

func (h *SendResponseHeader) walk(k *codec) {
	k.str("msgId", &h.MsgID, required)
	k.int32("queueId", &h.QueueID, required)
	k.int64("queueOffset", &h.QueueOffset, required)
	k.str("transactionId", &h.TransactionID, optional)
	k.str("batchUniqId", &h.BatchUniqID, optional)
	k.str("recallHandle", &h.RecallHandle, optional)
}
