package commitlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/broker/store/segment"
	"github.com/millrace/millrace/message"
)

// Errors that steer.
var (
	// ErrDiskFull refuses appends while a write finds no space.
	ErrDiskFull = errors.New("commit log: no space on the disk")
	// ErrTimeout answers an append whose write or sync is overdue. It may be stored yet.
	ErrTimeout = errors.New("commit log: write or sync is overdue")
	// ErrFailed answers appends after a failed write or sync.
	ErrFailed = errors.New("commit log has failed")
	// ErrStopped answers appends after the end of Run.
	ErrStopped = errors.New("commit log is stopped")
	// ErrTooLarge refuses what does not fit into a file.
	ErrTooLarge = errors.New("commit log: larger than a file")
	// ErrNotFound says that a place is below the first file or not readable yet.
	ErrNotFound = errors.New("commit log: nothing readable there")
	// ErrCorrupt says that bytes which were durable are damaged.
	ErrCorrupt = errors.New("commit log is damaged")
	// ErrLostTail says that the log ends before what is known to have been durable.
	ErrLostTail = errors.New("commit log has lost its tail")
)

// batchSize is how much one pwrite takes when much has gathered.
const batchSize = 256 << 10

// maxFree is how many buffers are kept for later.
const maxFree = 32

// Entry is one append. Its methods are called in this order, each at most once.
type Entry interface {
	// Admit is called under the append lock. After an error nothing is appended and Done
	// gets that error.
	Admit() error
	// Place is called under the append lock with the bytes' copy in the log's buffer, to
	// be completed; they will stand at phys.
	Place(b []byte, phys, storeTimestamp int64)
	// Done is called exactly once, when the guarantee holds or cannot be kept.
	Done(err error)
}

// Config of a log.
type Config struct {
	// Sync answers, and lets read, only what is synced.
	Sync          bool
	FlushInterval time.Duration // of async flush
	// Overdue is when an append that still waits is answered with ErrTimeout.
	Overdue   time.Duration
	MaxBuffer int
	// MaxRecord is larger than any record; recovery believes no longer one.
	MaxRecord int
	PreWrite  int64
	// Now is the clock, in milliseconds.
	Now func() int64
	// Readable is called in order for every run of bytes that became readable, from the
	// writer. Who returns true keeps b and calls Recycle with it later.
	Readable func(start, end int64, b []byte) (kept bool)
	// Flushed is called after every sync with what is durable now and the store
	// timestamp of the last append before it.
	Flushed func(pos, storeTimestamp int64)
}

// Log is a commit log. New one, Recover it, Run it; Append may begin after Recover.
type Log struct {
	cfg   Config
	files *segment.Files
	log   *slog.Logger

	written, flushed atomic.Int64
	lastTimestamp    atomic.Int64 // of the last append

	mu       sync.Mutex // the append lock
	work     *sync.Cond // something to write, or the end
	space    *sync.Cond // buffer space again
	tail     int64
	active   *batch
	sealed   []*batch
	inflight []*batch // taken by the writer, not answered
	taken    []*batch // the writer's; swapped with sealed
	free     []*batch // without memory
	buffers  [][]byte // of batchSize
	buffered int
	full     bool // the disk is
	failed   error
	stopped  bool

	zero   prewriter
	blocks blocks
	kick   chan struct{} // sync now (async flush)

	syncing sync.Mutex // one SyncNow at a time; taken before mu
}

// batch is a run of appends in one file. end is behind the blank where the run ends a file.
type batch struct {
	start, end int64
	buf        []byte
	waiters    []waiter // guarded by Log.mu
	spare      []waiter // the writer's
	since      time.Time
	timestamp  int64
}

type waiter struct {
	entry   Entry
	durable bool
}

// New returns a log over files.
func New(files *segment.Files, cfg Config, log *slog.Logger) *Log {
	l := &Log{cfg: cfg, files: files, log: log, kick: make(chan struct{}, 1)}
	l.work, l.space = sync.NewCond(&l.mu), sync.NewCond(&l.mu)
	l.zero.init()
	l.blocks = blocks{log: l, kept: map[int64]*block{}}
	return l
}

// Min is where the first file starts.
func (l *Log) Min() int64 { first, _ := l.files.Range(); return first }

// Max is where the next append goes, or the one after a blank.
func (l *Log) Max() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tail
}

// Flushed is up to where the log is durable.
func (l *Log) Flushed() int64 { return l.flushed.Load() }

// Written is up to where the operating system has the log.
func (l *Log) Written() int64 { return l.written.Load() }

// Readable is up to where the log may be read.
func (l *Log) Readable() int64 {
	if l.cfg.Sync {
		return l.flushed.Load()
	}
	return l.written.Load()
}

// LastTimestamp is the store timestamp of the last append.
func (l *Log) LastTimestamp() int64 { return l.lastTimestamp.Load() }

// Files are the log's files.
func (l *Log) Files() *segment.Files { return l.files }

// Err says why appends are refused; nil when they are not.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refuseLocked()
}

func (l *Log) refuseLocked() error {
	switch {
	case l.failed != nil:
		return l.failed
	case l.stopped:
		return ErrStopped
	case l.full:
		return ErrDiskFull
	}
	return nil
}

// Locked runs fn under the append lock, with the place of the next append.
func (l *Log) Locked(fn func(tail int64)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fn(l.tail)
}

// Append appends b, which is complete but for what Entry.Place fills in. b is copied.
// durable waits for a sync under async flush as well. It blocks while MaxBuffer is in use.
func (l *Log) Append(e Entry, b []byte, durable bool) {
	if err := l.append(e, b, durable); err != nil {
		e.Done(err)
	}
}

func (l *Log) append(e Entry, b []byte, durable bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.buffered > 0 && l.buffered+len(b) > l.cfg.MaxBuffer && l.refuseLocked() == nil {
		l.space.Wait()
	}
	if err := l.refuseLocked(); err != nil {
		return err
	}
	if int64(len(b))+message.HeadLen > l.files.FileSize() {
		return fmt.Errorf("%w: %d bytes in files of %d", ErrTooLarge, len(b), l.files.FileSize())
	}
	if err := e.Admit(); err != nil {
		return err
	}
	ts := max(l.cfg.Now(), l.lastTimestamp.Load())
	l.lastTimestamp.Store(ts)
	dst, phys := l.roomLocked(len(b))
	copy(dst, b)
	e.Place(dst, phys, ts)
	a := l.active
	a.timestamp = ts
	if len(a.waiters) == 0 {
		a.since = time.Now()
	}
	a.waiters = append(a.waiters, waiter{e, durable})
	l.work.Signal()
	return nil
}

// roomLocked makes room for n bytes at the tail, in the next file where they do not fit.
func (l *Log) roomLocked(n int) ([]byte, int64) {
	size := l.files.FileSize()
	if left := size - l.tail%size; int64(n)+message.HeadLen > left {
		a := l.activeLocked(message.HeadLen)
		a.buf = message.AppendBlank(a.buf, int(left))
		l.buffered += message.HeadLen
		l.tail += left
		a.end = l.tail
		l.sealLocked()
	}
	a := l.activeLocked(n)
	at := len(a.buf)
	a.buf = a.buf[:at+n]
	phys := l.tail
	l.tail += int64(n)
	a.end = l.tail
	l.buffered += n
	return a.buf[at:], phys
}

// activeLocked returns a batch that has n bytes left.
func (l *Log) activeLocked(n int) *batch {
	if a := l.active; a != nil && len(a.buf)+n > cap(a.buf) {
		l.sealLocked()
	}
	if l.active == nil {
		b := &batch{}
		if k := len(l.free); k > 0 {
			b, l.free = l.free[k-1], l.free[:k-1]
			b.waiters, b.spare = b.spare, nil
		}
		if k := len(l.buffers); k > 0 && n <= batchSize {
			b.buf, l.buffers = l.buffers[k-1], l.buffers[:k-1]
		} else {
			b.buf = make([]byte, 0, max(n, batchSize))
		}
		b.start, b.end = l.tail, l.tail
		l.active = b
	}
	return l.active
}

func (l *Log) sealLocked() {
	l.sealed = append(l.sealed, l.active)
	l.active = nil
}

// Recycle gives a buffer back that Readable kept.
func (l *Log) Recycle(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recycleLocked(b)
}

func (l *Log) recycleLocked(b []byte) {
	if cap(b) == batchSize && len(l.buffers) < maxFree {
		l.buffers = append(l.buffers, b[:0])
	}
}

// waitersLocked takes what waits for the batch: all of it, or what does not ask for a sync.
func (b *batch) waitersLocked(all bool) []waiter {
	w := b.waiters
	b.waiters = nil
	if all {
		return w
	}
	var now []waiter
	for i, x := range w {
		switch {
		case x.durable && b.waiters == nil: // the first: from here on there are two lists
			now = append(now, w[:i]...)
			b.waiters = append(b.waiters, x)
		case x.durable:
			b.waiters = append(b.waiters, x)
		case b.waiters != nil:
			now = append(now, x)
		}
	}
	if b.waiters == nil {
		return w
	}
	return now
}

// answer completes what waits for a batch. The writer, whose batch it is, gets the memory
// of the waiters back for the next use.
func (l *Log) answer(b *batch, all bool, err error) {
	l.mu.Lock()
	w := b.waitersLocked(all)
	l.mu.Unlock()
	for _, x := range w {
		x.entry.Done(err)
	}
	if clear(w); b.spare == nil {
		b.spare = w[:0]
	}
}

// fail ends the log: everything that waits, and all that comes, is answered with err.
func (l *Log) fail(err error) {
	l.mu.Lock()
	if l.failed == nil {
		l.failed = fmt.Errorf("%w: %w", ErrFailed, err)
	}
	err = l.failed
	var waiting []waiter
	for _, b := range slices.Concat(l.inflight, l.sealed) {
		waiting = append(waiting, b.waitersLocked(true)...)
	}
	if l.active != nil {
		waiting = append(waiting, l.active.waitersLocked(true)...)
	}
	l.inflight, l.sealed, l.active, l.buffered = nil, nil, nil, 0
	l.work.Broadcast()
	l.space.Broadcast()
	l.mu.Unlock()
	l.zero.stop()
	for _, w := range waiting {
		w.entry.Done(err)
	}
}

// Run writes and syncs until ctx ends, then writes and syncs what is left and returns
// nil; or it returns what made the log fail.
func (l *Log) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	writerDone := make(chan struct{})
	wg.Go(func() { defer close(writerDone); l.writeLoop(ctx) })
	wg.Go(func() { l.watch(writerDone) })
	if l.cfg.Sync {
		wg.Go(func() { l.prewriteLoop() })
	} else {
		wg.Go(func() { l.syncLoop(writerDone) })
	}
	stop := context.AfterFunc(ctx, func() {
		l.mu.Lock()
		l.stopped = true
		l.work.Broadcast()
		l.space.Broadcast()
		l.mu.Unlock()
	})
	defer stop()
	<-writerDone
	l.zero.stop()
	wg.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	return l.failed
}
