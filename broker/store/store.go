package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/broker/store/commitlog"
	"github.com/millrace/millrace/broker/store/index"
	"github.com/millrace/millrace/broker/store/segment"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/message"
)

// Listener hears of every record when it becomes readable, in log order, from one
// goroutine. It must not block. The record shares memory that is used again afterwards.
type Listener interface {
	Dispatched(rec *message.Record, phys int64, size int32)
}

// Store keeps messages. All methods may be called concurrently unless they say otherwise.
//
// Locks nest in this order: dispatcher.mu, the log's append lock, queueMu.
type Store struct {
	cfg    Config
	levels []time.Duration
	fs     vfs.FS
	log    *slog.Logger
	lock   io.Closer
	clean  bool // the store was closed in order when it was opened

	cache *segment.Cache
	clog  *commitlog.Log
	index *index.Index // nil when it is switched off
	marks *marks

	queueMu sync.RWMutex
	queues  map[QueueID]*queue

	dispatch dispatcher
	metrics  *metrics
	puts     sync.Pool
	reads    sync.Pool // of *readMemory

	notWritable atomic.Bool
	ratioFull   atomic.Bool
	damaged     atomic.Bool // consume queues do not match the log: make them again
	wakeKeeper  chan struct{}

	listeners []Listener
	holds     []func(Expired) bool
	hooks     []func(int64) error

	checkpointing sync.Mutex
	namesPending  bool             // consume queue files were made whose names are not durable; guarded by checkpointing
	tombs         map[string]int64 // deleted topics: records below count for nothing; guarded by dispatch.mu
	lastPoint     atomic.Int64     // the dispatch position of the last checkpoint
}

// Run flushes, dispatches and deletes until ctx ends; then it writes out everything,
// marks the store as cleanly stopped and returns nil. It returns early, with the cause,
// when a write or a sync fails; nothing has been acknowledged since. Close it afterwards.
func (s *Store) Run(ctx context.Context) error {
	work, stopWork := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stopWork(nil)
	var wg sync.WaitGroup
	keep := func(run func(context.Context) error) {
		wg.Go(func() {
			if err := run(work); err != nil {
				stopWork(err)
			}
		})
	}
	logCtx, stopLog := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLog()
	logDone := make(chan error, 1)
	go func() { logDone <- s.clog.Run(logCtx) }()
	keep(s.dispatch.run)
	keep(s.checkpointLoop)
	keep(s.retentionLoop)

	var err error
	select {
	case <-ctx.Done(): // first the log, so that the others see its end
		stopLog()
		err = <-logDone
	case err = <-logDone:
	case <-work.Done():
		err = context.Cause(work)
		stopLog()
		<-logDone //nolint:errcheck // err came first, and is why the log ends
	}
	if err == nil {
		err = s.dispatch.drain(work)
	}
	stopWork(nil)
	wg.Wait()
	if cause := context.Cause(work); err == nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	if err != nil {
		return fmt.Errorf("store %s: %w", s.cfg.Dir, mapError(err))
	}
	return s.stopClean()
}

func (s *Store) stopClean() error {
	if err := s.checkpoint(); err != nil {
		return fmt.Errorf("write the last checkpoint: %w", err)
	}
	if err := s.fs.Remove(path.Join(s.cfg.Dir, "abort")); err != nil {
		return fmt.Errorf("mark the store as stopped: %w", err)
	}
	return s.fs.SyncDir(s.cfg.Dir)
}

// Close lets go of a store that is not run, or not any more. It writes nothing.
func (s *Store) Close() error {
	var errs []error
	if s.metrics != nil {
		s.metrics.unregister()
	}
	if s.index != nil {
		errs = append(errs, s.index.Close())
	}
	if s.marks != nil {
		errs = append(errs, s.marks.close())
	}
	errs = append(errs, s.cache.Close(), s.lock.Close())
	return errors.Join(errs...)
}

// MinPhysical is where the oldest log file begins.
func (s *Store) MinPhysical() int64 { return s.clog.Min() }

// MaxPhysical is where the next append goes.
func (s *Store) MaxPhysical() int64 { return s.clog.Max() }

// FlushedPhysical is up to where the log is durable.
func (s *Store) FlushedPhysical() int64 { return s.clog.Flushed() }

// ReadablePhysical is up to where the log may be read.
func (s *Store) ReadablePhysical() int64 { return s.clog.Readable() }

// DispatchedPhysical is up to where consume queues and index follow the log.
func (s *Store) DispatchedPhysical() int64 { return s.dispatch.pos.Load() }

// WaitDispatched waits until consume queues and index have everything below phys.
func (s *Store) WaitDispatched(ctx context.Context, phys int64) error {
	return s.dispatch.wait(ctx, phys)
}

// Subscribe adds a listener. Call it before Run: it hears of everything that Replay,
// called between Open and Run, has not shown.
func (s *Store) Subscribe(l Listener) { s.listeners = append(s.listeners, l) }

// HoldRetention adds somebody who may need old messages: a log file whose time is over is
// kept when fn says so, and asked about again at the next look. Call it before Run. fn must
// not block; it may read from the store.
func (s *Store) HoldRetention(fn func(Expired) (keep bool)) { s.holds = append(s.holds, fn) }

// BeforeDelete adds a hook that is called before the log below uptoPhys is removed, to
// carry forward what is needed of it. An error keeps the file; it is asked again later.
// It may put and wait. Call it before Run.
func (s *Store) BeforeDelete(fn func(uptoPhys int64) error) { s.hooks = append(s.hooks, fn) }

// SetWritable turns writes on and off; puts are refused with ErrNotWritable meanwhile.
func (s *Store) SetWritable(on bool) { s.notWritable.Store(!on) }

// Err says why the store refuses writes: ErrDiskFull, ErrFailed with its cause,
// ErrNotWritable, or nil.
func (s *Store) Err() error {
	if err := s.clog.Err(); err != nil {
		return mapError(err)
	}
	return s.refuse()
}

func (s *Store) refuse() error {
	switch {
	case s.notWritable.Load():
		return ErrNotWritable
	case s.ratioFull.Load():
		return ErrDiskFull
	}
	return nil
}

// DiskUsage tells how full the store's disk is; of two, the fuller one.
func (s *Store) DiskUsage() (vfs.Usage, error) {
	u, err := s.fs.DiskUsage(s.cfg.Dir)
	if err != nil || s.cfg.CommitLogDir == "" {
		return u, err
	}
	log, err := s.fs.DiskUsage(s.cfg.CommitLogDir)
	if err == nil && log.Ratio() > u.Ratio() {
		u = log
	}
	return u, err
}

// mapError gives the log's errors this package's names.
func mapError(err error) error {
	for _, m := range []struct{ from, to error }{
		{commitlog.ErrDiskFull, ErrDiskFull},
		{commitlog.ErrTimeout, ErrFlushTimeout},
		{commitlog.ErrStopped, ErrNotWritable},
		{commitlog.ErrTooLarge, ErrMessageTooLarge},
		{commitlog.ErrNotFound, ErrNotFound},
		{commitlog.ErrFailed, ErrFailed},
		{commitlog.ErrCorrupt, ErrCorrupt},
		{commitlog.ErrLostTail, ErrLostTail},
	} {
		if errors.Is(err, m.from) && !errors.Is(err, m.to) {
			return fmt.Errorf("%w: %w", m.to, err)
		}
	}
	return err
}
