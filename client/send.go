package client

import (
	"context"
	"fmt"
	"time"

	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

// defaultTopicQueues is how many queues a topic gets that a send creates.
const defaultTopicQueues = 4

// outgoing is a message on its way: everything but the queue is settled, so that an
// attempt at another broker costs one header.
type outgoing struct {
	topic      string
	group      string
	id         string
	flag       int32
	sysFlag    int32
	body       []byte
	properties string
	born       int64
	batch      bool
}

func (o *outgoing) size() int64 { return int64(len(o.body) + len(o.properties)) }

// request builds the send for one queue.
func (o *outgoing) request(q message.Queue) *remoting.Command {
	code := protocol.SendMessageV2
	if o.batch {
		code = protocol.SendBatchMessage
	}
	req := remoting.NewRequest(code)
	h := protocol.SendHeader{
		ProducerGroup: o.group, Topic: o.topic,
		DefaultTopic: message.TopicAutoCreate, DefaultTopicQueueNums: defaultTopicQueues,
		QueueID: q.QueueID, SysFlag: o.sysFlag, BornTimestamp: o.born, Flag: o.flag,
		Properties: o.properties, Batch: o.batch, BrokerName: q.BrokerName,
	}
	h.Encode(req)
	req.Body = o.body
	return req
}

func (c *sendConfig) outgoing(topic, group, id string) outgoing {
	return outgoing{topic: topic, group: group, id: id, born: time.Now().UnixMilli()}
}

// prepare checks a message and encodes what all attempts share. The body is shared with
// m unless it is compressed here. extra properties are added behind m's own.
func (c *sendConfig) prepare(m *message.Message, group, id string, extra []remoting.Field) (outgoing, error) {
	o := c.outgoing(m.Topic, group, id)
	o.flag, o.sysFlag, o.body = m.Flag, m.SysFlag, m.Body
	if err := c.check(m); err != nil {
		return o, err
	}
	if c.compressFrom >= 0 && len(m.Body) >= c.compressFrom && len(m.Body) > 0 && m.SysFlag&message.SysCompressed == 0 {
		small, err := message.Compress(m.Body, c.compression)
		if err != nil {
			return o, fmt.Errorf("send to %s: %w", m.Topic, err)
		}
		if len(small) < len(m.Body) {
			o.body, o.sysFlag = small, message.WithCompression(o.sysFlag, c.compression)
		}
	}
	p, err := encodeProperties(m, id, extra)
	if err != nil {
		return o, fmt.Errorf("send to %s: %w", m.Topic, err)
	}
	o.properties = string(p)
	return o, nil
}

// check refuses what no broker would take, before anything is sent.
func (c *sendConfig) check(m *message.Message) error {
	if err := message.CheckTopic(m.Topic); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	if len(m.Body) == 0 {
		return fmt.Errorf("send to %s: the body is empty", m.Topic)
	}
	if len(m.Body) > c.maxBody {
		return fmt.Errorf("send to %s: the body has %d bytes, the limit is %d", m.Topic, len(m.Body), c.maxBody)
	}
	return nil
}

// encodeProperties writes m's properties, the id and extra. extra's names win over m's.
func encodeProperties(m *message.Message, id string, extra []remoting.Field) ([]byte, error) {
	n := len(message.PropertyUniqueKey) + len(id) + 2
	for k, v := range m.Properties {
		if err := message.CheckProperty(k, v); err != nil {
			return nil, err
		}
		n += len(k) + len(v) + 2
	}
	for _, f := range extra {
		n += len(f.Key) + len(f.Value) + 2
	}
	if n > message.MaxPropertiesLen {
		return nil, fmt.Errorf("properties of %d bytes, the limit is %d", n, message.MaxPropertiesLen)
	}
	dst := make([]byte, 0, n)
	if id != "" {
		dst = message.AppendProperty(dst, message.PropertyUniqueKey, id)
	}
next:
	for k, v := range m.Properties {
		if k == message.PropertyUniqueKey && id != "" {
			continue
		}
		for _, f := range extra {
			if f.Key == k {
				continue next
			}
		}
		dst = message.AppendProperty(dst, k, v)
	}
	for _, f := range extra {
		if f.Value != "" {
			dst = message.AppendProperty(dst, f.Key, f.Value)
		}
	}
	return dst, nil
}

// parseSendAnswer reads where the broker put a message. The answer's code is one of the
// four that say it was stored.
func parseSendAnswer(ans *remoting.Command, o *outgoing, q message.Queue) (SendResult, error) {
	r := SendResult{MsgID: o.id, Queue: q}
	switch ans.Code {
	case protocol.Success:
	case protocol.FlushDiskTimeout:
		r.Status = SendFlushDiskTimeout
	case protocol.FlushSlaveTimeout:
		r.Status = SendFlushSlaveTimeout
	case protocol.SlaveNotAvailable:
		r.Status = SendSlaveNotAvailable
	default:
		return r, protocol.AsError(ans)
	}
	var h protocol.SendResponseHeader
	if err := h.Decode(ans); err != nil {
		return r, fmt.Errorf("%w: the message was stored, but the answer does not say where: %w", ErrUncertain, err)
	}
	r.OffsetMsgID, r.TransactionID = h.MsgID, h.TransactionID
	r.Queue.QueueID, r.QueueOffset = h.QueueID, h.QueueOffset
	return r, nil
}

// await turns a callback into a wait. The callback may come after ctx ended: then the
// outcome is unknown.
type await[T any] struct {
	c chan awaited[T]
}

type awaited[T any] struct {
	value T
	err   error
}

func newAwait[T any]() await[T] { return await[T]{make(chan awaited[T], 1)} }

func (a await[T]) done(v T, err error) { a.c <- awaited[T]{v, err} }

func (a await[T]) wait(ctx context.Context) (T, error) {
	select {
	case r := <-a.c:
		return r.value, r.err
	case <-ctx.Done():
	}
	select {
	case r := <-a.c:
		return r.value, r.err
	default:
	}
	var zero T
	return zero, fmt.Errorf("%w: %w", ErrUncertain, ctx.Err())
}
