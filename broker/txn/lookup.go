package txn

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/millrace/millrace/broker/store"
	"github.com/millrace/millrace/message"
)

// maxLookupTime bounds the wait for the log's index.
const maxLookupTime = 5 * time.Second

// lookup answers an END for a half that is neither pending nor remembered: what the log
// says of it. It works aside, a bounded number at a time.
func (s *Service) lookup(req EndRequest, done func(Outcome)) {
	if req.Key == "" {
		done(Outcome{Verdict: Gone})
		return
	}
	select {
	case s.lookups <- struct{}{}:
	default:
		done(Outcome{Verdict: Failed, Err: errBusy})
		return
	}
	s.spawn(func() {
		defer func() { <-s.lookups }()
		done(s.look(&req))
	})
}

// look finds the half's first copy, and then its final message, by the key that both have
// or, where the broker keeps no index (messageIndexEnable), in its queue.
// A half that is in the log, not pending and not committed was rolled back.
func (s *Service) look(req *EndRequest) Outcome {
	rec, _, err := s.log.ReadRecord(req.First)
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrCorrupt) {
		return Outcome{Verdict: Gone}
	}
	if err != nil {
		return Outcome{Verdict: Failed, Err: err} // it may be there
	}
	if rec.Topic != message.TopicTransactionHalf {
		return Outcome{Verdict: Gone}
	}
	h, err := parseHalf(&rec, req.First, rec.TotalSize, s.writers.Owner)
	if err != nil || h.first != req.First || !h.matches(req) {
		return Outcome{Verdict: Gone}
	}
	ctx, cancel := context.WithTimeout(context.Background(), maxLookupTime)
	defer cancel()
	if err := s.log.WaitDispatched(ctx, s.log.FlushedPhysical()); err != nil {
		return Outcome{Verdict: Failed, Err: errBusy}
	}
	offset, committed, err := s.finalByKey(h)
	if errors.Is(err, store.ErrNotFound) { // the log has no index
		offset, committed, err = s.finalInQueue(ctx, h)
	}
	switch {
	case err != nil:
		return Outcome{Verdict: Failed, Err: err}
	case committed:
		return Outcome{Verdict: Committed, Offset: offset}
	}
	// It may have become known while the log was read.
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.index.halves[req.First] != nil {
		return Outcome{Verdict: Failed, Err: errBusy}
	}
	return Outcome{Verdict: RolledBack}
}

// finalByKey asks the log's index for a half's final message.
func (s *Service) finalByKey(h *half) (offset int64, found bool, err error) {
	res, err := s.log.QueryByKey(h.to.Topic, h.key, 64, 0, math.MaxInt64)
	if err != nil {
		return 0, false, err
	}
	for _, b := range res.Messages {
		if final, _, err := message.ParseRecord(b); err == nil && h.endsIn(&final) {
			return final.QueueOffset, true, nil
		}
	}
	return 0, false, nil
}

// finalInQueue looks for a half's final message where it must stand: in the half's queue,
// behind the half. Most halves are decided soon, so that it is among the first ones there.
func (s *Service) finalInQueue(ctx context.Context, h *half) (offset int64, found bool, err error) {
	low, high, ok := s.log.QueueRange(h.to.Topic, h.to.ID)
	if !ok {
		return 0, false, nil
	}
	for from, to := low, high; from < to; { // low becomes the first one behind the half
		middle := from + (to-from)/2
		recs, _, err := s.queued(ctx, h, middle, 1)
		if err != nil {
			return 0, false, err
		}
		if recs[0].PhysicalOffset < h.first {
			from = middle + 1
		} else {
			to = middle
		}
		low = from
	}
	for low < high {
		recs, next, err := s.queued(ctx, h, low, lookupBatch)
		if err != nil {
			return 0, false, err
		}
		for i := range recs {
			if h.endsIn(&recs[i]) {
				return recs[i].QueueOffset, true, nil
			}
		}
		low = next
	}
	return 0, false, nil
}

// lookupBatch is how many messages are read at a time behind a half: one that a producer left
// to be asked about can be decided a million messages later.
const lookupBatch = 64

// queued are up to most messages from an offset of the half's queue on, at least one, and the
// offset behind them.
func (s *Service) queued(ctx context.Context, h *half, offset int64, most int) (recs []message.Record, next int64, err error) {
	if ctx.Err() != nil {
		return nil, 0, errBusy
	}
	got, err := s.log.Get(h.to.Topic, h.to.ID, offset, store.GetOptions{MaxMsgs: most, MaxBytes: 1 << 20})
	if err != nil {
		return nil, 0, err
	}
	for _, b := range got.Messages() {
		rec, _, err := message.ParseRecord(b)
		if err != nil {
			return nil, 0, err
		}
		recs = append(recs, rec)
	}
	if len(recs) == 0 { // retention has just taken it
		return nil, 0, errBusy
	}
	return recs, got.NextOffset, nil
}

// endsIn reports whether a record is the half's final message.
func (h *half) endsIn(rec *message.Record) bool {
	key, _ := rec.Property(message.PropertyUniqueKey)
	return message.TransactionState(rec.SysFlag) == message.TransactionCommit && key == h.key && rec.PreparedTransactionOffset == h.first
}
