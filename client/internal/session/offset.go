package session

import (
	"context"
	"errors"
	"time"

	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

// ErrNoOffset says that a group has committed no offset for a queue.
var ErrNoOffset = errors.New("no offset committed")

// Call sends a request to a broker's master, within the request timeout, and turns an
// answer that is not SUCCESS into an error, a *protocol.Error.
func (s *Session) Call(ctx context.Context, broker string, mk func() *remoting.Command) (*remoting.Command, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
	defer cancel()
	ans, err := s.InvokeBroker(ctx, broker, mk)
	if err == nil {
		err = protocol.AsError(ans)
	}
	return ans, err
}

// MinOffset asks for the offset of a queue's oldest message.
func (s *Session) MinOffset(ctx context.Context, q message.Queue) (int64, error) {
	return s.askOffset(ctx, q, protocol.GetMinOffset, &protocol.QueueHeader{Topic: q.Topic, QueueID: q.QueueID})
}

// MaxOffset asks for the offset that a queue's next message gets.
func (s *Session) MaxOffset(ctx context.Context, q message.Queue) (int64, error) {
	return s.askOffset(ctx, q, protocol.GetMaxOffset, &protocol.QueueHeader{Topic: q.Topic, QueueID: q.QueueID})
}

// SearchOffset asks for the offset of the first message stored at or after t.
func (s *Session) SearchOffset(ctx context.Context, q message.Queue, t time.Time) (int64, error) {
	return s.askOffset(ctx, q, protocol.SearchOffsetByTimestamp,
		&protocol.SearchOffsetHeader{Topic: q.Topic, QueueID: q.QueueID, Timestamp: t.UnixMilli()})
}

// CommittedOffset asks for the offset that a group committed; ErrNoOffset if none.
func (s *Session) CommittedOffset(ctx context.Context, group string, q message.Queue) (int64, error) {
	n, err := s.askOffset(ctx, q, protocol.QueryConsumerOffset,
		&protocol.QueryConsumerOffsetHeader{ConsumerGroup: group, Topic: q.Topic, QueueID: q.QueueID})
	if errors.Is(err, &protocol.Error{Code: protocol.QueryNotFound}) {
		return 0, ErrNoOffset
	}
	return n, err
}

// CommitOffset stores a group's offset of a queue.
func (s *Session) CommitOffset(ctx context.Context, group string, q message.Queue, offset int64) error {
	_, err := s.Call(ctx, q.BrokerName, func() *remoting.Command {
		return Request(protocol.UpdateConsumerOffset, &protocol.UpdateConsumerOffsetHeader{
			ConsumerGroup: group, Topic: q.Topic, QueueID: q.QueueID, CommitOffset: offset})
	})
	return err
}

func (s *Session) askOffset(ctx context.Context, q message.Queue, code int, h header) (int64, error) {
	ans, err := s.Call(ctx, q.BrokerName, func() *remoting.Command { return Request(code, h) })
	if err != nil {
		return 0, err
	}
	var r protocol.OffsetResponseHeader
	if err := r.Decode(ans); err != nil {
		return 0, err
	}
	return r.Offset, nil
}
