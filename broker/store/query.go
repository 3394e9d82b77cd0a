package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/millrace/millrace/broker/store/consumequeue"
	"github.com/millrace/millrace/broker/store/segment"
	"github.com/millrace/millrace/message"
)

// recordTime reads when the record at phys was stored.
func (s *Store) recordTime(phys int64) (int64, error) {
	var b [message.BornHostAt + 20 + 8]byte // with the wider of two born hosts
	n := min(int64(len(b)), s.clog.Readable()-phys)
	if n < int64(message.StoreTimestampAt(0)+8) {
		return 0, fmt.Errorf("%w: at %d", ErrNotFound, phys)
	}
	if err := s.clog.ReadAt(b[:n], phys); err != nil {
		return 0, mapError(err)
	}
	if _, magic, err := message.ParseHead(b[:]); err != nil || magic == message.MagicBlank {
		return 0, s.logDamage(phys, fmt.Errorf("no record there (%w)", err))
	}
	at := message.StoreTimestampAt(int32(binary.BigEndian.Uint32(b[message.SysFlagAt:])))
	return int64(binary.BigEndian.Uint64(b[at:])), nil
}

// OffsetByTime finds the queue offset at a time in milliseconds. Store timestamps never
// go back, whatever the clock did. In a queue without messages that is where the next one
// goes: 0 in one that never had any, which the store does not know yet.
func (s *Store) OffsetByTime(topic string, queueID int32, ms int64, b Boundary) (int64, error) {
	q := s.queue(topic, queueID)
	if q == nil {
		return 0, nil
	}
	lo, err := s.minOffset(q)
	if err != nil {
		return 0, err
	}
	top := q.cq.Max()
	at, err := q.cq.Search(lo, top, func(u consumequeue.Unit) (bool, error) {
		t, err := s.recordTime(u.Phys)
		if b == Upper {
			return t > ms, err
		}
		return t >= ms, err
	})
	if err != nil {
		return 0, s.searchFailed(q, err)
	}
	if b == Upper {
		at = max(at-1, lo)
	}
	return at, nil
}

func (s *Store) searchFailed(q *queue, err error) error {
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrCorrupt) || errors.Is(err, segment.ErrOutside) {
		return err
	}
	return s.queueDamage(q, err)
}

// MessageStoreTime is when the message at a queue offset was stored, in milliseconds.
func (s *Store) MessageStoreTime(topic string, queueID int32, offset int64) (int64, error) {
	q := s.queue(topic, queueID)
	if q == nil {
		return 0, fmt.Errorf("%w: topic %s has no queue %d", ErrNotFound, topic, queueID)
	}
	lo, err := s.minOffset(q)
	if err != nil {
		return 0, err
	}
	var u [1]consumequeue.Unit
	if offset < lo {
		return 0, fmt.Errorf("%w: offset %d is below the minimum %d", ErrNotFound, offset, lo)
	}
	n, err := q.cq.Read(offset, u[:])
	if err != nil {
		return 0, s.queueDamage(q, err)
	}
	if n == 0 {
		return 0, fmt.Errorf("%w: topic %s, queue %d, offset %d", ErrNotFound, topic, queueID, offset)
	}
	return s.recordTime(u[0].Phys)
}

// EarliestMessageTime is when the oldest message of a queue was stored; -1 without one.
func (s *Store) EarliestMessageTime(topic string, queueID int32) (int64, error) {
	lo, hi, ok := s.QueueRange(topic, queueID)
	if !ok || lo >= hi {
		return -1, nil
	}
	t, err := s.MessageStoreTime(topic, queueID, lo)
	if errors.Is(err, ErrNotFound) {
		return -1, nil
	}
	return t, err
}

// EarliestTime is when the oldest message of the log was stored; -1 without one.
func (s *Store) EarliestTime() int64 {
	if s.clog.Readable() <= s.clog.Min() {
		return -1
	}
	t, err := s.recordTime(s.clog.Min())
	if err != nil {
		return -1
	}
	return t
}

// Longest answers of QueryByKey.
const (
	maxQueryMessages = 1024
	maxQueryBytes    = 16 << 20
)

// QueryByKey finds messages of topic by a word of KEYS or by UNIQ_KEY, stored in [begin,
// end], newest first. Keys are compared: who asks gets no collisions.
func (s *Store) QueryByKey(topic, key string, maxNum int, begin, end int64) (QueryResult, error) {
	var res QueryResult
	if s.index == nil {
		return res, fmt.Errorf("%w: the index is switched off (messageIndexEnable)", ErrNotFound)
	}
	res.LastUpdateTimestamp, res.LastUpdatePhysical = s.index.Reach()
	maxNum = min(max(maxNum, 1), maxQueryMessages)
	bytes := 0
	var failed error
	err := s.index.Query(topic, key, begin, end, func(phys int64) bool {
		rec, b, err := s.ReadRecord(phys)
		if errors.Is(err, ErrNotFound) {
			return true // deleted, or lost with a log that was cut
		}
		if err != nil {
			failed = err
			return false
		}
		if rec.Topic != topic || !hasKey(&rec, key) || rec.StoreTimestamp < begin || rec.StoreTimestamp > end {
			return true
		}
		if bytes += len(b); bytes > maxQueryBytes && len(res.Messages) > 0 {
			return false
		}
		res.Messages = append(res.Messages, b)
		return len(res.Messages) < maxNum
	})
	return res, errors.Join(err, failed)
}

func hasKey(rec *message.Record, key string) bool {
	if k, ok := rec.Property(message.PropertyUniqueKey); ok && k == key {
		return true
	}
	keys, _ := rec.Property(message.PropertyKeys)
	for keys != "" {
		var k string
		if k, keys, _ = strings.Cut(keys, message.KeySeparator); k == key {
			return true
		}
	}
	return false
}
