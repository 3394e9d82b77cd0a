package protocol

import "github.com/millrace/millrace/remoting"

// QueryConsumerOffsetHeader asks how far a group is (14).
type QueryConsumerOffsetHeader struct {
	ConsumerGroup     string
	Topic             string
	QueueID           int32
	SetZeroIfNotFound bool
}

func (h *QueryConsumerOffsetHeader) walk(k *codec) {
	k.str("consumerGroup", &h.ConsumerGroup, required)
	k.str("topic", &h.Topic, required)
	k.int32("queueId", &h.QueueID, required)
	k.bool("setZeroIfNotFound", &h.SetZeroIfNotFound, optional)
}

// Encode writes the header into c.
func (h *QueryConsumerOffsetHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *QueryConsumerOffsetHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "QueryConsumerOffsetRequestHeader", h.walk)
}

// UpdateConsumerOffsetHeader says how far a group is (15).
type UpdateConsumerOffsetHeader struct {
	ConsumerGroup string
	Topic         string
	QueueID       int32
	CommitOffset  int64
}

func (h *UpdateConsumerOffsetHeader) walk(k *codec) {
	k.str("consumerGroup", &h.ConsumerGroup, required)
	k.str("topic", &h.Topic, required)
	k.int32("queueId", &h.QueueID, required)
	k.int64("commitOffset", &h.CommitOffset, required)
}

// Encode writes the header into c.
func (h *UpdateConsumerOffsetHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *UpdateConsumerOffsetHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "UpdateConsumerOffsetRequestHeader", h.walk)
}

// SearchOffsetHeader asks for the offset at a time (29). BoundaryType is LOWER (the default) or UPPER.
type SearchOffsetHeader struct {
	Topic        string
	QueueID      int32
	Timestamp    int64
	BoundaryType string
}

func (h *SearchOffsetHeader) walk(k *codec) {
	k.str("topic", &h.Topic, required)
	k.int32("queueId", &h.QueueID, required)
	k.int64("timestamp", &h.Timestamp, required)
	k.str("boundaryType", &h.BoundaryType, optional)
}

// Encode writes the header into c.
func (h *SearchOffsetHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *SearchOffsetHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "SearchOffsetRequestHeader", h.walk)
}

// QueueHeader names a queue: GetMaxOffset (30), GetMinOffset (31), GetEarliestMsgStoreTime (32).
type QueueHeader struct {
	Topic     string
	QueueID   int32
	Committed bool
}

func (h *QueueHeader) walk(k *codec) {
	k.str("topic", &h.Topic, required)
	k.int32("queueId", &h.QueueID, required)
	k.bool("committed", &h.Committed, optional)
}

// Encode writes the header into c.
func (h *QueueHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *QueueHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "GetMaxOffsetRequestHeader", h.walk)
}

// OffsetResponseHeader answers 14, 29, 30 and 31.
type OffsetResponseHeader struct {
	Offset int64
}

func (h *OffsetResponseHeader) walk(k *codec) {
	k.int64("offset", &h.Offset, required)
}

// Encode writes the header into c.
func (h *OffsetResponseHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *OffsetResponseHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "GetMaxOffsetResponseHeader", h.walk)
}

// TimestampResponseHeader answers 32; -1 for none.
type TimestampResponseHeader struct {
	Timestamp int64
}

func (h *TimestampResponseHeader) walk(k *codec) {
	k.int64("timestamp", &h.Timestamp, required)
}

// Encode writes the header into c.
func (h *TimestampResponseHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *TimestampResponseHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "GetEarliestMsgStoretimeResponseHeader", h.walk)
}
