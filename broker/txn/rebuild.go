package txn

import (
	"cmp"
	"slices"
	"time"

	"github.com/millrace/millrace/broker/store"
	"github.com/millrace/millrace/broker/writer"
	"github.com/millrace/millrace/message"
)

// rebuild makes the state that the log tells of, from the snapshot on if there is one that
// belongs to this log.
func (s *Service) rebuild() error {
	began := time.Now()
	s.replay = &replayState{byQueue: map[int64]*half{}, byKey: map[string]*half{}, unop: map[int64]struct{}{}}
	defer func() { s.replay = nil }()
	if s.deps.HalfFloor != nil {
		s.replay.floor = s.deps.HalfFloor()
	}
	from := s.loadSnapshot()
	if from < 0 {
		var err error
		if from, err = s.scanFrom(); err != nil {
			return err
		}
	}
	if from >= 0 && from < s.log.MaxPhysical() {
		err := s.log.Replay(from, func(rec *message.Record, phys int64, size int32) error {
			if err := s.apply(rec, phys, size); err != nil {
				return err
			}
			s.lastPhys.Store(phys)
			s.applied.Store(phys + int64(size))
			return nil
		})
		if err != nil {
			return err
		}
	}
	s.applied.Store(s.log.MaxPhysical())
	s.writers.ForgetLost()
	for q := range s.replay.unop {
		s.ops = append(s.ops, q)
	}
	slices.SortFunc(s.ops, cmp.Compare[int64])
	s.deps.Logger.Info("transactions rebuilt from the log", "from", from, "to", s.applied.Load(),
		"halves", s.index.count, "took", time.Since(began))
	return nil
}

// scanFrom finds the place from which the log has to be read when there is no snapshot:
// the first half message that is left, or the place from which on a writer's record may
// not know everything. -1 = there is nothing of either.
func (s *Service) scanFrom() (int64, error) {
	from := int64(-1)
	earlier := func(phys int64) {
		if from < 0 || phys < from {
			from = max(phys, 0)
		}
	}
	low, high, ok := s.log.QueueRange(message.TopicTransactionHalf, 0)
	if ok && low < high {
		got, err := s.log.Get(message.TopicTransactionHalf, 0, low, store.GetOptions{MaxMsgs: 1})
		if err != nil {
			return 0, err
		}
		earlier(got.LastPhysical)
	}
	low, high, ok = s.log.QueueRange(writer.Topic, 0)
	for ok && low < high {
		got, err := s.log.Get(writer.Topic, 0, low, store.GetOptions{MaxMsgs: 1})
		if err != nil {
			return 0, err
		}
		for _, b := range got.Messages() {
			msg, _, err := message.ParseRecord(b)
			if err != nil {
				return 0, err
			}
			rec, err := writer.ParseRecord(msg.Body)
			if err != nil {
				return 0, err
			}
			earlier(rec.Since)
		}
		low = max(low+1, got.NextOffset)
	}
	return from, nil
}
