package processor

import (
	"context"
	"fmt"
	"time"

	"github.com/millrace/millrace/broker/offsets"
	"github.com/millrace/millrace/broker/store"
	"github.com/millrace/millrace/broker/topics"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

// queryConsumerOffset answers 14. A group that never committed reads a small topic from
// its beginning, whatever it is configured to; for others it hears 22 and decides itself.
func (p *Processor) queryConsumerOffset(x call) (*remoting.Command, error) {
	var h protocol.QueryConsumerOffsetHeader
	if err := decode(x, &h); err != nil {
		return nil, err
	}
	if offset, ok := p.Offsets.Get(offsets.Key{Topic: h.Topic, Group: h.ConsumerGroup}, h.QueueID); ok {
		return answerHeader(&protocol.OffsetResponseHeader{Offset: offset}), nil
	}
	lowest, _, _ := p.Store.QueueRange(h.Topic, h.QueueID)
	if zero, said := x.Request().Ext.Get("setZeroIfNotFound"); lowest > 0 || said && zero == "false" || !p.isHot(h.Topic, h.QueueID) {
		return nil, refuse(protocol.QueryNotFound, "Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first")
	}
	return answerHeader(&protocol.OffsetResponseHeader{}), nil
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
func (p *Processor) updateConsumerOffset(x call) (*remoting.Command, error) {
	var h protocol.UpdateConsumerOffsetHeader
	if err := decode(x, &h); err != nil {
		return nil, err
	}
	if err := p.commit(h.ConsumerGroup, h.Topic, h.QueueID, h.CommitOffset); err != nil {
		return nil, err
	}
	return answerOK(), nil
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
func (p *Processor) searchOffset(x call) (*remoting.Command, error) {
	var h protocol.SearchOffsetHeader
	if err := decode(x, &h); err != nil {
		return nil, err
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
		return nil, err
	}
	return answerHeader(&protocol.OffsetResponseHeader{Offset: offset}), nil
}

// maxOffset answers 30: the offset behind the last message that can be read.
//
// An end that is read behind an acknowledgement has to count what was acknowledged, so
// that the answer waits, off the connection's reader, for the consume queues to catch up
// with what is flushed.
func (p *Processor) maxOffset(x call) (*remoting.Command, error) {
	end := func(_, end int64) int64 { return end }
	flushed := p.Store.FlushedPhysical()
	if p.Store.DispatchedPhysical() >= flushed {
		return p.queueOffset(x, end)
	}
	p.resumed.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), catchUp)
		defer cancel()
		if err := p.Store.WaitDispatched(ctx, flushed); err != nil {
			x.fail(fmt.Errorf("the end of the queue is not known yet: %w", err))
			return
		}
		ans, err := p.queueOffset(x, end)
		if err != nil {
			x.fail(err)
			return
		}
		x.finish(ans)
	})
	return nil, nil
}

// catchUp bounds how long an answer waits for the consume queues.
const catchUp = 3 * time.Second

// minOffset answers 31.
func (p *Processor) minOffset(x call) (*remoting.Command, error) {
	return p.queueOffset(x, func(lowest, _ int64) int64 { return lowest })
}

func (p *Processor) queueOffset(x call, choose func(lowest, end int64) int64) (*remoting.Command, error) {
	var h protocol.QueueHeader
	if err := decode(x, &h); err != nil {
		return nil, err
	}
	if _, err := p.queue(h.Topic, h.QueueID); err != nil {
		return nil, err
	}
	lowest, end, _ := p.Store.QueueRange(h.Topic, h.QueueID)
	return answerHeader(&protocol.OffsetResponseHeader{Offset: choose(lowest, end)}), nil
}

// earliestStoreTime answers 32.
func (p *Processor) earliestStoreTime(x call) (*remoting.Command, error) {
	var h protocol.QueueHeader
	if err := decode(x, &h); err != nil {
		return nil, err
	}
	_, err := p.queue(h.Topic, h.QueueID)
	at := int64(-1)
	if err == nil {
		at, err = p.Store.EarliestMessageTime(h.Topic, h.QueueID)
	}
	if err != nil {
		return nil, err
	}
	return answerHeader(&protocol.TimestampResponseHeader{Timestamp: at}), nil
}

// viewMessage answers 33 with the record at a place of the log.
func (p *Processor) viewMessage(x call) (*remoting.Command, error) {
	var h protocol.ViewMessageHeader
	if err := decode(x, &h); err != nil {
		return nil, err
	}
	rec, raw, err := p.Store.ReadRecord(h.Offset)
	if err != nil {
		return nil, refuse(protocol.SystemError, "can not find message by offset: %d: %v", h.Offset, err)
	}
	if message.IsSystemTopic(rec.Topic) || h.Topic != "" && h.Topic != rec.Topic {
		return nil, refuse(protocol.SystemError, "can not find message by offset: %d: it is not one of topic %.300s", h.Offset, h.Topic)
	}
	return answerBytes(raw), nil
}

// allConsumerOffsets answers 43.
func (p *Processor) allConsumerOffsets(x call) (*remoting.Command, error) {
	b, err := p.Offsets.Encode()
	if err != nil {
		return nil, err
	}
	return answerBytes(b), nil
}
