package store

import (
	"context"
	"errors"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/message"
)

// Listener hears of every record when it becomes readable, in log order, from one
// goroutine. It must not block. The record shares memory that is used again afterwards.
type Listener interface {
	Dispatched(rec *message.Record, phys int64, size int32)
}

// Store keeps messages. All methods may be called concurrently unless they say otherwise.
type Store struct{}

var errSkeleton = errors.New("skeleton")

// Open recovers the store in cfg.Dir, making it where there is none. It starts nothing.
// reg may be nil.
func Open(cfg Config, fsys vfs.FS, log *slog.Logger, reg prometheus.Registerer) (*Store, error) {
	return nil, errSkeleton
}

// Run flushes, dispatches and deletes until ctx ends; then it writes out everything,
// marks the store as cleanly stopped and returns nil. It returns early, with the cause,
// when a write or a sync fails.
func (s *Store) Run(ctx context.Context) error { return errSkeleton }

// Close lets go of a store that is not run (any more).
func (s *Store) Close() error { return nil }

// Put appends. It blocks only while too much waits to be written.
func (s *Store) Put(req *PutRequest) {}

// Get reads a queue from offset on.
func (s *Store) Get(topic string, queueID int32, offset int64, o GetOptions) (GetResult, error) {
	return GetResult{}, errSkeleton
}

// ReadAt returns the bytes of the log at phys, as they are.
func (s *Store) ReadAt(phys int64, size int32) ([]byte, error) { return nil, errSkeleton }

// ReadRecord returns the record at phys and its bytes, which belong to the caller.
func (s *Store) ReadRecord(phys int64) (message.Record, []byte, error) {
	return message.Record{}, nil, errSkeleton
}

// QueueRange returns a queue's minimum offset and the one behind its last readable message.
func (s *Store) QueueRange(topic string, queueID int32) (minOffset, maxOffset int64, ok bool) {
	return 0, 0, false
}

// NextOffset is the queue offset that the next append to the queue will get. It is ahead
// of QueueRange by what is not readable yet.
func (s *Store) NextOffset(topic string, queueID int32) int64 { return 0 }

// Queues lists all queues.
func (s *Store) Queues() []QueueID { return nil }

// OffsetByTime finds the queue offset at a time in milliseconds.
func (s *Store) OffsetByTime(topic string, queueID int32, ms int64, b Boundary) (int64, error) {
	return 0, errSkeleton
}

// MessageStoreTime is when the message at a queue offset was stored, in milliseconds.
func (s *Store) MessageStoreTime(topic string, queueID int32, offset int64) (int64, error) {
	return 0, errSkeleton
}

// EarliestMessageTime is when the oldest message of a queue was stored; -1 without one.
func (s *Store) EarliestMessageTime(topic string, queueID int32) (int64, error) { return -1, nil }

// EarliestTime is when the oldest message of the log was stored; -1 without one.
func (s *Store) EarliestTime() int64 { return -1 }

// QueryByKey finds messages of topic by a word of KEYS or by UNIQ_KEY.
func (s *Store) QueryByKey(topic, key string, maxNum int, begin, end int64) (QueryResult, error) {
	return QueryResult{}, errSkeleton
}

// MinPhysical is where the oldest log file begins.
func (s *Store) MinPhysical() int64 { return 0 }

// MaxPhysical is where the next append goes.
func (s *Store) MaxPhysical() int64 { return 0 }

// FlushedPhysical is up to where the log is durable.
func (s *Store) FlushedPhysical() int64 { return 0 }

// ReadablePhysical is up to where the log may be read.
func (s *Store) ReadablePhysical() int64 { return 0 }

// DispatchedPhysical is up to where consume queues and index follow the log.
func (s *Store) DispatchedPhysical() int64 { return 0 }

// WaitDispatched waits until consume queues and index have everything below phys.
func (s *Store) WaitDispatched(ctx context.Context, phys int64) error { return nil }

// Subscribe adds a listener. Call it before Run.
func (s *Store) Subscribe(l Listener) {}

// Replay calls fn for every readable record from the record at from on, or from the
// oldest, until it has caught up. An error of fn ends it.
func (s *Store) Replay(from int64, fn func(rec *message.Record, phys int64, size int32) error) error {
	return errSkeleton
}

// HoldRetention adds somebody who needs old messages: log files at or above the offset
// that fn returns are kept. Call it before Run. fn must not block.
func (s *Store) HoldRetention(fn func() (minPhys int64)) {}

// BeforeDelete adds a hook that is called before the log below uptoPhys is removed, to
// carry forward what is needed of it. An error keeps the file; it is asked again later.
// It may put and wait. Call it before Run.
func (s *Store) BeforeDelete(fn func(uptoPhys int64) error) {}

// DeleteTopic removes a topic's queues, durably. A topic of the same name starts at
// offset 0 again.
func (s *Store) DeleteTopic(topic string) error { return nil }

// SetWritable turns writes on and off; puts are refused with ErrNotWritable meanwhile.
func (s *Store) SetWritable(on bool) {}

// Err says why the store refuses writes: ErrDiskFull, ErrFailed with its cause,
// ErrNotWritable, or nil.
func (s *Store) Err() error { return nil }

// DiskUsage tells how full the store's disk is.
func (s *Store) DiskUsage() (vfs.Usage, error) { return vfs.Usage{}, nil }
