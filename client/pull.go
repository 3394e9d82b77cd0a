package client

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/millrace/millrace/client/internal/session"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

// Bits of a pull's sysFlag.
const (
	pullCommitOffset = 0x1
	pullSuspend      = 0x2
	pullSubscription = 0x4
	pullLite         = 0x10
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
	code, flag := protocol.PullMessage, pullSubscription
	if p.lite {
		code, flag = protocol.LitePullMessage, flag|pullLite
	}
	if p.wait > 0 {
		flag |= pullSuspend
	}
	if p.max <= 0 {
		p.max = defaultPullBatch
	}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	req := remoting.NewRequest(code)
	req.Ext.Grow(16)
	req.Ext.Add("consumerGroup", p.group)
	req.Ext.Add("topic", p.queue.Topic)
	req.Ext.Add("queueId", number(int64(p.queue.QueueID)))
	req.Ext.Add("queueOffset", number(p.offset))
	req.Ext.Add("maxMsgNums", number(int64(p.max)))
	req.Ext.Add("sysFlag", number(int64(flag)))
	req.Ext.Add("commitOffset", "0")
	req.Ext.Add("suspendTimeoutMillis", number(p.wait.Milliseconds()))
	req.Ext.Add("subscription", p.subscription)
	req.Ext.Add("subVersion", number(p.subVersion))
	expression := "TAG"
	if p.sql {
		expression = "SQL92"
	}
	req.Ext.Add("expressionType", expression)
	if p.maxBytes > 0 {
		req.Ext.Add("maxMsgBytes", number(int64(p.maxBytes)))
	}
	req.Ext.Add("bname", p.queue.BrokerName)
	return req
}

// parsePullAnswer reads an answer to a pull at offset. With skip, the broker may leave out
// messages that a subscription does not want. Without, every offset counts: a broker that
// proposes to go on elsewhere (its retention is at work) is asked again until it names
// its minimum, and messages behind a hole are left to the pull that meets the hole first.
func parsePullAnswer(ans *remoting.Command, q message.Queue, offset int64, decompress, skip bool) (PullResult, error) {
	switch ans.Code {
	case protocol.Success, protocol.PullNotFound, protocol.PullRetryImmediately, protocol.PullOffsetMoved:
	default:
		return PullResult{}, session.AnswerOK(ans)
	}
	var res PullResult
	for _, f := range []struct {
		name string
		to   *int64
	}{{"nextBeginOffset", &res.Next}, {"minOffset", &res.Min}, {"maxOffset", &res.Max}} {
		n, err := session.Int64(ans, f.name)
		if err != nil {
			return PullResult{}, err
		}
		*f.to = n
	}
	// The broker looks at a queue's end and its messages at different moments, so an
	// answer with messages counts whatever the limits beside it say.
	if ans.Code == protocol.Success {
		return parseFound(ans, res, q, offset, decompress, skip)
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

func parseFound(ans *remoting.Command, res PullResult, q message.Queue, offset int64, decompress, skip bool) (PullResult, error) {
	msgs, err := parseMessages(ans.Body, q.BrokerName, decompress)
	if err != nil {
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
	if !skip || res.Next < next {
		res.Next = next
	}
	return res, nil
}

// commitOffset stores a group's offset and waits until the broker has it.
func commitOffset(ctx context.Context, s *session.Session, group string, q message.Queue, offset int64) error {
	ctx, cancel := context.WithTimeout(ctx, s.Config().RequestTimeout)
	defer cancel()
	ans, err := s.InvokeBroker(ctx, q.BrokerName, func() *remoting.Command {
		req := remoting.NewRequest(protocol.UpdateConsumerOffset)
		req.Ext.Add("consumerGroup", group)
		req.Ext.Add("topic", q.Topic)
		req.Ext.Add("queueId", strconv.Itoa(int(q.QueueID)))
		req.Ext.Add("commitOffset", strconv.FormatInt(offset, 10))
		req.Ext.Add("bname", q.BrokerName)
		return req
	})
	if err != nil {
		return err
	}
	return session.AnswerOK(ans)
}
