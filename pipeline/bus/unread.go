package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// Unread reports whether queues hold anything that a sink is not known to have taken, by the
// consumer offsets that it wrote. It is for tables that the source has no longer: a target
// that was removed on purpose is not to be made again, and only a claim of it could tell
// better.
func (e *Endpoint) Unread(ctx context.Context, pipelineName, sink string, queues []pipeline.QueueID) (bool, error) {
	e.mu.Lock()
	r, err := e.readerLocked(ctx, event.SinkGroup(pipelineName, sink))
	e.mu.Unlock()
	if err != nil {
		return true, err
	}
	return unread(ctx, r, queues)
}

// isGone says of an error that the topic, or the queue, is there no more.
func isGone(err error) bool {
	return errors.Is(err, client.ErrTopicNotFound) || errors.Is(err, client.ErrNoOffset)
}

func unread(ctx context.Context, r queueReader, queues []pipeline.QueueID) (bool, error) {
	for _, id := range queues {
		q := message.Queue{Topic: id.Topic, BrokerName: id.Broker, QueueID: int32(id.Queue)}
		least, end, err := bounds(ctx, r, q)
		if isGone(err) {
			continue
		}
		if err != nil {
			return true, err
		}
		taken, err := r.CommittedOffset(ctx, q)
		switch {
		case errors.Is(err, client.ErrNoOffset):
			taken = 0
		case err != nil:
			return true, fmt.Errorf("consumer offset of %s: %w", queueText(q), err)
		}
		if max(taken, least) < end {
			return true, nil
		}
	}
	return false, nil
}
