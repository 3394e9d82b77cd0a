package client

import (
	"errors"
	"fmt"

	"github.com/millrace/millrace/message"
)

// ReceivedMessage is a stored message as a consumer sees it. Body and Properties share
// the memory of the answer that brought it: they stay valid as long as they are kept,
// must not be written to, and keep that whole answer in memory. A compressed body was
// decompressed into memory of its own.
type ReceivedMessage struct {
	message.Record
	BrokerName string
}

// Queue is the queue that the message is in.
func (m *ReceivedMessage) Queue() message.Queue {
	return message.Queue{Topic: m.Topic, BrokerName: m.BrokerName, QueueID: m.QueueID}
}

// ID is the id that the producer gave the message, or else the one of its place.
func (m *ReceivedMessage) ID() string {
	if id, ok := m.Property(message.PropertyUniqueKey); ok {
		return id
	}
	return message.OffsetMsgID(m.StoreHost, m.PhysicalOffset)
}

// Tags is the message's tag.
func (m *ReceivedMessage) Tags() string {
	t, _ := m.Property(message.PropertyTags)
	return t
}

// SendStatus is how safe a message is that a broker took.
type SendStatus int

// The broker stored the message in every case; below SendOK the guarantee that it is
// configured for did not hold in time.
const (
	SendOK SendStatus = iota
	SendFlushDiskTimeout
	SendFlushSlaveTimeout
	SendSlaveNotAvailable
)

// SendResult says where a message is.
type SendResult struct {
	Status        SendStatus
	MsgID         string // the producer's id
	OffsetMsgID   string // the broker's
	Queue         message.Queue
	QueueOffset   int64
	TransactionID string
}

// errBody says that a message's body cannot be decompressed.
var errBody = errors.New("its body cannot be read")

// parseMessages decodes an answer's records into room, or into memory of its own where there
// is none or too little. Their bytes are shared with body. With errBody come the messages
// before the one that it names.
func parseMessages(body []byte, broker string, decompress bool, room []ReceivedMessage) ([]ReceivedMessage, error) {
	out := room[:0]
	if cap(out) == 0 { // room that was used before is grown where it has to be: counting takes longer
		out = make([]ReceivedMessage, 0, countRecords(body))
	}
	for at := 0; at < len(body); {
		out = append(out, ReceivedMessage{BrokerName: broker})
		r := &out[len(out)-1].Record
		n, err := r.Parse(body[at:])
		if err != nil {
			return nil, fmt.Errorf("decode the answer's message %d at byte %d: %w", len(out)-1, at, err)
		}
		at += n
		if decompress && r.SysFlag&message.SysCompressed != 0 {
			if r.Body, err = message.Decompress(r.Body, r.SysFlag); err != nil {
				return out[:len(out)-1], fmt.Errorf("message at offset %d: %w: %w", r.QueueOffset, errBody, err)
			}
		}
	}
	return out, nil
}

// countRecords is how many records body holds, if it holds nothing else. It is never more
// than fit in.
func countRecords(body []byte) (n int) {
	for len(body) > 0 {
		size, _, err := message.ParseHead(body)
		if err != nil || size > len(body) {
			break
		}
		n, body = n+1, body[size:]
	}
	return n
}
