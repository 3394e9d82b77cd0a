package client

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/millrace/millrace/client/internal/session"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

const defaultPullBatch = 32

// pullRequest is one pull.
type pullRequest struct {
	group        string
	queue        message.Queue
	offset       int64
	max          int
	maxBytes     int
	wait         time.Duration
	lite         bool
	subscription string
	subVersion   int64
	sql          bool
}

func (p *pullRequest) command() *remoting.Command {
	code, flag := protocol.PullMessage, protocol.PullFlagSubscription
	if p.lite {
		code, flag = protocol.LitePullMessage, flag|protocol.PullFlagLitePull
	}
	if p.wait > 0 {
		flag |= protocol.PullFlagSuspend
	}
	expression := protocol.ExpressionTag
	if p.sql {
		expression = protocol.ExpressionSQL92
	}
	limit := p.max
	if limit <= 0 {
		limit = defaultPullBatch
	}
	return session.Request(code, &protocol.PullHeader{
		ConsumerGroup: p.group, Topic: p.queue.Topic, QueueID: p.queue.QueueID, QueueOffset: p.offset,
		MaxMsgNums: int32(min(limit, math.MaxInt32)), SysFlag: flag, SuspendTimeoutMillis: p.wait.Milliseconds(),
		Subscription: p.subscription, SubVersion: p.subVersion, ExpressionType: expression,
		MaxMsgBytes: int32(min(p.maxBytes, math.MaxInt32)),
	})
}

// parsePullAnswer reads an answer to a pull at offset. With skip, the broker may leave out
// messages that a subscription does not want. Without, every offset counts: a broker that
// proposes to go on elsewhere (its retention is at work) is asked again until it names
// its minimum, and messages behind a hole are left to the pull that meets the hole first.
//
// The messages share the answer's memory and stand in room, if that is large enough.
func parsePullAnswer(ans *remoting.Command, q message.Queue, offset int64, decompress, skip bool,
	room []ReceivedMessage) (PullResult, error) {
	switch ans.Code {
	case protocol.Success, protocol.PullNotFound, protocol.PullRetryImmediately, protocol.PullOffsetMoved:
	default:
		return PullResult{}, protocol.AsError(ans)
	}
	var h protocol.PullResponseHeader
	if err := h.Decode(ans); err != nil {
		return PullResult{}, err
	}
	res := PullResult{Next: h.NextBeginOffset, Min: h.MinOffset, Max: h.MaxOffset}
	// The broker looks at a queue's end and its messages at different moments, so an
	// answer with messages counts whatever the limits beside it say.
	if ans.Code == protocol.Success {
		return parseFound(ans, res, q, offset, decompress, skip, room)
	}
	switch {
	case offset < res.Min:
		return PullResult{}, &OffsetBelowError{Queue: q, Offset: offset, Min: res.Min}
	case offset > res.Max:
		return PullResult{}, &OffsetAboveError{Queue: q, Offset: offset, Max: res.Max}
	}
	if !skip || ans.Code != protocol.PullRetryImmediately || res.Next < offset {
		res.Next = offset
	}
	return res, nil
}

func parseFound(ans *remoting.Command, res PullResult, q message.Queue, offset int64, decompress, skip bool,
	room []ReceivedMessage) (PullResult, error) {
	msgs, err := parseMessages(ans.Body, q.BrokerName, decompress, room)
	cut := errors.Is(err, errBody) && len(msgs) > 0 // the pull that begins there says so
	if err != nil && !cut {
		return PullResult{}, err
	}
	next := offset
	for i := range msgs {
		m := &msgs[i]
		if m.QueueOffset < next || m.QueueID != q.QueueID || m.Topic != q.Topic {
			return PullResult{}, fmt.Errorf("the answer holds message %s/%d/%d where one at offset %d of %s was due",
				m.Topic, m.QueueID, m.QueueOffset, next, queueText(q))
		}
		if m.QueueOffset > next && !skip {
			if i == 0 {
				return PullResult{}, &OffsetBelowError{Queue: q, Offset: offset, Min: m.QueueOffset}
			}
			msgs, res.Next = msgs[:i], next
			break
		}
		next = m.QueueOffset + 1
	}
	res.Messages = msgs
	if !skip || cut || res.Next < next {
		res.Next = next
	}
	return res, nil
}
