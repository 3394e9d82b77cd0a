package client

import (
	"errors"
	"fmt"

	"github.com/millrace/millrace/client/internal/session"
	"github.com/millrace/millrace/message"
)

// Errors that steer. Everything else that a method returns explains.
var (
	// ErrClosed says that the client was closed, or never started.
	ErrClosed = session.ErrClosed
	// ErrFenced says that a higher term holds the writer now: whatever this owner keeps
	// in memory is void. Nothing of the refused request was appended.
	ErrFenced = errors.New("fenced: a higher term holds this writer")
	// ErrNotOpen says that the writer was not opened on the broker that the queue is on.
	ErrNotOpen = errors.New("the writer is not open on this broker")
	// ErrGone says that the broker does not know the half any more.
	ErrGone = errors.New("the half message is gone")
	// ErrPendingFull says that the broker holds as many undecided bytes as it may for
	// this writer; resolve halves, then send again.
	ErrPendingFull = errors.New("too many undecided half messages")
	// ErrUncertain says that the outcome is unknown: the request may or may not have been
	// carried out (no answer, connection lost, or stored below the guarantee).
	ErrUncertain = session.ErrUncertain
	// ErrTopicNotFound says that no name server knows the topic, or that the broker that has to
	// have it does not.
	ErrTopicNotFound = session.ErrTopicNotFound
	// ErrBrokerNotFound says that no name server knows a master of that broker.
	ErrBrokerNotFound = session.ErrBrokerNotFound
	// ErrNotSent says that the request never left this process.
	ErrNotSent = session.ErrNotSent
	// ErrNoOffset says that the group has committed no offset for the queue.
	ErrNoOffset = session.ErrNoOffset
	// ErrTooMuchInFlight is returned by sends that may not wait when the limits on
	// messages or bytes in flight are reached.
	ErrTooMuchInFlight = errors.New("too many messages in flight")
)

// StaleError refuses an opening: the broker knows a term at least as high.
type StaleError struct{ Known uint64 }

func (e *StaleError) Error() string {
	return fmt.Sprintf("stale term: the broker knows term %d of this writer; open above it", e.Known)
}

// DuplicateError refuses a message whose numbers are in the queue already. Last is the
// mr_hi of the last message that the queue let in.
type DuplicateError struct{ Last uint64 }

func (e *DuplicateError) Error() string {
	return fmt.Sprintf("duplicate: the queue already holds messages up to %d", e.Last)
}

// GapError refuses a message that does not stand right behind the queue's last one.
type GapError struct{ Last uint64 }

func (e *GapError) Error() string {
	return fmt.Sprintf("gap: the queue's last message is %d, which is not the one that this message follows", e.Last)
}

// OffsetBelowError says that the offset asked for was removed by retention.
type OffsetBelowError struct {
	Queue       message.Queue
	Offset, Min int64
}

func (e *OffsetBelowError) Error() string {
	return fmt.Sprintf("offset %d of %s is below the queue's minimum %d: the messages between are gone", e.Offset, queueText(e.Queue), e.Min)
}

// OffsetAboveError says that the offset asked for lies beyond the queue's end: the
// offset is wrong or the broker lost a tail.
type OffsetAboveError struct {
	Queue       message.Queue
	Offset, Max int64
}

func (e *OffsetAboveError) Error() string {
	return fmt.Sprintf("offset %d of %s is above the queue's maximum %d: the offset is wrong or the broker lost messages", e.Offset,
		queueText(e.Queue), e.Max)
}

func queueText(q message.Queue) string {
	return fmt.Sprintf("queue %s/%s/%d", q.BrokerName, q.Topic, q.QueueID)
}
