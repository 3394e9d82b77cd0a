package bus

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline/checkpoint"
	"github.com/millrace/millrace/pipeline/event"
)

// settling brings the queues and the records together again at an opening (S6): it
// commits what valid groups list, rewinds to what every queue reaches where messages are
// lost, raises the epoch where a queue holds what no record lists, and rolls back every
// half that is left.
type settling struct {
	p    *Publisher
	read *checkpointRead
	now  *brokerState

	missing   uint64 // first group of which a message is neither visible nor pending
	committed map[string]bool
}

func (s *settling) run(ctx context.Context) (*checkpoint.State, error) {
	s.committed = map[string]bool{}
	st, err := s.read.log.State()
	if err != nil {
		return nil, err
	}
	if err := s.commit(ctx, st); err != nil {
		return nil, err
	}
	if (s.missing != 0 || s.behind(st)) && !seeded.On(seeded.ResolveLastOnly) {
		if st, err = s.rewind(ctx, st); err != nil {
			return nil, err
		}
	} else {
		st.SetResolved(st.N)
	}
	s.ahead(st)
	if err := s.rollBack(ctx); err != nil {
		return nil, err
	}
	if st.Epoch == 0 {
		st.Epoch = 1
	}
	if st.Epoch > maxEpoch {
		return nil, fmt.Errorf("epoch %d is above %d: make a new pipeline", st.Epoch, maxEpoch)
	}
	return st, nil
}

// commit makes the halves of all unresolved groups visible, group by group.
func (s *settling) commit(ctx context.Context, st *checkpoint.State) error {
	groups := st.Groups
	if seeded.On(seeded.ResolveLastOnly) && len(groups) > 1 {
		groups = groups[len(groups)-1:]
	}
	for i := range groups {
		g := &groups[i]
		if len(g.Halves) == 0 {
			continue
		}
		refs := make([]client.HalfRef, len(g.Halves))
		for i, h := range g.Halves {
			refs[i] = client.HalfRef{ID: h.ID, TransactionID: h.Tx}
		}
		results, err := s.p.d.writer.Resolve(ctx, s.p.cfg.Broker, refs, nil)
		if err != nil {
			return fmt.Errorf("resolve group %d: %w", g.N, err)
		}
		for i, r := range results {
			if err := s.outcome(ctx, g, &g.Halves[i], r); err != nil {
				return err
			}
		}
	}
	return nil
}

// outcome takes the outcome of one commit. Only identities prove that the queue holds a
// message which the broker did not commit now.
func (s *settling) outcome(ctx context.Context, g *checkpoint.Group, h *checkpoint.Half, r client.ResolveResult) error {
	switch r.Code {
	case client.ResolveCommitted:
		s.committed[h.ID] = true
		q := publisherQueue(h.Queue)
		s.now.ends[q] = max(s.now.ends[q], r.Offset+1)
		if h.Hi > s.now.last[h.Queue].hi {
			s.now.last[h.Queue] = queueEnd{hi: h.Hi, to: h.To.String()}
		}
		return nil
	case client.ResolveFailed, client.ResolveFenced:
		return fmt.Errorf("resolve group %d: half %s: %w", g.N, r.ID, r.Err)
	}
	held, err := holds(ctx, s.p.d.reader, publisherQueue(h.Queue), h.Hi, h.To)
	if err != nil {
		return err
	}
	if seeded.On(seeded.DoneByNumber) && s.now.last[h.Queue].hi >= h.Hi {
		held = true
	}
	if !held {
		s.p.log.Warn("a decided message is neither visible nor pending: what its group holds is read again",
			slog.Uint64("group", g.N), slog.String("queue", h.Queue.String()), slog.Any("answer", r.Err))
		if s.missing == 0 {
			s.missing = g.N
		}
	}
	return nil
}

// behind reports whether a queue ends before what the records put into it.
func (s *settling) behind(st *checkpoint.State) bool {
	return slices.ContainsFunc(st.Queues, func(q checkpoint.QueueState) bool { return s.now.last[q.Queue].hi < q.Last })
}

// rewind goes back to the newest group that every queue reaches. What was decided behind
// it is read again and trimmed by what each queue holds. Queues that reach no state that
// the records still tell get an attempt.
func (s *settling) rewind(ctx context.Context, newest *checkpoint.State) (*checkpoint.State, error) {
	lost := map[checkpoint.Queue]bool{}
	for {
		log := s.read.log
		for n := len(log.Groups); n >= 0; n-- {
			st, err := log.StateAt(n)
			if err != nil {
				return nil, err
			}
			if s.missing != 0 && st.N >= s.missing || !s.reaches(st, newest, lost) {
				continue
			}
			return s.rewound(st, newest, log.Groups[n:], lost), nil
		}
		earlier, err := s.earlier(ctx)
		if err != nil {
			return nil, err
		}
		if !earlier { // those that are behind even here are given up
			st := log.Base
			for _, q := range st.Queues {
				if s.now.last[q.Queue].hi < q.Last {
					lost[q.Queue] = true
				}
			}
			if s.missing != 0 && st.N >= s.missing || !s.reaches(st, newest, lost) {
				return nil, fmt.Errorf("the checkpoint does not reach back to group %d", s.missing)
			}
			return s.rewound(st.Clone(), newest, log.Groups, lost), nil
		}
	}
}

// reaches reports whether every queue has what the records up to st put into it, but for
// those that are given up, and those that were forgotten since: nothing of them is missed.
func (s *settling) reaches(st, newest *checkpoint.State, lost map[checkpoint.Queue]bool) bool {
	return !slices.ContainsFunc(st.Queues, func(q checkpoint.QueueState) bool {
		return !lost[q.Queue] && s.now.last[q.Queue].hi < q.Last && !newest.Forgot(q.Queue, q.Last)
	})
}

// earlier makes the log begin one Base earlier.
func (s *settling) earlier(ctx context.Context) (bool, error) {
	if s.read.whole {
		return false, nil
	}
	least, _, err := bounds(ctx, s.p.d.reader, s.p.ck.q)
	if err != nil {
		return false, err
	}
	prev := s.read.log.Base.PrevBase
	if prev < least || prev >= s.read.first {
		return false, nil
	}
	last, err := s.p.ck.pull(ctx, prev, prev+1)
	if err != nil {
		return false, err
	}
	from := prev
	if r := last[0].Record; r.Type == checkpoint.TypeBase {
		from = prev - int64(r.Part.Index)
	}
	if from < least {
		return false, nil
	}
	end := s.read.messages[len(s.read.messages)-1].Offset + 1
	read, err := s.p.ck.readFrom(ctx, from, end, from == 0 && least == 0)
	if err != nil {
		return false, err
	}
	s.read = read
	return true, nil
}

// rewound is the state from which what was decided behind old is read again.
func (s *settling) rewound(old, newest *checkpoint.State, later []*checkpoint.Group, lost map[checkpoint.Queue]bool) *checkpoint.State {
	if old.Position == (checkpoint.Position{}) && len(later) > 0 { // before the first group of all
		old.Position = later[0].From
	}
	st := newest.Clone()
	st.Position, st.OpenTx, st.Tables = old.Position, old.OpenTx, old.Tables
	st.Groups, st.Resolved = nil, st.N
	st.Taken = slices.Clone(old.Taken)
	const cause = "the broker lost messages"
	for _, a := range append(slices.Clone(old.Tries), newest.Tries...) {
		st.SetDue(a.Table, cause)
	}
	for _, d := range old.Due {
		st.SetDue(d.Table, d.Cause)
	}
	for _, g := range later {
		st.Taken = append(st.Taken, g.Reserved...)
		for _, a := range g.Attempts {
			st.SetDue(a.Table, cause)
		}
		for _, t := range g.Ended {
			st.SetDue(t, cause)
		}
	}
	for i := range st.Queues {
		q := &st.Queues[i]
		end := s.now.last[q.Queue]
		from := old.Last(q.Queue)
		if was := old.Queue(q.Queue); was.TrimUpto != 0 {
			from = min(from, was.TrimFrom)
		}
		if lost[q.Queue] {
			from = end.hi
			for _, t := range st.Live() {
				if t.Topic == q.Queue.Topic {
					st.SetDue(t.Name, cause)
				}
			}
		}
		q.Last, q.To = end.hi, identityOf(end.to)
		q.TrimFrom, q.TrimUpto = 0, 0
		if end.hi > from {
			q.TrimFrom, q.TrimUpto = from, end.hi
		}
	}
	s.p.log.Warn("messages were lost: going back", slog.Uint64("group", newest.N), slog.Uint64("back_to", old.N),
		slog.String("file", st.Position.File), slog.Uint64("pos", st.Position.Pos))
	return st
}

// ahead looks for queues that hold what no valid record lists, and for ends that carry
// another identity: their numbers are in doubt. New ones are minted above every epoch
// seen; what the queues hold is trimmed by identity; their tables get an attempt.
func (s *settling) ahead(st *checkpoint.State) {
	highest := st.Epoch
	for _, end := range s.now.last {
		highest = max(highest, end.hi.Epoch())
	}
	for _, h := range s.now.halves {
		highest = max(highest, event.Seq(h.Hi).Epoch())
	}
	doubt := false
	for key, end := range s.now.last {
		if end.hi == 0 || st.Forgot(key, end.hi) {
			continue
		}
		q := st.Queue(key)
		if q.Last == end.hi && q.To.String() == end.to || seeded.On(seeded.EpochNotRaised) {
			continue
		}
		doubt = true
		s.p.log.Warn("a queue holds what no record lists: the epoch rises", slog.String("queue", key.String()),
			slog.Uint64("recorded", uint64(q.Last)), slog.Uint64("found", uint64(end.hi)))
		if end.hi > q.Last && st.Position != (checkpoint.Position{}) {
			if q.TrimUpto == 0 {
				q.TrimFrom = q.Last
			}
			q.TrimUpto = end.hi
		}
		q.Last, q.To = end.hi, identityOf(end.to)
		for _, t := range st.Live() {
			if t.Topic == key.Topic {
				st.SetDue(t.Name, "numbers in doubt")
			}
		}
	}
	if doubt || st.N == 0 && len(s.now.halves) > 0 && st.Epoch == 0 {
		st.Epoch = highest + 1
		dueForTrimmed(st, "numbers in doubt")
	}
}

func identityOf(text string) event.Identity {
	id, err := event.ParseIdentity(text)
	if err != nil {
		return event.Identity{} // another writer's: equal to none of ours
	}
	return id
}

// rollBack ends every half that is still undecided: no valid group lists it, or what its
// group holds is read again.
func (s *settling) rollBack(ctx context.Context) error {
	var refs []client.HalfRef
	for _, h := range s.now.halves {
		if !s.committed[h.ID] {
			refs = append(refs, h.Ref())
		}
	}
	for len(refs) > 0 {
		n := min(len(refs), maxHalves)
		results, err := s.p.d.writer.Resolve(ctx, s.p.cfg.Broker, nil, refs[:n])
		if err != nil {
			return fmt.Errorf("roll back %d halves: %w", n, err)
		}
		for _, r := range results {
			if r.Code == client.ResolveFailed || r.Code == client.ResolveFenced {
				return fmt.Errorf("roll back half %s: %w", r.ID, r.Err)
			}
		}
		refs = refs[n:]
	}
	return nil
}
