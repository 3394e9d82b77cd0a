package txn

import (
	"math"

	"github.com/millrace/millrace/broker/store"
	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

// maxAsked bounds the check-backs of one round; the rest is due in the next.
const maxAsked = 10_000

// round is what one look through the pending halves found.
type round struct {
	now     int64
	ask     []*half
	giveUp  []*half
	writers map[string]bool
}

// checkBack asks the producers of halves that are due. A writer is only woken: one half is
// shown to the holder of its term, at most once a minute, and never given up.
func (s *Service) checkBack() {
	r := &round{now: s.now().UnixMilli(), writers: map[string]bool{}}
	s.walk(func(h *half) { s.dueLocked(h, r) })
	for _, h := range r.ask {
		s.ask(h)
	}
	s.giveUp(r.giveUp)
}

func (s *Service) dueLocked(h *half, r *round) {
	wait := s.cfg.Timeout.Milliseconds()
	if h.immunity >= 0 {
		wait = h.immunity
	}
	if r.now-h.stored < wait || len(r.ask)+len(r.giveUp) >= maxAsked {
		return
	}
	if w := h.owner(); w != "" && !seeded.On(seeded.HalfDiscarded) {
		if !r.writers[w] && r.now-s.asked[w] >= s.cfg.WriterCheckInterval.Milliseconds() {
			r.writers[w] = true
			s.asked[w] = r.now
			r.ask = append(r.ask, h)
		}
		return
	}
	if h.checks >= s.cfg.CheckMax {
		r.giveUp = append(r.giveUp, h)
		return
	}
	h.checks++
	h.asked = r.now
	r.ask = append(r.ask, h)
}

// ask sends one check-back, if there is somebody to ask.
func (s *Service) ask(h *half) {
	ch := s.channelOf(h)
	if ch == nil {
		return
	}
	s.mu.Lock()
	phys := h.phys
	s.mu.Unlock()
	rec, err := s.read(h, phys)
	if err != nil {
		s.deps.Logger.Warn("half message cannot be read for its check-back", "offset", phys, "error", err)
		return
	}
	req, err := s.checkRequest(h, &rec)
	if err != nil {
		s.deps.Logger.Warn("check-back cannot be written", "offset", phys, "error", err)
		return
	}
	if ch.Oneway(req) == nil {
		s.metrics.checks.Inc()
	}
}

func (s *Service) channelOf(h *half) Channel {
	if w := h.owner(); w != "" {
		term := s.writers.Term(w)
		s.mu.Lock()
		defer s.mu.Unlock()
		if holder := s.holders[w]; holder.term == term {
			return holder.channel
		}
		return nil
	}
	if s.deps.Producers == nil {
		return nil
	}
	ch, ok := s.deps.Producers.Producer(h.group)
	if !ok {
		return nil
	}
	return ch
}

// checkRequest is the question: the half with the topic and queue that it is bound for, in
// the form that every client reads. It carries the half's first names, which an answer
// repeats.
func (s *Service) checkRequest(h *half, rec *message.Record) (*remoting.Command, error) {
	half := *rec
	half.Topic, half.QueueID = h.to.Topic, h.to.ID
	half.QueueOffset, half.PhysicalOffset = h.queueFirst, h.first
	half.Version = message.V1
	if len(half.Topic) > math.MaxInt8 {
		half.Version = message.V2
	}
	body, err := message.AppendRecord(nil, &half)
	if err != nil {
		return nil, err
	}
	header := protocol.CheckTransactionStateHeader{
		Topic:                h.to.Topic,
		TranStateTableOffset: h.queueFirst,
		CommitLogOffset:      h.first,
		MsgID:                h.key,
		TransactionID:        h.key,
		OffsetMsgID:          message.OffsetMsgID(rec.StoreHost, h.first),
		BrokerName:           s.deps.BrokerName,
	}
	req := remoting.NewRequest(protocol.CheckTransactionState)
	header.Encode(req)
	req.Body = body
	return req, nil
}

// giveUp puts copies of ordinary halves into TRANS_CHECK_MAX_TIME_TOPIC, then rolls the
// halves back. It waits for the copies, a bounded number at a time.
func (s *Service) giveUp(halves []*half) {
	const inFlight = 64
	for len(halves) > 0 {
		n := min(len(halves), inFlight)
		copied := make(chan *half, n)
		for _, h := range halves[:n] {
			s.copyAside(h, copied)
		}
		for range n {
			if h := <-copied; h != nil {
				s.rollback(h, s.writers.Term(h.owner()), func(o Outcome) {
					if o.Verdict == RolledBack {
						s.metrics.givenUp.Inc()
					}
				})
			}
		}
		halves = halves[n:]
	}
}

// copyAside sends h on when its copy is stored, and nil when there is none: it was decided
// meanwhile, or is tried again in the next round.
func (s *Service) copyAside(h *half, copied chan<- *half) {
	s.mu.Lock()
	phys := h.phys
	s.mu.Unlock()
	rec, err := s.read(h, phys)
	if err != nil {
		s.deps.Logger.Warn("half message cannot be read to give it up", "offset", phys, "error", err)
		copied <- nil
		return
	}
	rec.Topic, rec.QueueID = message.TopicTransactionCheckMax, 0
	s.log.Put(&store.PutRequest{Record: &rec, Gate: stillPending{s, h}, Done: func(r store.PutResult) {
		if r.Err != nil {
			copied <- nil
		} else {
			copied <- h
		}
	}})
}

// stillPending is a gate for records that make sense only while a half is pending.
type stillPending struct {
	s *Service
	h *half
}

func (g stillPending) Admit(int64) error {
	g.s.mu.Lock()
	defer g.s.mu.Unlock()
	if g.h.phase != pending {
		return errDecided
	}
	return nil
}

func (g stillPending) Appended(int64, int64) {}
