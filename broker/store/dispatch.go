package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/millrace/millrace/broker/store/consumequeue"
	"github.com/millrace/millrace/message"
)

// maxHandoff bounds the buffers that wait for the dispatcher. Beyond it the dispatcher
// reads the log: it falls behind, and appends do not wait for it.
const maxHandoff = 24

// dispatcher carries what became readable into consume queues, index and listeners, in
// log order. It is off the path of appends.
type dispatcher struct {
	s *Store

	mu        sync.Mutex // held while a run of records is applied
	pos       atomic.Int64
	timestamp int64 // of the last record below pos
	rec       message.Record

	handMu  sync.Mutex
	handed  []handoff
	wake    chan struct{}
	waiters []dispatchWaiter
}

type handoff struct {
	start, end int64
	buf        []byte
}

type dispatchWaiter struct {
	pos  int64
	done chan struct{}
}

// readable takes a run of bytes that may be read now. It reports whether it keeps them.
func (d *dispatcher) readable(start, end int64, b []byte) bool {
	d.handMu.Lock()
	kept := len(d.handed) < maxHandoff
	if kept {
		d.handed = append(d.handed, handoff{start, end, b})
	}
	d.handMu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
	return kept
}

func (d *dispatcher) run(ctx context.Context) error {
	for {
		if err := d.catchUp(ctx); err != nil {
			return err
		}
		select {
		case <-d.wake:
		case <-ctx.Done():
			return nil
		}
	}
}

// drain waits until everything readable is dispatched.
func (d *dispatcher) drain(ctx context.Context) error {
	select {
	case d.wake <- struct{}{}:
	default:
	}
	if err := d.wait(ctx, d.s.clog.Readable()); err != nil {
		return context.Cause(ctx)
	}
	return nil
}

// catchUp applies everything that is readable.
func (d *dispatcher) catchUp(ctx context.Context) error {
	for {
		h, ok := d.next()
		switch {
		case ok && h.start == d.pos.Load():
			err := d.apply(ctx, h)
			d.s.clog.Recycle(h.buf)
			if err != nil {
				return err
			}
		case ok && h.end <= d.pos.Load():
			d.s.clog.Recycle(h.buf)
		case ok || d.pos.Load() < d.s.clog.Readable():
			if ok {
				d.s.clog.Recycle(h.buf)
			}
			if err := d.scan(ctx); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

func (d *dispatcher) next() (handoff, bool) {
	d.handMu.Lock()
	defer d.handMu.Unlock()
	if len(d.handed) == 0 {
		return handoff{}, false
	}
	h := d.handed[0]
	d.handed = d.handed[:copy(d.handed, d.handed[1:])]
	return h, true
}

func (d *dispatcher) apply(ctx context.Context, h handoff) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for b, pos := h.buf, h.start; len(b) > 0; {
		var n int
		var err error
		d.rec, n, err = message.ParseRecord(b)
		if errors.Is(err, message.ErrBlank) {
			break
		}
		if err != nil {
			panic("BUG: the log handed on what is no record: " + err.Error())
		}
		if err := d.one(ctx, &d.rec, pos, int32(n)); err != nil {
			return err
		}
		b, pos = b[n:], pos+int64(n)
	}
	d.advance(h.end)
	return nil
}

// scanPiece is how much the dispatcher reads from the log before it lets others at it.
const scanPiece = 4 << 20

var errPause = errors.New("enough for now")

// scan reads from the log what was not handed over, a piece of it.
func (d *dispatcher) scan(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	start := d.pos.Load()
	pos, err := d.s.clog.Scan(start, func(rec *message.Record, phys int64, size int32) error {
		if phys-start >= scanPiece {
			return errPause
		}
		return d.one(ctx, rec, phys, size)
	})
	if err != nil && !errors.Is(err, errPause) {
		return err
	}
	d.advance(pos)
	return nil
}

// one applies a record that became readable. A full disk is waited for: appends are
// refused meanwhile, so nothing piles up.
func (d *dispatcher) one(ctx context.Context, rec *message.Record, phys int64, size int32) error {
	if err := d.toQueue(rec, phys, size); err != nil {
		return err
	}
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := d.toIndex(rec, phys)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return err
		}
	}
	d.timestamp = rec.StoreTimestamp
	for _, l := range d.s.listeners {
		l.Dispatched(rec, phys, size)
	}
	return nil
}

// errOutOfOrder says that a record does not follow the last entry of its queue.
var errOutOfOrder = errors.New("record is not the next of its queue")

// toQueue adds the entry of a record to its consume queue.
func (d *dispatcher) toQueue(rec *message.Record, phys int64, size int32) error {
	if st := message.TransactionState(rec.SysFlag); st == message.TransactionPrepared || st == message.TransactionRollback {
		return nil
	}
	if phys < d.s.tombs[rec.Topic] {
		return nil
	}
	q, err := d.s.ensureQueue(rec.Topic, rec.QueueID)
	if err != nil {
		return err
	}
	if top := q.cq.Max(); rec.QueueOffset != top {
		return fmt.Errorf("%w: topic %s, queue %d, offset %d at %d, where %d is due",
			errOutOfOrder, rec.Topic, rec.QueueID, rec.QueueOffset, phys, top)
	}
	q.cq.Append(consumequeue.Unit{Phys: phys, Size: size, Tags: d.s.tagsCode(rec)})
	return q.spill()
}

// spill writes a queue's entries when enough of them wait in memory. On a full disk they
// go on waiting.
func (q *queue) spill() error {
	if !q.cq.Full() {
		return nil
	}
	if err := q.cq.Write(); err != nil && !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("write consume queue of topic %s, queue %d: %w", q.Topic, q.ID, err)
	}
	return nil
}

// tagsCode is what the consume queue keeps of a record's tag; of a scheduled one, when
// it is due.
func (s *Store) tagsCode(rec *message.Record) int64 {
	if rec.Topic == message.TopicSchedule {
		if v, ok := rec.Property(message.PropertyDelay); ok {
			if level, err := strconv.Atoi(v); err == nil && level > 0 && len(s.levels) > 0 {
				return rec.StoreTimestamp + s.levels[min(level, len(s.levels))-1].Milliseconds()
			}
		}
	}
	tag, _ := rec.Property(message.PropertyTags)
	return message.TagsCode(tag)
}

// toIndex adds a record's keys to the index.
func (d *dispatcher) toIndex(rec *message.Record, phys int64) error {
	x := d.s.index
	if x == nil || message.TransactionState(rec.SysFlag) == message.TransactionRollback {
		return nil
	}
	if k, ok := rec.Property(message.PropertyUniqueKey); ok {
		if err := x.Put(rec.Topic, k, phys, rec.StoreTimestamp); err != nil {
			return err
		}
	}
	keys, _ := rec.Property(message.PropertyKeys)
	for keys != "" {
		var k string
		if k, keys, _ = strings.Cut(keys, message.KeySeparator); k == "" {
			continue
		}
		if err := x.Put(rec.Topic, k, phys, rec.StoreTimestamp); err != nil {
			return err
		}
	}
	return nil
}

// advance moves the position and wakes those who wait for it.
func (d *dispatcher) advance(pos int64) {
	d.handMu.Lock()
	d.pos.Store(pos)
	kept := d.waiters[:0]
	for _, w := range d.waiters {
		if w.pos <= pos {
			close(w.done)
		} else {
			kept = append(kept, w)
		}
	}
	d.waiters = kept
	d.handMu.Unlock()
	if pos-d.s.lastPoint.Load() >= d.s.cfg.CheckpointBytes {
		d.s.kickKeeper()
	}
}

func (d *dispatcher) wait(ctx context.Context, pos int64) error {
	d.handMu.Lock()
	if d.pos.Load() >= pos {
		d.handMu.Unlock()
		return nil
	}
	w := dispatchWaiter{pos, make(chan struct{})}
	d.waiters = append(d.waiters, w)
	d.handMu.Unlock()
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
