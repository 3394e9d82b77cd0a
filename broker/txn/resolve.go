package txn

import (
	"sync/atomic"

	"github.com/millrace/millrace/broker/writer"
)

// ResolveRequest decides several halves of one writer.
type ResolveRequest struct {
	Writer string
	Term   uint64
	Commit []Ref // in this order
	// Rollback follows the commits.
	Rollback []Ref
}

// Resolve decides halves in the order of the request: every decision is appended before
// Resolve returns, and all share the syncs of the group commit. done is called exactly
// once, with one outcome per half in request order, when the last of them is known; it
// must not block. A request under another than the current term is refused whole, with
// writer.ErrFenced.
func (s *Service) Resolve(req ResolveRequest, ch Channel, done func([]Outcome, error)) {
	if err := s.writers.CheckTerm(req.Writer, req.Term); err != nil {
		done(nil, err)
		return
	}
	if ch != nil {
		s.Holds(req.Writer, req.Term, ch)
	}
	n := len(req.Commit) + len(req.Rollback)
	if n == 0 {
		done(nil, nil)
		return
	}
	r := &resolving{outcomes: make([]Outcome, n), done: done}
	r.left.Store(int64(n))
	for i, ref := range req.Commit {
		s.End(EndRequest{Ref: ref, Commit: true, Writer: req.Writer, Term: req.Term}, r.at(i))
	}
	for i, ref := range req.Rollback {
		s.End(EndRequest{Ref: ref, Writer: req.Writer, Term: req.Term}, r.at(len(req.Commit)+i))
	}
}

// resolving collects the outcomes of one request.
type resolving struct {
	outcomes []Outcome
	left     atomic.Int64
	done     func([]Outcome, error)
}

// at takes the outcome of the i-th half.
func (r *resolving) at(i int) func(Outcome) {
	return func(o Outcome) {
		r.outcomes[i] = o
		if r.left.Add(-1) == 0 {
			r.done(r.outcomes, nil)
		}
	}
}

// Refusal is the error that an outcome stands for when a writer asked for commit; nil for
// what was asked.
func (o Outcome) Refusal() error {
	switch o.Verdict {
	case Duplicate:
		return &writer.LinkError{Duplicate: true, Last: o.Last}
	case Gap:
		return &writer.LinkError{Last: o.Last}
	case Fenced:
		return writer.ErrFenced
	}
	return o.Err
}
