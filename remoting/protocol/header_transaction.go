package protocol

import "github.com/millrace/millrace/remoting"

// EndTransactionHeader decides a half message (37).
type EndTransactionHeader struct {
	Topic                string
	ProducerGroup        string
	TranStateTableOffset int64 // in the half queue
	CommitLogOffset      int64
	CommitOrRollback     int32 // message.Transaction states
	FromTransactionCheck bool
	MsgID                string
	TransactionID        string
	BrokerName           string
}

func (h *EndTransactionHeader) walk(k *codec) {
	k.str("topic", &h.Topic, optional)
	k.str("producerGroup", &h.ProducerGroup, required)
	k.int64("tranStateTableOffset", &h.TranStateTableOffset, required)
	k.int64("commitLogOffset", &h.CommitLogOffset, required)
	k.int32("commitOrRollback", &h.CommitOrRollback, required)
	k.bool("fromTransactionCheck", &h.FromTransactionCheck, optional)
	k.str("msgId", &h.MsgID, required)
	k.str("transactionId", &h.TransactionID, optional)
	k.str("bname", &h.BrokerName, optional)
}

// Encode writes the header into c.
func (h *EndTransactionHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *EndTransactionHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "EndTransactionRequestHeader", h.walk)
}

// CheckTransactionStateHeader asks a producer for its decision (39); the body is the half message.
type CheckTransactionStateHeader struct {
	Topic                string
	TranStateTableOffset int64
	CommitLogOffset      int64
	MsgID                string
	TransactionID        string
	OffsetMsgID          string
	BrokerName           string
}

func (h *CheckTransactionStateHeader) walk(k *codec) {
	k.str("topic", &h.Topic, optional)
	k.int64("tranStateTableOffset", &h.TranStateTableOffset, required)
	k.int64("commitLogOffset", &h.CommitLogOffset, required)
	k.str("msgId", &h.MsgID, optional)
	k.str("transactionId", &h.TransactionID, optional)
	k.str("offsetMsgId", &h.OffsetMsgID, optional)
	k.str("bname", &h.BrokerName, optional)
}

// Encode writes the header into c.
func (h *CheckTransactionStateHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *CheckTransactionStateHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "CheckTransactionStateRequestHeader", h.walk)
}
