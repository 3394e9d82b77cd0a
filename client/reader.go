package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/millrace/millrace/client/internal/session"
	"github.com/millrace/millrace/internal/pause"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting/protocol"
)

type readerConfig struct {
	session    session.Config
	group      string
	decompress bool
}

type readerOption func(*readerConfig)

func (f readerOption) applyReader(c *readerConfig) { f(c) }

// WithoutDecompression hands out compressed bodies as they are stored.
func WithoutDecompression() ReaderOption {
	return readerOption(func(c *readerConfig) { c.decompress = false })
}

// DefaultReaderGroup is the group of readers that name none.
const DefaultReaderGroup = "MILLRACE_READER"

// Reader pulls from queues and offsets that its caller names. It keeps no position, and
// an offset that does not exist is an error, never a jump. It is not a member of its
// group: nobody shares queues with it, and the group only names the offsets that it
// commits.
type Reader struct {
	cfg   readerConfig
	s     *session.Session
	rooms sync.Pool // of *[]ReceivedMessage without messages
}

// NewReader makes a reader. It starts nothing.
func NewReader(opts ...ReaderOption) (*Reader, error) {
	cfg := readerConfig{session: session.DefaultConfig(), group: DefaultReaderGroup, decompress: true}
	for _, o := range opts {
		o.applyReader(&cfg)
	}
	if err := message.CheckGroup(cfg.group); err != nil {
		return nil, fmt.Errorf("reader: %w", err)
	}
	s, err := session.New(cfg.session, nil)
	if err != nil {
		return nil, fmt.Errorf("reader: %w", err)
	}
	return &Reader{cfg: cfg, s: s}, nil
}

// Start begins route refreshes. It connects to nothing yet.
func (r *Reader) Start(context.Context) error { return r.s.Start(r) }

// Close ends pulls that wait and joins every goroutine.
func (r *Reader) Close(context.Context) error { return r.s.Close() }

// Heartbeat is for the session: a reader is a member of nothing.
func (r *Reader) Heartbeat() []byte { return nil }

// RoutesChanged is for the session.
func (r *Reader) RoutesChanged() {}

// Queues returns the readable queues of a topic, by broker name and number.
func (r *Reader) Queues(ctx context.Context, topic string) ([]message.Queue, error) {
	if !r.s.Running() {
		return nil, ErrClosed
	}
	route, err := r.s.Route(ctx, topic)
	if err != nil {
		return nil, err
	}
	return append([]message.Queue(nil), route.Read...), nil
}

// PullOptions bound one pull. Zero values mean 32 messages, what the broker allows in
// bytes, and no waiting.
type PullOptions struct {
	MaxMsgs  int
	MaxBytes int
	// Wait is how long the broker may hold the pull while the queue has nothing new.
	Wait time.Duration
}

// PullResult is what a pull brought. No message and no error means that there is
// nothing at Next yet.
type PullResult struct {
	Messages []ReceivedMessage
	Next     int64 // offset of the pull that continues this one
	Min, Max int64 // the queue's offsets at that moment; Max is the next one to be given

	release func()
}

// Release has the memory of the messages used by later pulls. Whoever calls it, once, is
// done with Messages and with everything in them that he did not copy: bodies, properties
// and topics. Nobody needs to; who reads much makes less garbage with it.
func (r *PullResult) Release() {
	if f := r.release; f != nil {
		r.Messages, r.release = nil, nil
		f()
	}
}

// pullSlack is how much longer than the broker may hold a pull the client waits.
const pullSlack = 10 * time.Second

// Pull reads messages of a queue from an offset on: the first has that offset, and each
// next one the offset behind. *OffsetBelowError and *OffsetAboveError say that the queue
// begins behind it or ends before it. A body that cannot be decompressed is an error of
// the pull that begins with it.
func (r *Reader) Pull(ctx context.Context, q message.Queue, offset int64, opt PullOptions) (PullResult, error) {
	if !r.s.Running() {
		return PullResult{}, ErrClosed
	}
	p := pullRequest{group: r.cfg.group, queue: q, offset: offset, max: opt.MaxMsgs, maxBytes: opt.MaxBytes,
		wait: opt.Wait, lite: true, subscription: "*"}
	var above *OffsetAboveError
	for doubt := firstDoubt; ; doubt *= 2 {
		res, err := r.pull(ctx, &p, opt.Wait+pullSlack)
		if err == nil {
			return res, nil
		}
		if !errors.As(err, &above) || doubt > lastDoubt || pause.For(ctx, doubt) != nil {
			r.refreshOn(err, q.Topic)
			return PullResult{}, fmt.Errorf("pull %s at %d: %w", queueText(q), offset, err)
		}
	}
}

// A message can be read a moment after it is acknowledged, and until then its offset
// lies above the queue's end. That an offset is above it is therefore believed only when
// it stays so, over some 300 ms.
const (
	firstDoubt = 5 * time.Millisecond
	lastDoubt  = 160 * time.Millisecond
)

func (r *Reader) pull(ctx context.Context, p *pullRequest, limit time.Duration) (PullResult, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ans, err := r.s.InvokeBroker(ctx, p.queue.BrokerName, p.command)
	if err != nil {
		return PullResult{}, err
	}
	if ans.Code != protocol.Success { // it has no messages
		return parsePullAnswer(ans, p.queue, p.offset, r.cfg.decompress, false, nil)
	}
	res, err := parsePullAnswer(ans, p.queue, p.offset, r.cfg.decompress, false, r.room())
	if err == nil {
		messages := res.Messages
		res.release = func() { r.giveRoom(messages); ans.Done() }
	}
	return res, err
}

// keepRoom is how many messages' room is used again.
const keepRoom = 4096

func (r *Reader) room() []ReceivedMessage {
	if used, ok := r.rooms.Get().(*[]ReceivedMessage); ok {
		return *used
	}
	return nil
}

func (r *Reader) giveRoom(m []ReceivedMessage) {
	if m = m[:cap(m)]; len(m) > 0 && len(m) <= keepRoom {
		clear(m)
		r.rooms.Put(&m)
	}
}

// refreshOn renews the route after an error that may come from an old one.
func (r *Reader) refreshOn(err error, topic string) {
	var ans *AnswerError
	switch {
	case errors.Is(err, session.ErrNotSent), errors.Is(err, ErrUncertain),
		errors.As(err, &ans) && ans.Code == protocol.TopicNotExist:
		r.s.RefreshSoon(topic)
	}
}

// Min returns the offset of the oldest message of a queue, ErrTopicNotFound where the broker
// does not have its topic.
func (r *Reader) Min(ctx context.Context, q message.Queue) (int64, error) {
	n, err := r.s.MinOffset(ctx, q)
	return n, r.explain(unknownTopic(err), "minimum offset", q)
}

// Max returns the offset behind the last message of a queue that can be read. Messages
// that were acknowledged a moment ago may not be counted yet; where that matters, as for
// what an earlier owner wrote, WriterQueue.Max is exact. ErrTopicNotFound says that the broker
// does not have the queue's topic.
func (r *Reader) Max(ctx context.Context, q message.Queue) (int64, error) {
	n, err := r.s.MaxOffset(ctx, q)
	return n, r.explain(unknownTopic(err), "maximum offset", q)
}

// SearchOffset returns the offset of the first message that was stored at or after t.
func (r *Reader) SearchOffset(ctx context.Context, q message.Queue, t time.Time) (int64, error) {
	n, err := r.s.SearchOffset(ctx, q, t)
	return n, r.explain(err, "offset at a time", q)
}

// CommittedOffset returns the offset that the reader's group committed for a queue,
// ErrNoOffset when there is none. (RocketMQ brokers say 0 instead while the queue still
// holds its first message.)
func (r *Reader) CommittedOffset(ctx context.Context, q message.Queue) (int64, error) {
	n, err := r.s.CommittedOffset(ctx, r.cfg.group, q)
	return n, r.explain(err, "committed offset of group "+r.cfg.group, q)
}

// CommitOffset stores the reader's group's offset of a queue: the next one to be read.
// Apache RocketMQ's brokers from 5.0 on refuse it for a group that they do not know, with
// an *AnswerError of code 26 (SUBSCRIPTION_GROUP_NOT_EXIST), and a reader makes none known:
// create the group first. Millrace's brokers take it.
func (r *Reader) CommitOffset(ctx context.Context, q message.Queue, offset int64) error {
	return r.explain(r.s.CommitOffset(ctx, r.cfg.group, q, offset), "commit an offset of group "+r.cfg.group, q)
}

// unknownTopic is a broker's refusal of a topic that it does not have, as that of a name server.
func unknownTopic(err error) error {
	if errors.Is(err, protocol.Errorf(protocol.TopicNotExist, "")) {
		return fmt.Errorf("%w: %w", ErrTopicNotFound, err)
	}
	return err
}

func (r *Reader) explain(err error, what string, q message.Queue) error {
	if err == nil {
		return nil
	}
	r.refreshOn(err, q.Topic)
	return fmt.Errorf("%s, %s: %w", what, queueText(q), err)
}
