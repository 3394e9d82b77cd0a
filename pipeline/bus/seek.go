package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/pause"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/link"
)

// queueReader is what the sink side needs of client.Reader.
type queueReader interface {
	Pull(ctx context.Context, q message.Queue, offset int64, o client.PullOptions) (client.PullResult, error)
	Min(ctx context.Context, q message.Queue) (int64, error)
	Max(ctx context.Context, q message.Queue) (int64, error)
	CommittedOffset(ctx context.Context, q message.Queue) (int64, error)
	CommitOffset(ctx context.Context, q message.Queue, offset int64) error
}

// place is where reading a queue begins, or why it waits.
type place struct {
	offset int64
	wait   Wait
}

// seek finds where a queue's reading goes on behind a mark. The consumer offset is a
// hint; numbers rise strictly in a queue, so that a binary search finds the mark
// without it. The message at the mark must carry the mark's identity: a broker that lost
// its tail may give the number to another row.
func seek(ctx context.Context, r queueReader, q message.Queue, mark event.Seq, id event.Identity, known bool) (place, error) {
	least, end, err := bounds(ctx, r, q)
	if err != nil {
		return place{}, err
	}
	if !known || mark == 0 {
		return seekFirst(ctx, r, q, least, end)
	}
	at, err := find(ctx, r, q, mark, least, end)
	if err != nil {
		return place{}, err
	}
	if at == end {
		return place{offset: least, wait: WaitLostTail}, nil
	}
	s, err := peek(ctx, r, q, at)
	if err != nil {
		return place{}, err
	}
	p := link.Position{Mark: mark, ID: id}
	after, wait := p.Found(s, at == least)
	switch {
	case wait != WaitNone:
		return place{offset: least, wait: wait}, nil
	case after:
		return place{offset: at + 1}, nil
	}
	return place{offset: at}, nil
}

// seekFirst begins at a queue's first message, if that is still there.
func seekFirst(ctx context.Context, r queueReader, q message.Queue, least, end int64) (place, error) {
	if least == end {
		if least > 0 { // all of it has aged out
			return place{offset: least, wait: WaitNew}, nil
		}
		return place{offset: least}, nil
	}
	s, err := peek(ctx, r, q, least)
	if err != nil {
		return place{}, err
	}
	return place{offset: least, wait: link.Begins(s)}, nil
}

// find is the offset of the first message whose last number is at least mark, or end.
func find(ctx context.Context, r queueReader, q message.Queue, mark event.Seq, least, end int64) (int64, error) {
	if hint, err := r.CommittedOffset(ctx, q); err == nil && hint > least && hint <= end {
		if s, err := peek(ctx, r, q, hint-1); err == nil && s.Hi == mark {
			return hint - 1, nil
		}
	} else if err != nil && !errors.Is(err, client.ErrNoOffset) {
		return 0, fmt.Errorf("consumer offset of %s: %w", queueText(q), err)
	}
	return search(ctx, r, q, mark, least, end)
}

// search is find without a hint.
func search(ctx context.Context, r queueReader, q message.Queue, mark event.Seq, least, end int64) (int64, error) {
	low, high := least, end
	for low < high {
		middle := low + (high-low)/2
		s, err := peek(ctx, r, q, middle)
		if err != nil {
			return 0, err
		}
		if s.Hi >= mark {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low, nil
}

func bounds(ctx context.Context, r queueReader, q message.Queue) (least, end int64, err error) {
	if least, err = r.Min(ctx, q); err != nil {
		return 0, 0, fmt.Errorf("least offset of %s: %w", queueText(q), err)
	}
	if end, err = r.Max(ctx, q); err != nil {
		return 0, 0, fmt.Errorf("end of %s: %w", queueText(q), err)
	}
	return max(least, 0), max(end, 0), nil
}

// readable waits until a queue can be read up to an offset that its broker has told of:
// what is acknowledged is readable a moment later.
func readable(ctx context.Context, r queueReader, q message.Queue, end int64) error {
	const moment, patience = 2 * time.Millisecond, 30 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		now, err := r.Max(ctx, q)
		if err != nil {
			return fmt.Errorf("end of %s: %w", queueText(q), err)
		}
		if now >= end {
			return nil
		}
		if err := pause.For(ctx, moment); err != nil {
			return fmt.Errorf("wait for offset %d of %s, which is at %d: %w", end, queueText(q), now, err)
		}
	}
}

// peek reads one slice.
func peek(ctx context.Context, r queueReader, q message.Queue, offset int64) (*event.Slice, error) {
	got, err := r.Pull(ctx, q, offset, client.PullOptions{MaxMsgs: 1})
	if err != nil {
		return nil, fmt.Errorf("read %s at offset %d: %w", queueText(q), offset, err)
	}
	if len(got.Messages) == 0 || got.Messages[0].QueueOffset != offset {
		return nil, fmt.Errorf("read %s at offset %d: the broker has no message there", queueText(q), offset)
	}
	s := new(event.Slice)
	if err := event.ParseSlice(got.Messages[0].Body, s); err != nil {
		return nil, fmt.Errorf("message at offset %d of %s: %w", offset, queueText(q), err)
	}
	return s, nil
}

func queueText(q message.Queue) string {
	return fmt.Sprintf("%s/%s/%d", q.BrokerName, q.Topic, q.QueueID)
}
