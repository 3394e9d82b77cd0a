package processor

import (
	"context"
	"fmt"
	"time"

	"github.com/millrace/millrace/broker/offsets"
	"github.com/millrace/millrace/broker/store"
	"github.com/millrace/millrace/broker/topics"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting/protocol"
	"github.com/millrace/millrace/remoting/rpc"
)

// queryConsumerOffset answers 14. A group that never committed reads a small topic from
// its beginning, whatever it is configured to; for others it hears 22 and decides itself.
func (p *Processor) queryConsumerOffset(x *rpc.Exchange) {
	var h protocol.QueryConsumerOffsetHeader
	if !p.decoded(x, &h) {
		return
	}
	if offset, ok := p.Offsets.Get(offsets.Key{Topic: h.Topic, Group: h.ConsumerGroup}, h.QueueID); ok {
		p.replyHeader(x, &protocol.OffsetResponseHeader{Offset: offset})
		return
	}
	lowest, _, _ := p.Store.QueueRange(h.Topic, h.QueueID)
	if zero, said := x.Request().Ext.Get("setZeroIfNotFound"); lowest > 0 || said && zero == "false" || !p.isHot(h.Topic, h.QueueID) {
		p.replyError(x, refuse(protocol.QueryNotFound, "Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first"))
		return
	}
	p.replyHeader(x, &protocol.OffsetResponseHeader{})
}

// hotBytes is how near to the end of the log a queue must begin to count as small.
const hotBytes = 4 << 30

// isHot tells whether a queue's first message is recent, or there is none.
func (p *Processor) isHot(topic string, queue int32) bool {
	r, err := p.Store.Get(topic, queue, 0, store.GetOptions{MaxMsgs: 1})
	if err != nil {
		return false
	}
	return r.Count == 0 || p.Store.MaxPhysical()-r.LastPhysical <= hotBytes
}

// updateConsumerOffset answers 15.
func (p *Processor) updateConsumerOffset(x *rpc.Exchange) {
	var h protocol.UpdateConsumerOffsetHeader
	if !p.decoded(x, &h) {
		return
	}
	if err := p.commit(h.ConsumerGroup, h.Topic, h.QueueID, h.CommitOffset); err != nil {
		p.replyError(x, err)
		return
	}
	p.replyOK(x)
}

// queue checks that a queue exists.
func (p *Processor) queue(topic string, queue int32) (*topics.Config, error) {
	t, ok := p.Topics.Get(topic)
	if !ok {
		return nil, refuse(protocol.TopicNotExist, "topic[%.300s] not exist", topic)
	}
	if queue < 0 || queue >= t.Queues() {
		return nil, refuse(protocol.InvalidParameter, "queueId[%d] is illegal, topic %s has %d queues", queue, topic, t.Queues())
	}
	return t, nil
}

// searchOffset answers 29.
func (p *Processor) searchOffset(x *rpc.Exchange) {
	var h protocol.SearchOffsetHeader
	if !p.decoded(x, &h) {
		return
	}
	boundary := store.Lower
	if h.BoundaryType == protocol.BoundaryUpper {
		boundary = store.Upper
	}
	_, err := p.queue(h.Topic, h.QueueID)
	var offset int64
	if err == nil {
		offset, err = p.Store.OffsetByTime(h.Topic, h.QueueID, h.Timestamp, boundary)
	}
	if err != nil {
		p.replyError(x, err)
		return
	}
	p.replyHeader(x, &protocol.OffsetResponseHeader{Offset: offset})
}

// maxOffset answers 30: the offset behind the last message that can be read.
//
// An end that is read behind an acknowledgement has to count what was acknowledged, so
// that the answer waits, off the connection's reader, for the consume queues to catch up
// with what is flushed.
func (p *Processor) maxOffset(x *rpc.Exchange) {
	answer := func() { p.queueOffset(x, func(_, end int64) int64 { return end }) }
	flushed := p.Store.FlushedPhysical()
	if p.Store.DispatchedPhysical() >= flushed {
		answer()
		return
	}
	p.resumed.Add(1)
	go func() {
		defer p.resumed.Done()
		ctx, cancel := context.WithTimeout(context.Background(), catchUp)
		defer cancel()
		if err := p.Store.WaitDispatched(ctx, flushed); err != nil {
			p.replyError(x, fmt.Errorf("the end of the queue is not known yet: %w", err))
			return
		}
		answer()
	}()
}

// catchUp bounds how long an answer waits for the consume queues.
const catchUp = 3 * time.Second

// minOffset answers 31.
func (p *Processor) minOffset(x *rpc.Exchange) {
	p.queueOffset(x, func(lowest, _ int64) int64 { return lowest })
}

func (p *Processor) queueOffset(x *rpc.Exchange, choose func(lowest, end int64) int64) {
	var h protocol.QueueHeader
	if !p.decoded(x, &h) {
		return
	}
	if _, err := p.queue(h.Topic, h.QueueID); err != nil {
		p.replyError(x, err)
		return
	}
	lowest, end, _ := p.Store.QueueRange(h.Topic, h.QueueID)
	p.replyHeader(x, &protocol.OffsetResponseHeader{Offset: choose(lowest, end)})
}

// earliestStoreTime answers 32.
func (p *Processor) earliestStoreTime(x *rpc.Exchange) {
	var h protocol.QueueHeader
	if !p.decoded(x, &h) {
		return
	}
	_, err := p.queue(h.Topic, h.QueueID)
	at := int64(-1)
	if err == nil {
		at, err = p.Store.EarliestMessageTime(h.Topic, h.QueueID)
	}
	if err != nil {
		p.replyError(x, err)
		return
	}
	p.replyHeader(x, &protocol.TimestampResponseHeader{Timestamp: at})
}

// viewMessage answers 33 with the record at a place of the log.
func (p *Processor) viewMessage(x *rpc.Exchange) {
	var h protocol.ViewMessageHeader
	if !p.decoded(x, &h) {
		return
	}
	rec, raw, err := p.Store.ReadRecord(h.Offset)
	if err != nil {
		p.replyError(x, refuse(protocol.SystemError, "can not find message by offset: %d: %v", h.Offset, err))
		return
	}
	if message.IsSystemTopic(rec.Topic) || h.Topic != "" && h.Topic != rec.Topic {
		p.replyError(x, refuse(protocol.SystemError, "can not find message by offset: %d: it is not one of topic %.300s", h.Offset, h.Topic))
		return
	}
	p.replyBytes(x, raw)
}

// allConsumerOffsets answers 43.
func (p *Processor) allConsumerOffsets(x *rpc.Exchange) {
	b, err := p.Offsets.Encode()
	if err != nil {
		p.replyError(x, err)
		return
	}
	p.replyBytes(x, b)
}
