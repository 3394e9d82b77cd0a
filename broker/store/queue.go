package store

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/broker/store/consumequeue"
	"github.com/millrace/millrace/broker/store/segment"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/message"
)

// queue is one message queue.
type queue struct {
	QueueID
	cq *consumequeue.Queue

	next int64 // the offset of the next append; guarded by the append lock
	gone bool  // the topic was deleted; guarded by the append lock
}

func (s *Store) queueRoot() string { return path.Join(s.cfg.Dir, "consumequeue") }

func (s *Store) queueDir(id QueueID) string {
	return path.Join(s.queueRoot(), id.Topic, strconv.Itoa(int(id.ID)))
}

func (s *Store) queue(topic string, id int32) *queue {
	s.queueMu.RLock()
	defer s.queueMu.RUnlock()
	return s.queues[QueueID{topic, id}]
}

// ensureQueue returns the queue, new when there is none. The topic's name becomes part of
// a path, so it is checked here, whoever sends it. It is copied.
func (s *Store) ensureQueue(topic string, id int32) (*queue, error) {
	if q := s.queue(topic, id); q != nil {
		return q, nil
	}
	if err := message.CheckTopic(topic); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadRecord, err)
	}
	if id < 0 {
		return nil, fmt.Errorf("%w: no queue has the number %d", ErrBadRecord, id)
	}
	s.queueMu.Lock()
	defer s.queueMu.Unlock()
	key := QueueID{strings.Clone(topic), id}
	q := s.queues[key]
	if q == nil {
		q = s.newQueue(key, 0, 0)
		s.queues[key] = q
	}
	return q, nil
}

func (s *Store) newQueue(id QueueID, base, next int64) *queue {
	return &queue{QueueID: id, next: next, cq: consumequeue.New(base, next, func() (*segment.Files, error) {
		return segment.Open(s.fs, s.cache, s.queueDir(id), s.cfg.FileSizeConsumeQueue)
	})}
}

// Queues lists all queues, by topic and number.
func (s *Store) Queues() []QueueID {
	s.queueMu.RLock()
	out := make([]QueueID, 0, len(s.queues))
	for id := range s.queues {
		out = append(out, id)
	}
	s.queueMu.RUnlock()
	slices.SortFunc(out, func(a, b QueueID) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.ID, b.ID))
	})
	return out
}

func (s *Store) allQueues() []*queue {
	s.queueMu.RLock()
	defer s.queueMu.RUnlock()
	out := make([]*queue, 0, len(s.queues))
	for _, q := range s.queues {
		out = append(out, q)
	}
	return out
}

// QueueRange returns a queue's minimum offset and the one behind its last readable message.
func (s *Store) QueueRange(topic string, queueID int32) (minOffset, maxOffset int64, ok bool) {
	q := s.queue(topic, queueID)
	if q == nil {
		return 0, 0, false
	}
	lo, err := s.minOffset(q)
	if err != nil {
		lo = q.cq.Base()
	}
	return lo, q.cq.Max(), true
}

func (s *Store) minOffset(q *queue) (int64, error) {
	lo, err := q.cq.Min(s.clog.Min())
	if err != nil {
		return 0, s.queueDamage(q, err)
	}
	return lo, nil
}

// Position is where a message of a queue lies in the log. It need not be there any more.
func (s *Store) Position(topic string, queueID int32, offset int64) (phys int64, ok bool) {
	q := s.queue(topic, queueID)
	if q == nil || offset < q.cq.Base() {
		return 0, false
	}
	var u [1]consumequeue.Unit
	if n, err := q.cq.Read(offset, u[:]); err != nil || n == 0 {
		return 0, false
	}
	return u[0].Phys, true
}

// NextOffset is the queue offset that the next append to the queue will get. It is ahead
// of QueueRange by what is not readable yet.
func (s *Store) NextOffset(topic string, queueID int32) int64 {
	q := s.queue(topic, queueID)
	if q == nil {
		return 0
	}
	var next int64
	s.clog.Locked(func(int64) { next = q.next })
	return next
}

// DeleteTopic removes a topic's queues, durably. A topic of the same name starts at
// offset 0 again. Records that are not dispatched yet go with it.
func (s *Store) DeleteTopic(topic string) error {
	if err := message.CheckTopic(topic); err != nil {
		return fmt.Errorf("%w: %w", ErrBadRecord, err)
	}
	s.checkpointing.Lock()
	defer s.checkpointing.Unlock()
	s.dispatch.mu.Lock() // nobody else touches the queues' files now
	defer s.dispatch.mu.Unlock()
	gone := s.forgetTopic(topic)
	if len(gone) == 0 {
		return nil
	}
	// The checkpoint first: without it a restart would make the queues again from the log.
	if err := s.writePoint(s.pointLocked()); err != nil {
		return fmt.Errorf("delete topic %s: %w", topic, err)
	}
	for _, q := range gone {
		q.cq.Discard()
	}
	if err := vfs.RemoveTree(s.fs, path.Join(s.queueRoot(), topic)); err != nil {
		return fmt.Errorf("delete topic %s: %w", topic, err)
	}
	return nil
}

// forgetTopic is called with dispatcher.mu held.
func (s *Store) forgetTopic(topic string) (gone []*queue) {
	s.clog.Locked(func(tail int64) {
		s.queueMu.Lock()
		defer s.queueMu.Unlock()
		for id, q := range s.queues {
			if id.Topic == topic {
				q.gone = true
				gone = append(gone, q)
				delete(s.queues, id)
			}
		}
		if len(gone) > 0 {
			s.tombs[topic] = tail
		}
	})
	return gone
}
