package txn_test

import (
	"context"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"sync"

	"github.com/millrace/millrace/broker/store"
	"github.com/millrace/millrace/message"
)

// fakeLog is a store in a slice: appends are at once, durable when flush is called (or at
// once, unless hold is set), readable when durable.
type fakeLog struct {
	hold       bool
	failure    error // of appends
	unreadable error // of reads
	noIndex    bool  // by key

	mu        sync.Mutex // guards the records: looks into the log work aside
	recs      []fakeRecord
	next      int64 // place of the next record
	min       int64
	flushed   int // records
	dispatch  int // records
	done      []func()
	queues    map[store.QueueID]int64 // next offsets
	kept      map[store.QueueID]int64 // next offsets that retention has made known
	dropped   map[string]int64        // deleted topics: records below are none of their queues
	listeners []store.Listener
	hooks     []func(int64) error
	appends   int
	gets      int
	// between, when set, runs once between the making and the append of a record of the
	// topic that it returns true for.
	between func(topic string) bool
}

type fakeRecord struct {
	phys  int64
	bytes []byte
}

func newFakeLog() *fakeLog {
	return &fakeLog{queues: map[store.QueueID]int64{}, kept: map[store.QueueID]int64{}, dropped: map[string]int64{}}
}

// drop removes a topic's queues, durably.
func (l *fakeLog) drop(topic string) {
	l.dropped[topic] = l.next
	of := func(id store.QueueID, _ int64) bool { return id.Topic == topic }
	maps.DeleteFunc(l.queues, of)
	maps.DeleteFunc(l.kept, of)
}

// reopen is the log that a restart finds: what was durable, and of the rest the first keep
// records.
func (l *fakeLog) reopen(keep int) *fakeLog {
	n := min(l.flushed+keep, len(l.recs))
	f := newFakeLog()
	f.noIndex = l.noIndex
	f.recs, f.min = slices.Clone(l.recs[:n]), l.min
	f.kept, f.queues, f.dropped = maps.Clone(l.kept), maps.Clone(l.kept), maps.Clone(l.dropped)
	f.flushed, f.dispatch, f.next = n, n, l.next
	if n < len(l.recs) {
		f.next = l.recs[n].phys
	}
	for _, r := range f.recs {
		rec := r.record()
		if r.phys >= f.dropped[rec.Topic] {
			f.queues[store.QueueID{Topic: rec.Topic, ID: rec.QueueID}] = rec.QueueOffset + 1
		}
	}
	return f
}

func (r fakeRecord) record() message.Record {
	rec, _, err := message.ParseRecord(r.bytes)
	if err != nil {
		panic(err)
	}
	return rec
}

func (l *fakeLog) Put(req *store.PutRequest) {
	id := store.QueueID{Topic: req.Record.Topic, ID: req.Record.QueueID}
	fail := func(err error) { req.Done(store.PutResult{Err: err}) }
	if l.failure != nil {
		fail(l.failure)
		return
	}
	if f := l.between; f != nil {
		l.between = nil
		if !f(req.Record.Topic) {
			l.between = f
		}
	}
	if req.Gate != nil {
		if err := req.Gate.Admit(l.queues[id]); err != nil {
			fail(err)
			return
		}
	}
	rec := *req.Record
	rec.QueueOffset, rec.PhysicalOffset, rec.StoreTimestamp = l.queues[id], l.next, int64(len(l.recs))
	rec.StoreHost = netip.MustParseAddrPort("127.0.0.1:10911")
	b, err := message.AppendRecord(nil, &rec)
	if err != nil {
		fail(err)
		return
	}
	l.mu.Lock()
	l.recs = append(l.recs, fakeRecord{rec.PhysicalOffset, b})
	l.next += int64(len(b))
	l.mu.Unlock()
	l.queues[id]++
	l.appends++
	if req.Gate != nil {
		req.Gate.Appended(rec.QueueOffset, rec.PhysicalOffset)
	}
	res := store.PutResult{QueueOffset: rec.QueueOffset, PhysicalOffset: rec.PhysicalOffset, StoreHost: rec.StoreHost}
	l.done = append(l.done, func() { req.Done(res) })
	if !l.hold {
		l.flush()
	}
}

// flush makes everything durable, answers, and dispatches.
func (l *fakeLog) flush() {
	l.mu.Lock()
	l.flushed = len(l.recs)
	l.mu.Unlock()
	for len(l.done) > 0 {
		f := l.done[0]
		l.done = l.done[1:]
		f()
	}
	for ; l.dispatch < l.flushed; l.dispatch++ {
		rec := l.recs[l.dispatch].record()
		for _, ls := range l.listeners {
			ls.Dispatched(&rec, rec.PhysicalOffset, rec.TotalSize)
		}
	}
}

// retain calls the hooks and removes everything below upTo.
func (l *fakeLog) retain(upTo int64) error {
	for _, hook := range l.hooks {
		if err := hook(upTo); err != nil {
			return err
		}
	}
	n := slices.IndexFunc(l.recs, func(r fakeRecord) bool { return r.phys >= upTo })
	if n < 0 {
		n = len(l.recs)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recs = l.recs[n:]
	l.flushed, l.dispatch = l.flushed-n, l.dispatch-n
	l.min, l.kept = upTo, maps.Clone(l.queues)
	return nil
}

func (l *fakeLog) durable() []fakeRecord {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.recs[:l.flushed]
}

func (l *fakeLog) ReadRecord(phys int64) (message.Record, []byte, error) {
	if l.unreadable != nil {
		return message.Record{}, nil, l.unreadable
	}
	for _, r := range l.durable() {
		if r.phys == phys {
			b := slices.Clone(r.bytes)
			rec, _, err := message.ParseRecord(b)
			return rec, b, err
		}
	}
	return message.Record{}, nil, fmt.Errorf("record at %d: %w", phys, store.ErrNotFound)
}

func (l *fakeLog) each(topic string, queue int32, fn func(message.Record)) {
	for _, r := range l.durable() {
		if rec := r.record(); rec.Topic == topic && rec.QueueID == queue {
			fn(rec)
		}
	}
}

func (l *fakeLog) Get(topic string, queue int32, offset int64, o store.GetOptions) (store.GetResult, error) {
	res := store.GetResult{LastPhysical: -1, NextOffset: offset}
	l.gets++
	l.each(topic, queue, func(rec message.Record) {
		if rec.QueueOffset == res.NextOffset && res.Count < o.MaxMsgs {
			res.LastPhysical, res.Count, res.NextOffset = rec.PhysicalOffset, res.Count+1, res.NextOffset+1
			res.Buf, _ = message.AppendRecord(res.Buf, &rec)
		}
	})
	return res, nil
}

func (l *fakeLog) QueueRange(topic string, queue int32) (low, high int64, ok bool) {
	low = math.MaxInt64
	l.each(topic, queue, func(rec message.Record) { low, high, ok = min(low, rec.QueueOffset), rec.QueueOffset+1, true })
	return low, high, ok
}

func (l *fakeLog) QueryByKey(topic, key string, _ int, _, _ int64) (store.QueryResult, error) {
	var res store.QueryResult
	if l.noIndex {
		return res, store.ErrNotFound
	}
	for _, r := range l.durable() {
		rec := r.record()
		if k, _ := rec.Property(message.PropertyUniqueKey); rec.Topic == topic && k == key {
			res.Messages = append(res.Messages, r.bytes)
		}
	}
	return res, nil
}

func (l *fakeLog) WaitDispatched(context.Context, int64) error { return nil }
func (l *fakeLog) NextOffset(topic string, queue int32) int64 {
	return l.queues[store.QueueID{Topic: topic, ID: queue}]
}
func (l *fakeLog) MinPhysical() int64                { return l.min }
func (l *fakeLog) MaxPhysical() int64                { return l.next }
func (l *fakeLog) Subscribe(ls store.Listener)       { l.listeners = append(l.listeners, ls) }
func (l *fakeLog) BeforeDelete(fn func(int64) error) { l.hooks = append(l.hooks, fn) }

func (l *fakeLog) FlushedPhysical() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.flushed < len(l.recs) {
		return l.recs[l.flushed].phys
	}
	return l.next
}

func (l *fakeLog) Replay(from int64, fn func(*message.Record, int64, int32) error) error {
	for _, r := range l.recs {
		if r.phys < from {
			continue
		}
		rec := r.record()
		if err := fn(&rec, r.phys, rec.TotalSize); err != nil {
			return err
		}
	}
	return nil
}
