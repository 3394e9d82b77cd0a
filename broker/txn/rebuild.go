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
	for q := range s.replay.unop {
		s.ops = append(s.ops, q)
	}
	slices.SortFunc(s.ops, cmp.Compare[int64])
	s.deps.Logger.Info("transactions rebuilt from the log", "from", from, "to", s.applied.Load(),
		"halves", s.index.count, "took", time.Since(began))
	return nil
}

// scanFrom finds the place from which the log has to be read when there is no snapshot:
// the first half message or writer's record that is left. -1 = there is none of either.
func (s *Service) scanFrom() (int64, error) {
	from := int64(-1)
	for _, topic := range [...]string{message.TopicTransactionHalf, writer.Topic} {
		low, high, ok := s.log.QueueRange(topic, 0)
		if !ok || low >= high {
			continue
		}
		got, err := s.log.Get(topic, 0, low, store.GetOptions{MaxMsgs: 1})
		if err != nil {
			return 0, err
		}
		if got.LastPhysical < 0 {
			return max(0, s.log.MinPhysical()), nil
		}
		if from < 0 || got.LastPhysical < from {
			from = got.LastPhysical
		}
	}
	return from, nil
}
