package txn

import (
	"strconv"

	"github.com/millrace/millrace/message"
)

// replayState helps while the log is read again.
type replayState struct {
	floor   int64           // half-queue offset below which a foreign broker has dealt with everything
	byQueue map[int64]*half // pending, by the half-queue offset of the newest copy
	byKey   map[string]*half
	unop    map[int64]struct{} // committed, operation record not yet seen
}

// Dispatched hears of every record that becomes readable; it is the store's listener. What
// the gates made known already changes nothing.
func (s *Service) Dispatched(rec *message.Record, phys int64, size int32) {
	if err := s.apply(rec, phys, size); err != nil {
		s.deps.Logger.Error("record of the log cannot be understood", "topic", rec.Topic, "offset", phys, "error", err)
	}
	s.lastPhys.Store(phys)
	s.applied.Store(phys + int64(size))
}

// apply takes over what one record says.
func (s *Service) apply(rec *message.Record, phys int64, size int32) error {
	switch rec.Topic {
	case message.TopicTransactionHalf:
		return s.applyHalf(rec, phys, size)
	case message.TopicTransactionOp:
		s.applyOp(rec, phys)
		return nil
	}
	if message.TransactionState(rec.SysFlag) == message.TransactionCommit {
		s.applyFinal(rec, phys)
	}
	return s.writers.Apply(rec, phys)
}

func (s *Service) applyHalf(rec *message.Record, phys int64, size int32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.index.known(phys) {
		return nil
	}
	h, err := parseHalf(rec, phys, size, s.writers.Owner)
	if err != nil {
		s.deps.Logger.Warn("half message is passed over", "offset", phys, "error", err)
		return nil
	}
	if old := s.index.halves[h.first]; old != nil {
		if old.phase == pending && phys > old.phys {
			s.moveLocked(old, phys, rec.QueueOffset, size)
		}
		return nil
	}
	if s.index.known(h.first) {
		return nil
	}
	_, ours := rec.Property(propertyOurs)
	if r := s.replay; r != nil && !ours {
		if rec.QueueOffset < r.floor {
			return nil
		}
		s.supersedeLocked(rec, h)
	}
	s.addLocked(h)
	if s.replay != nil {
		s.replay.byQueue[h.queue] = h
	}
	return nil
}

// moveLocked notes a half's newer copy.
func (s *Service) moveLocked(h *half, phys, queue int64, size int32) {
	if s.replay != nil {
		delete(s.replay.byQueue, h.queue)
		s.replay.byQueue[queue] = h
	}
	h.phys, h.queue, h.size = phys, queue, size
}

// supersedeLocked lets go of the copy that a foreign broker put again after a check-back:
// it gives each copy a name of its own.
func (s *Service) supersedeLocked(rec *message.Record, h *half) {
	if h.key == "" {
		return
	}
	if _, again := rec.Property(message.PropertyTransactionCheckTimes); again {
		if old := s.replay.byKey[h.key]; old != nil && old.phase == pending && old.first != h.first {
			s.decideLocked(old, rolledBack, 0, h.phys)
			s.index.settle(old, 0)
		}
	}
	s.replay.byKey[h.key] = h
}

// applyFinal takes a final message as its half's resolution.
func (s *Service) applyFinal(rec *message.Record, phys int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.index.halves[rec.PreparedTransactionOffset]
	if h == nil || h.phase != pending {
		return
	}
	if key, _ := rec.Property(message.PropertyUniqueKey); key != h.key || rec.Topic != h.to.Topic {
		return
	}
	s.resolvedLocked(h, committed, rec.QueueOffset, phys)
	if s.replay != nil {
		s.replay.unop[h.queue] = struct{}{}
	}
}

func (s *Service) resolvedLocked(h *half, p phase, offset, phys int64) {
	s.decideLocked(h, p, offset, phys)
	s.index.settle(h, s.applied.Load())
	if s.replay != nil {
		delete(s.replay.byQueue, h.queue)
	}
}

// applyOp takes an operation record: a rollback of ours, or that a half is done with.
func (s *Service) applyOp(rec *message.Record, phys int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if end, _ := rec.Property(propertyEnd); end == endRollback {
		first, _ := rec.Property(PropertyHalf)
		n, err := strconv.ParseInt(first, 10, 64)
		if h := s.index.halves[n]; err == nil && h != nil && h.phase == pending {
			s.resolvedLocked(h, rolledBack, 0, phys)
		}
		return
	}
	if s.replay == nil {
		return
	}
	for _, q := range parseOp(rec.Body) {
		delete(s.replay.unop, q)
		if h := s.replay.byQueue[q]; h != nil && h.phase == pending {
			s.resolvedLocked(h, rolledBack, 0, phys)
		}
	}
}
