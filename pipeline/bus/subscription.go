package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/pause"
	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/link"
)

// SubscriptionConfig says what one owner of a target table reads.
type SubscriptionConfig struct {
	Table  event.TableName
	Queues []pipeline.QueueID
	// Marks are the positions read back from the target: the only truth about where to go
	// on. A queue without one has never been seen by the target.
	Marks []pipeline.QueueMark
	// PrefetchBytes bounds the bodies held for all queues together (16 MiB).
	PrefetchBytes int64
	// Refused is the number up to which the target cannot take a record (RefusedError); 0 is
	// none. Queues whose mark is not above it hand nothing out before the next BEGIN of the
	// table that is.
	Refused event.Seq
	// PullWait is how long a broker may hold a pull on an empty queue (15 s).
	PullWait time.Duration
}

// Delivery is one slice that the link rule let through.
type Delivery struct {
	Queue  pipeline.QueueID
	Offset int64
	Slice  *event.Slice
	// Adopted is true for the BEGIN with which a waiting queue goes on: the target's mark
	// becomes Slice.Prev before the slice is written.
	Adopted bool

	size   int64
	pulled *pulled
}

// QueueState is what people see of a queue's reading.
type QueueState struct {
	Queue  pipeline.QueueID
	Wait   Wait
	Mark   event.Seq
	Behind int64 // messages between the reader and the queue's end
	// Unflushed are messages with rows that were handed out and are not in the target yet.
	Unflushed int64
	// LastCommit is the source commit time of the last row delivered.
	LastCommit time.Time
	// Read is when the broker last answered; zero when it has not yet. Trouble is why it
	// does not since then.
	Read    time.Time
	Trouble string
}

// Subscription reads the queues of one table for one owner (delivery K3): in each queue
// in order, each message once, rows above the mark only, and never past a hole. Run
// pulls; Next hands out; one goroutine calls Next, Done and Committed.
type Subscription struct {
	cfg    SubscriptionConfig
	reader queueReader
	log    *slog.Logger

	room       *semaphore.Weighted
	deliveries chan Delivery
	slices     slicePool

	mu     sync.Mutex
	queues map[pipeline.QueueID]*queueReading
}

type queueReading struct {
	id     pipeline.QueueID
	q      message.Queue
	link   link.Position
	offset int64 // next to pull
	end    int64
	commit time.Time
	// answered is when the broker last did; trouble is why it does not since then.
	answered time.Time
	trouble  string
	// sent are deliveries whose mark is not committed yet, oldest first.
	sent []sentSlice
}

type sentSlice struct {
	hi     event.Seq
	offset int64
}

// NewSubscription makes a subscription that begins behind cfg.Marks. It starts nothing.
func NewSubscription(cfg SubscriptionConfig, reader queueReader, log *slog.Logger) *Subscription {
	if cfg.PrefetchBytes <= 0 {
		cfg.PrefetchBytes = 16 << 20
	}
	if cfg.PullWait <= 0 {
		cfg.PullWait = 15 * time.Second
	}
	s := &Subscription{
		cfg: cfg, reader: reader, log: log,
		room: semaphore.NewWeighted(cfg.PrefetchBytes), deliveries: make(chan Delivery),
		queues: map[pipeline.QueueID]*queueReading{},
	}
	for _, id := range cfg.Queues {
		s.queues[id] = &queueReading{id: id, q: message.Queue{Topic: id.Topic, BrokerName: id.Broker, QueueID: int32(id.Queue)}}
	}
	for _, m := range cfg.Marks {
		if q := s.queues[m.Queue]; q != nil && m.Known {
			q.link = link.Position{Mark: m.Seq, ID: m.ID}
		}
	}
	return s
}

// Run seeks in every queue and pulls until ctx ends or a queue can't be read. Brokers
// that are away are waited for.
func (s *Subscription) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, q := range s.queues {
		g.Go(func() error { return s.read(ctx, q) })
	}
	return g.Wait()
}

// Next blocks for the next slice. What it returns is the caller's until Done.
func (s *Subscription) Next(ctx context.Context) (Delivery, error) {
	select {
	case d := <-s.deliveries:
		return d, nil
	case <-ctx.Done():
		return Delivery{}, ctx.Err()
	}
}

// Done gives a delivery's memory back: its slice and all that the slice's images point at.
// It is called once for each.
func (s *Subscription) Done(d Delivery) {
	s.slices.put(d.Slice)
	d.pulled.drop()
	s.room.Release(d.size)
}

// Committed writes consumer offsets for what the target holds now: a cache for tools, and
// a hint for the next seek. Failing to write them is not an error of the owner.
func (s *Subscription) Committed(ctx context.Context, marks []pipeline.QueueMark) {
	for _, m := range marks {
		s.mu.Lock()
		q, offset := s.queues[m.Queue], int64(-1)
		for q != nil && len(q.sent) > 0 && q.sent[0].hi <= m.Seq {
			offset, q.sent = q.sent[0].offset, q.sent[1:]
		}
		s.mu.Unlock()
		if offset < 0 {
			continue
		}
		if err := s.reader.CommitOffset(ctx, q.q, offset+1); err != nil {
			s.log.Debug("consumer offset not written", slog.String("queue", queueText(q.q)), slog.Any("error", err))
		}
	}
}

// States is a snapshot for people and metrics.
func (s *Subscription) States() []QueueState {
	s.mu.Lock()
	defer s.mu.Unlock()
	states := make([]QueueState, 0, len(s.queues))
	for _, id := range s.cfg.Queues {
		q := s.queues[id]
		states = append(states, QueueState{Queue: id, Wait: q.link.Wait, Mark: q.link.Mark, Behind: max(0, q.end-q.offset),
			Unflushed: int64(len(q.sent)), LastCommit: q.commit, Read: q.answered, Trouble: q.trouble})
	}
	return states
}

const retryPull = 500 * time.Millisecond

// read is one queue's loop.
func (s *Subscription) read(ctx context.Context, q *queueReading) error {
	if err := s.seek(ctx, q); err != nil {
		return err
	}
	for {
		wait := s.cfg.PullWait
		if q.trouble != "" { // written by this goroutine only
			wait = 0 // that it is over shows at once, not when the next message comes
		}
		got, err := s.reader.Pull(ctx, q.q, q.offset, client.PullOptions{MaxMsgs: 32, MaxBytes: 2 << 20, Wait: wait})
		if err != nil {
			if again := s.pullFailed(ctx, q, err); again != nil {
				return again
			}
			continue
		}
		s.mu.Lock()
		q.end, q.answered, q.trouble = got.Max, time.Now(), ""
		s.mu.Unlock()
		if err := s.takeAll(ctx, q, &got); err != nil {
			return err
		}
	}
}

// takeAll hands out what one pull brought.
func (s *Subscription) takeAll(ctx context.Context, q *queueReading, got *client.PullResult) error {
	p := &pulled{release: got.Release}
	p.hold()
	defer p.drop()
	for i := range got.Messages {
		back, err := s.take(ctx, q, p, &got.Messages[i])
		if err != nil {
			return err
		}
		if back {
			break
		}
	}
	return nil
}

// seek finds the queue's place; brokers that are away are waited for.
func (s *Subscription) seek(ctx context.Context, q *queueReading) error {
	for {
		at, err := seek(ctx, s.reader, q.q, q.link.Mark, q.link.ID, q.link.Mark != 0)
		if err == nil {
			s.mu.Lock()
			if at.wait == WaitNone && s.cfg.Refused != 0 && q.link.Mark <= s.cfg.Refused {
				at.wait, q.link.Refused = WaitRefused, s.cfg.Refused
			}
			q.offset, q.link.Wait = at.offset, at.wait
			q.answered, q.trouble = time.Now(), ""
			s.mu.Unlock()
			if at.wait != WaitNone {
				s.log.Warn("queue waits for the next BEGIN of its table", slog.String("queue", queueText(q.q)),
					slog.String("reason", string(at.wait)), slog.Uint64("mark", uint64(q.link.Mark)))
			}
			return nil
		}
		s.failed(q, err)
		s.log.Warn("queue can't be sought", slog.String("queue", queueText(q.q)), slog.Any("error", err))
		if err := pause.For(ctx, retryPull); err != nil {
			return err
		}
	}
}

// pullFailed decides what an error of Pull means: nil to go on.
func (s *Subscription) pullFailed(ctx context.Context, q *queueReading, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var (
		below *client.OffsetBelowError
		above *client.OffsetAboveError
	)
	switch {
	case errors.As(err, &below) && seeded.On(seeded.GapUnnoticed):
		q.offset = below.Min
		return nil
	case errors.As(err, &below): // retention passed the reader
		s.waitFor(q, WaitNeedsSnapshot, below.Min)
		return nil
	case errors.As(err, &above): // the broker lost its tail while we were reading
		s.waitFor(q, WaitLostTail, 0)
		return s.seek(ctx, q)
	}
	s.failed(q, err)
	s.log.Warn("queue can't be read", slog.String("queue", queueText(q.q)), slog.Any("error", err))
	return pause.For(ctx, retryPull)
}

// failed keeps for people why a queue can't be read.
func (s *Subscription) failed(q *queueReading, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q.trouble = err.Error()
}

func (s *Subscription) waitFor(q *queueReading, why Wait, offset int64) {
	s.mu.Lock()
	q.link.Wait, q.offset = why, offset
	s.mu.Unlock()
	s.log.Warn("queue waits for the next BEGIN of its table", slog.String("queue", queueText(q.q)), slog.String("reason", string(why)))
}

// take judges one message and hands it out. back says that reading goes on elsewhere.
func (s *Subscription) take(ctx context.Context, q *queueReading, p *pulled, m *client.ReceivedMessage) (back bool, err error) {
	slice := s.slices.get()
	if err := event.ParseSlice(m.Body, slice); err != nil {
		return false, s.unread(q, m, err)
	}
	s.mu.Lock()
	v := q.link.Take(slice)
	if v != link.SeekBack {
		q.offset = m.QueueOffset + 1
	}
	if v == link.Steady || v == link.Partly || v == link.Adopt {
		q.sent = append(q.sent, sentSlice{hi: slice.Hi, offset: m.QueueOffset})
		if n := len(slice.Txs); n > 0 {
			q.commit = slice.Txs[n-1].CommitTime
		}
	}
	s.mu.Unlock()
	switch v {
	case link.Drop:
		s.slices.put(slice)
		return false, nil
	case link.SeekBack:
		return true, s.seek(ctx, q)
	}
	d := Delivery{pulled: p, Queue: q.id, Offset: m.QueueOffset, Slice: slice, Adopted: v == link.Adopt,
		size: min(int64(len(m.Body))+256, s.cfg.PrefetchBytes)}
	if err := s.room.Acquire(ctx, d.size); err != nil {
		return false, err
	}
	p.hold()
	select {
	case s.deliveries <- d:
		return false, nil
	case <-ctx.Done():
		s.room.Release(d.size)
		return false, ctx.Err()
	}
}

// RefusedError says that a record cannot be applied and up to which number nothing can be
// handed out: that of the record, or of what stands before it where it cannot be read.
type RefusedError struct {
	UpTo  event.Seq
	Cause error
}

func (e *RefusedError) Error() string { return e.Cause.Error() }

// Unwrap is the cause, which is a pipeline.ErrRecord.
func (e *RefusedError) Unwrap() error { return e.Cause }

// unread says of a message that is no slice that the target cannot take it; while BEGIN is
// waited for it is left behind like the others.
func (s *Subscription) unread(q *queueReading, m *client.ReceivedMessage, cause error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.link.Wait == WaitNone {
		return &RefusedError{UpTo: q.link.Mark, Cause: fmt.Errorf("%w: the message at offset %d of %s: %w", pipeline.ErrRecord,
			m.QueueOffset, queueText(q.q), cause)}
	}
	q.offset = m.QueueOffset + 1
	return nil
}
