package longpoll

import (
	"container/heap"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// ErrFull refuses a waiter for which there is no room.
var ErrFull = errors.New("longpoll: too many parked pulls")

// Key names the queue that a waiter waits for.
type Key struct {
	Topic   string
	QueueID int32
}

// Reason says why a waiter was woken.
type Reason int

const (
	// Arrived: a message that the waiter wants is readable.
	Arrived Reason = iota
	// Expired: the deadline passed, or the table is closing.
	Expired
)

// Waiter is one parked pull. It belongs to the table from Park until Wake.
type Waiter struct {
	// Owner is whatever goes away as a whole, a connection; it must be comparable.
	Owner any
	// Offset is the first queue offset that would be news.
	Offset int64
	// Wants selects by tags code; nil wants everything. It is called with the table
	// locked and must not block.
	Wants    func(tagsCode int64) bool
	Deadline time.Time
	// Wake is called once, on the goroutine that found the reason. It must not block.
	Wake func(Reason)
	// Dropped, where set, is called instead of Wake when the owner is gone.
	Dropped func()
	// Bytes is about what the waiter keeps in memory, for Limits.Bytes.
	Bytes int64

	key  Key
	heap int // index in Table.deadlines, -1 when not there
}

// Limits bound what clients can park.
type Limits struct {
	Total    int
	PerOwner int
	Bytes    int64 // of what waiters say that they keep; 0: no bound
}

// Table is safe for concurrent use.
type Table struct {
	limits Limits
	count  atomic.Int64 // parked waiters, so that an arrival with nobody waiting is free

	mu        sync.Mutex
	queues    map[Key][]*Waiter
	owners    map[any]map[*Waiter]struct{}
	deadlines deadlines
	bytes     int64 // of all that are parked
	kick      chan struct{}
	closed    bool
}

// New returns an empty table.
func New(limits Limits) *Table {
	return &Table{
		limits: limits,
		queues: map[Key][]*Waiter{},
		owners: map[any]map[*Waiter]struct{}{},
		kick:   make(chan struct{}, 1),
	}
}

// Len is the number of parked waiters.
func (t *Table) Len() int { return int(t.count.Load()) }

// Park adds w. The caller must look at the queue once more after Park and call
// Arrive itself if something came in between, since arrivals before Park went unseen.
func (t *Table) Park(key Key, w *Waiter) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || len(t.deadlines) >= t.limits.Total || len(t.owners[w.Owner]) >= t.limits.PerOwner ||
		t.limits.Bytes > 0 && t.bytes+w.Bytes > t.limits.Bytes {
		return ErrFull
	}
	t.bytes += w.Bytes
	w.key = key
	t.queues[key] = append(t.queues[key], w)
	if t.owners[w.Owner] == nil {
		t.owners[w.Owner] = map[*Waiter]struct{}{}
	}
	t.owners[w.Owner][w] = struct{}{}
	heap.Push(&t.deadlines, w)
	t.count.Add(1)
	if w.heap == 0 {
		select {
		case t.kick <- struct{}{}:
		default:
		}
	}
	return nil
}

// Arrive wakes the waiters of a queue that want the message at offset.
func (t *Table) Arrive(key Key, offset, tagsCode int64) {
	if t.count.Load() == 0 {
		return
	}
	t.wake(key, func(w *Waiter) bool {
		return offset >= w.Offset && (w.Wants == nil || w.Wants(tagsCode))
	})
}

// Advance wakes the waiters of a queue whose offset is below end, whatever they want:
// for a caller that knows the queue's end but not its messages.
func (t *Table) Advance(key Key, end int64) {
	if t.count.Load() == 0 {
		return
	}
	t.wake(key, func(w *Waiter) bool { return end > w.Offset })
}

func (t *Table) wake(key Key, due func(*Waiter) bool) {
	var woken []*Waiter
	t.mu.Lock()
	list := t.queues[key]
	for i := 0; i < len(list); {
		if w := list[i]; due(w) {
			woken = append(woken, w)
			t.removeLocked(w)
			list = t.queues[key]
			continue
		}
		i++
	}
	t.mu.Unlock()
	for _, w := range woken {
		w.Wake(Arrived)
	}
}

// DropOwner forgets the waiters of an owner that is gone; they are not woken.
func (t *Table) DropOwner(owner any) {
	t.mu.Lock()
	var gone []*Waiter
	for w := range t.owners[owner] {
		gone = append(gone, w)
	}
	for _, w := range gone {
		t.removeLocked(w)
	}
	t.mu.Unlock()
	for _, w := range gone {
		if w.Dropped != nil {
			w.Dropped()
		}
	}
}

// Expire wakes all waiters whose deadline is not after now and reports the next
// deadline; ok is false when nobody waits.
func (t *Table) Expire(now time.Time) (next time.Time, ok bool) {
	var woken []*Waiter
	t.mu.Lock()
	for len(t.deadlines) > 0 && !t.deadlines[0].Deadline.After(now) {
		w := t.deadlines[0]
		t.removeLocked(w)
		woken = append(woken, w)
	}
	if len(t.deadlines) > 0 {
		next, ok = t.deadlines[0].Deadline, true
	}
	t.mu.Unlock()
	for _, w := range woken {
		w.Wake(Expired)
	}
	return next, ok
}

// Run expires waiters until ctx ends, then wakes the rest and refuses new ones.
func (t *Table) Run(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := time.Hour
		if next, ok := t.Expire(time.Now()); ok {
			wait = max(time.Until(next), 0)
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			t.close()
			return nil
		case <-timer.C:
		case <-t.kick:
		}
	}
}

func (t *Table) close() {
	t.mu.Lock()
	t.closed = true
	all := append([]*Waiter(nil), t.deadlines...)
	for _, w := range all {
		t.removeLocked(w)
	}
	t.mu.Unlock()
	for _, w := range all {
		w.Wake(Expired)
	}
}

func (t *Table) removeLocked(w *Waiter) {
	list := t.queues[w.key]
	for i := range list {
		if list[i] == w {
			last := len(list) - 1
			list[i], list[last] = list[last], nil
			list = list[:last]
			break
		}
	}
	if len(list) == 0 {
		delete(t.queues, w.key)
	} else {
		t.queues[w.key] = list
	}
	mine := t.owners[w.Owner]
	delete(mine, w)
	if len(mine) == 0 {
		delete(t.owners, w.Owner)
	}
	heap.Remove(&t.deadlines, w.heap)
	t.bytes -= w.Bytes
	t.count.Add(-1)
}

// deadlines is a heap, the earliest first.
type deadlines []*Waiter

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].Deadline.Before(d[j].Deadline) }
func (d deadlines) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].heap, d[j].heap = i, j
}

func (d *deadlines) Push(x any) {
	w := x.(*Waiter)
	w.heap = len(*d)
	*d = append(*d, w)
}

func (d *deadlines) Pop() any {
	old := *d
	w := old[len(old)-1]
	old[len(old)-1] = nil
	*d = old[:len(old)-1]
	w.heap = -1
	return w
}
