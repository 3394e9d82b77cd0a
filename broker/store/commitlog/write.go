package commitlog

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/millrace/millrace/internal/seeded"
)

// writeLoop is the one writer of the log. It ends when the log has failed, or when ctx
// has ended and nothing is left to write.
func (l *Log) writeLoop(ctx context.Context) {
	for {
		batches := l.take()
		if batches == nil {
			return
		}
		if err := l.writeAll(ctx, batches); err != nil {
			l.fail(err)
			return
		}
	}
}

// take waits for something to write. It returns nil at the end.
func (l *Log) take() []*batch {
	// Those who have just been answered go first: what they append next comes along with
	// this sync rather than waiting for the one after it.
	runtime.Gosched()
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.sealed) == 0 && l.active == nil && !l.stopped && l.failed == nil {
		l.work.Wait()
	}
	if l.failed != nil || len(l.sealed) == 0 && l.active == nil {
		return nil
	}
	if l.active != nil {
		l.sealLocked()
	}
	batches := l.sealed
	l.sealed, l.taken = l.taken[:0], batches
	l.inflight = append(l.inflight, batches...)
	return batches
}

func (l *Log) writeAll(ctx context.Context, batches []*batch) error {
	for _, b := range batches {
		if err := l.writeBatch(ctx, b); err != nil {
			return err
		}
		if !l.cfg.Sync {
			l.publish([]*batch{b})
		}
	}
	if !l.cfg.Sync {
		return nil
	}
	if seeded.On(seeded.AckBeforeFlush) {
		for _, b := range batches {
			l.answer(b, true, nil)
		}
	}
	last := batches[len(batches)-1]
	if err := l.sync(last.end, last.timestamp); err != nil {
		return err
	}
	l.publish(batches)
	return nil
}

// writeBatch writes one batch; while the disk is full it tries again. The bytes are
// rewritten from the batch's start, so a torn try leaves no trace.
func (l *Log) writeBatch(ctx context.Context, b *batch) error {
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := l.writeOnce(b)
		if err == nil {
			l.setFull(false)
			l.written.Store(b.end)
			return nil
		}
		if !isFull(err) {
			return err
		}
		if l.setFull(true) {
			l.log.Warn("disk is full; refusing writes until there is space", "err", err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return err // stopping: those that wait are told that the outcome is unknown
		}
	}
}

func (l *Log) writeOnce(b *batch) error {
	if err := l.files.Ensure(b.start); err != nil {
		return err
	}
	l.zero.beforeWrite(b.start, b.start+int64(len(b.buf)))
	return l.files.WriteAt(b.buf, b.start)
}

// isFull tells errors that pass when somebody makes space.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// setFull reports whether that is a change.
func (l *Log) setFull(on bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.full == on {
		return false
	}
	l.full = on
	l.space.Broadcast()
	return true
}

// sync makes everything below pos durable.
func (l *Log) sync(pos, timestamp int64) error {
	from := l.flushed.Load()
	if from >= pos {
		return nil
	}
	if err := l.files.Sync(from, pos); err != nil {
		return err
	}
	l.flushed.Store(pos)
	l.cfg.Flushed(pos, timestamp)
	return nil
}

// publish lets the batches be read, answers them and hands their bytes on.
func (l *Log) publish(batches []*batch) {
	start, end := batches[0].start, batches[len(batches)-1].end // the batches are used again below
	for _, b := range batches {
		l.answer(b, l.cfg.Sync, nil)
	}
	for _, b := range batches {
		kept := l.cfg.Readable(b.start, b.end, b.buf)
		l.release(b, kept)
	}
	l.zero.advance(end, end-start)
}

// release takes a batch out of flight unless somebody waits for its sync.
func (l *Log) release(b *batch, kept bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buffered -= len(b.buf)
	l.space.Broadcast()
	if !kept {
		l.recycleLocked(b.buf)
	}
	b.buf = nil
	if len(b.waiters) > 0 {
		l.kickSync()
		return
	}
	l.inflight = slices.DeleteFunc(l.inflight, func(x *batch) bool { return x == b })
	if len(l.free) < maxFree {
		l.free = append(l.free, b)
	}
}

func (l *Log) kickSync() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// syncLoop is the syncer of async flush. It ends behind the writer, with everything synced.
func (l *Log) syncLoop(writerDone <-chan struct{}) {
	t := time.NewTicker(l.cfg.FlushInterval)
	defer t.Stop()
	for last := false; !last; {
		select {
		case <-t.C:
		case <-l.kick:
		case <-writerDone:
			last = true
		}
		if l.SyncNow() != nil {
			return
		}
	}
}

// SyncNow makes durable what is written, and answers those who wait for it. Under sync
// flush there is never anything to do.
func (l *Log) SyncNow() error {
	if l.cfg.Sync {
		return nil
	}
	l.syncing.Lock()
	defer l.syncing.Unlock()
	l.mu.Lock()
	failed := l.failed
	l.mu.Unlock()
	if failed != nil {
		return failed
	}
	pos := l.written.Load()
	if err := l.sync(pos, l.LastTimestamp()); err != nil {
		// Before anybody else syncs: the system tells of a lost write only once.
		l.fail(err)
		return err
	}
	var done []waiter
	l.mu.Lock()
	l.inflight = slices.DeleteFunc(l.inflight, func(b *batch) bool {
		synced := b.end <= pos && b.buf == nil
		if synced {
			done = append(done, b.waitersLocked(true)...)
		}
		return synced
	})
	l.mu.Unlock()
	for _, w := range done {
		w.entry.Done(nil)
	}
	return nil
}

// watch answers those whose write or sync is overdue: on a disk that is full or stuck.
func (l *Log) watch(writerDone <-chan struct{}) {
	t := time.NewTicker(max(l.cfg.Overdue/4, time.Millisecond))
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-writerDone:
			return
		}
		for _, w := range l.overdue() {
			w.entry.Done(ErrTimeout)
		}
	}
}

func (l *Log) overdue() (late []waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	batches := slices.Concat(l.inflight, l.sealed)
	if l.active != nil {
		batches = append(batches, l.active)
	}
	for _, b := range batches {
		if len(b.waiters) > 0 && time.Since(b.since) > l.cfg.Overdue {
			late = append(late, b.waitersLocked(true)...)
		}
	}
	return late
}
