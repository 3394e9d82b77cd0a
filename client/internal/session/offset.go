package session

import (
	"context"
	"errors"
	"strconv"

	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

// ErrNoOffset says that a group has committed no offset for a queue.
var ErrNoOffset = errors.New("no offset committed")

// QueueOffset asks a broker for one offset of a queue: its minimum or maximum, the one
// of a time (more adds it), or the one that group committed.
func QueueOffset(ctx context.Context, s *Session, code int, q message.Queue, group string, more ...remoting.Field) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
	defer cancel()
	ans, err := s.InvokeBroker(ctx, q.BrokerName, func() *remoting.Command {
		req := remoting.NewRequest(code)
		if group != "" {
			req.Ext.Add("consumerGroup", group)
		}
		req.Ext.Add("topic", q.Topic)
		req.Ext.Add("queueId", strconv.Itoa(int(q.QueueID)))
		req.Ext.Add("bname", q.BrokerName)
		for _, f := range more {
			req.Ext.Add(f.Key, f.Value)
		}
		return req
	})
	if err != nil {
		return 0, err
	}
	if ans.Code == protocol.QueryNotFound && code == protocol.QueryConsumerOffset {
		return 0, ErrNoOffset
	}
	if err := AnswerOK(ans); err != nil {
		return 0, err
	}
	return Int64(ans, "offset")
}
