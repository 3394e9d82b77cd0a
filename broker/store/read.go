package store

import (
	"errors"
	"fmt"

	"github.com/millrace/millrace/broker/store/commitlog"
	"github.com/millrace/millrace/broker/store/consumequeue"
	"github.com/millrace/millrace/broker/store/segment"
	"github.com/millrace/millrace/message"
)

// Get reads a queue from offset on. The error is nil for every status; it is not nil when
// a file cannot be read or is damaged.
func (s *Store) Get(topic string, queueID int32, offset int64, o GetOptions) (GetResult, error) {
	res := GetResult{Status: NoMatchedLogicQueue, LastPhysical: -1}
	q := s.queue(topic, queueID)
	if q == nil {
		return res, nil
	}
	var err error
	if res.Min, err = s.minOffset(q); err != nil {
		return res, err
	}
	res.Max = q.cq.Max()
	switch {
	case res.Max == 0:
		res.Status, res.NextOffset = NoMessageInQueue, 0
	case offset < res.Min:
		res.Status, res.NextOffset = OffsetTooSmall, res.Min
	case offset == res.Max:
		res.Status, res.NextOffset = OffsetOverflowOne, offset
	case offset > res.Max:
		res.Status, res.NextOffset = OffsetOverflowBadly, res.Max
	default:
		err = s.collect(q, offset, o, &res)
	}
	return res, err
}

const (
	// unitsPerRead is how many entries of a consume queue are read at once, at most.
	unitsPerRead = 512
	// unitsToFilter is how many of them a filter is asked about at once, at least.
	unitsToFilter = 64
)

// collect fills res from the entries at offset on, which exist.
func (s *Store) collect(q *queue, offset int64, o GetOptions, res *GetResult) error {
	maxMsgs := max(o.MaxMsgs, 1)
	m := s.readMemory()
	defer s.reads.Put(m)
	r := runReader{s: s, q: q, o: &o, res: res, m: m}
	res.Status, res.NextOffset = NoMatchedMessage, offset
	scanned, bytes, taken := 0, 0, 0
	for taken < maxMsgs && scanned < max(s.cfg.MaxFilterScan, maxMsgs) {
		want := maxMsgs - taken
		if o.Filter != nil || o.MessageFilter != nil {
			want = max(want, unitsToFilter)
		}
		want = min(want, unitsPerRead)
		n, err := q.cq.ReadWith(offset, m.units[:want], m.entries[:])
		if err != nil {
			return s.readFailed(res, s.queueDamage(q, err))
		}
		if n == 0 {
			break
		}
		for i, u := range m.units[:n] {
			if o.Filter != nil && !o.Filter(u.Tags) {
				continue
			}
			if taken == maxMsgs || taken > 0 && o.MaxBytes > 0 && bytes+int(u.Size) > o.MaxBytes {
				if err := r.finish(offset + int64(i)); err != nil {
					return s.readFailed(res, err)
				}
				return nil
			}
			left := maxMsgs - taken
			if n < want || o.Filter != nil || o.MessageFilter != nil { // no more than these are known to come
				left = min(left, n-i)
			}
			if err := r.add(offset+int64(i), u, left); err != nil {
				return s.readFailed(res, err)
			}
			if o.MessageFilter != nil { // it decides now whether the message counts
				if err := r.flush(); err != nil {
					return s.readFailed(res, err)
				}
				taken, bytes = res.Count, len(res.Buf)
				continue
			}
			taken, bytes = taken+1, bytes+int(u.Size)
		}
		offset += int64(n)
		scanned += n
		if err := r.finish(offset); err != nil {
			return s.readFailed(res, err)
		}
	}
	return nil
}

// readFailed ends a result at what cannot be read. What stands before it is answered:
// whoever reads on begins with it and is told. Messages that retention took under the
// reader's hands are a status.
func (s *Store) readFailed(res *GetResult, err error) error {
	switch {
	case res.Count > 0:
		return nil
	case errors.Is(err, commitlog.ErrNotFound):
		res.Status = MessageWasRemoving
		return nil
	}
	return mapError(err)
}

// verify compares a record that was read with the entry that led to it, and the body with
// its checksum: a reader gets what was written or an error.
func (s *Store) verify(q *queue, b []byte, offset int64, u consumequeue.Unit) error {
	size, _, err := message.ParseHead(b)
	if err != nil || size != len(b) || len(b) < message.PhysicalOffsetAt+8 || !isRecordOf(b, q.ID, offset, u.Phys) {
		return s.blame(q, offset, u)
	}
	if !s.cfg.CheckCRCOnRead {
		return nil
	}
	var rec message.Record
	if _, err = rec.Parse(b); err == nil {
		err = rec.CheckCRC()
	}
	if err != nil {
		return s.logDamage(u.Phys, err)
	}
	if rec.Topic != q.Topic {
		return s.blame(q, offset, u)
	}
	return nil
}

// blame finds out which of the two is damaged when an entry and what it leads to do not
// match: from the start of the log file, do records lead to the entry's place or past it?
func (s *Store) blame(q *queue, offset int64, u consumequeue.Unit) error {
	why := fmt.Errorf("%w: offset %d leads to %d, where another record stands", consumequeue.ErrDamaged, offset, u.Phys)
	if u.Phys < s.clog.Min() || u.Phys+int64(u.Size) > s.clog.Readable() {
		return s.queueDamage(q, why)
	}
	sound := false
	at, err := s.clog.Scan(s.clog.Files().StartOf(u.Phys), func(rec *message.Record, phys int64, _ int32) error {
		if phys < u.Phys {
			return nil
		}
		sound = true // a whole record at or behind the place: nothing is wrong with the log
		return errPause
	})
	switch {
	case sound || at > u.Phys:
		return s.queueDamage(q, why)
	case errors.Is(err, commitlog.ErrCorrupt):
		s.metrics.damage.Add(1)
		return mapError(err)
	case err != nil:
		return mapError(err)
	}
	return s.queueDamage(q, why)
}

func (s *Store) logDamage(phys int64, why error) error {
	s.metrics.damage.Add(1)
	return fmt.Errorf("%w: commit log %s: %w", ErrCorrupt, s.clog.Files().Place(phys), why)
}

// queueDamage has the queues made again at the next start, when err says that one does
// not match the log.
func (s *Store) queueDamage(q *queue, err error) error {
	if errors.Is(err, segment.ErrOutside) && !errors.Is(err, consumequeue.ErrDamaged) {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	if !errors.Is(err, consumequeue.ErrDamaged) && !errors.Is(err, segment.ErrMissing) {
		return fmt.Errorf("read consume queue of topic %s, queue %d: %w", q.Topic, q.ID, err)
	}
	s.metrics.damage.Add(1)
	if s.damaged.CompareAndSwap(false, true) {
		s.log.Error("a consume queue is damaged; start the broker again to have it made from the log",
			"topic", q.Topic, "queue", q.ID, "err", err)
		s.kickKeeper()
	}
	return fmt.Errorf("%w: consume queue of topic %s, queue %d: %w", ErrCorrupt, q.Topic, q.ID, err)
}

// ReadAt returns the bytes of the log at phys, as they are. They belong to the caller.
func (s *Store) ReadAt(phys int64, size int32) ([]byte, error) {
	if size < 0 || int64(size) > s.cfg.FileSizeCommitLog {
		return nil, fmt.Errorf("%w: %d bytes at %d", ErrNotFound, size, phys)
	}
	if phys < s.clog.Min() || phys+int64(size) > s.clog.Readable() {
		return nil, fmt.Errorf("%w: %d bytes at %d, readable is %d to %d", ErrNotFound, size, phys, s.clog.Min(), s.clog.Readable())
	}
	b := make([]byte, size)
	if err := s.clog.ReadAt(b, phys); err != nil {
		return nil, mapError(err)
	}
	return b, nil
}

// ReadRecord returns the record at phys and its bytes, which belong to the caller and
// which the record shares. A place where no record begins is ErrNotFound: places come
// from clients.
func (s *Store) ReadRecord(phys int64) (message.Record, []byte, error) {
	b, err := s.ReadAt(phys, message.HeadLen)
	if err != nil {
		return message.Record{}, nil, err
	}
	size, magic, err := message.ParseHead(b)
	if err != nil || magic == message.MagicBlank {
		return message.Record{}, nil, fmt.Errorf("%w: no record begins at %d", ErrNotFound, phys)
	}
	if b, err = s.ReadAt(phys, int32(size)); err != nil {
		return message.Record{}, nil, err
	}
	rec, _, err := message.ParseRecord(b)
	if err != nil || rec.PhysicalOffset != phys {
		return message.Record{}, nil, fmt.Errorf("%w: no record begins at %d", ErrNotFound, phys)
	}
	if err := rec.CheckCRC(); err != nil {
		return message.Record{}, nil, s.logDamage(phys, err)
	}
	return rec, b, nil
}

// Replay calls fn for every readable record from the record at from on, or from the
// oldest, until it has caught up. The record is valid during the call. An error of fn
// ends it.
func (s *Store) Replay(from int64, fn func(rec *message.Record, phys int64, size int32) error) error {
	_, err := s.clog.Scan(from, fn)
	return mapError(err)
}
