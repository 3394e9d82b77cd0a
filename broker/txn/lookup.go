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

// look finds the half's first copy, and then its final message by the key that both have.
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
	found, err := s.log.QueryByKey(h.to.Topic, h.key, 64, 0, math.MaxInt64)
	if err != nil {
		return Outcome{Verdict: Failed, Err: err}
	}
	for _, b := range found.Messages {
		final, _, err := message.ParseRecord(b)
		if err != nil || message.TransactionState(final.SysFlag) != message.TransactionCommit {
			continue
		}
		if key, _ := final.Property(message.PropertyUniqueKey); key == h.key && final.PreparedTransactionOffset == h.first {
			return Outcome{Verdict: Committed, Offset: final.QueueOffset}
		}
	}
	// It may have become known while the log was read.
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.index.halves[req.First] != nil {
		return Outcome{Verdict: Failed, Err: errBusy}
	}
	return Outcome{Verdict: RolledBack}
}
