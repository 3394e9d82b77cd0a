package txn

import (
	"errors"

	"github.com/millrace/millrace/broker/writer"
)

// Verdict is what a half has come to, or why it could not be decided.
type Verdict uint8

const (
	// Failed: the broker could not decide now; Err says why. Asking again is safe, and
	// needed: the outcome is unknown.
	Failed Verdict = iota
	// Committed: the message is visible, at Offset of its queue.
	Committed
	// RolledBack: it will never be visible.
	RolledBack
	// Duplicate: the queue has let in its numbers already. It stays pending.
	Duplicate
	// Gap: it does not follow the queue's last message. It stays pending.
	Gap
	// Fenced: the request's term is not the writer's current one.
	Fenced
	// Gone: no half has that name, or not that transaction id.
	Gone
	// Undecided: an END that decided nothing.
	Undecided
)

var verdictNames = [...]string{"failed", "committed", "rolled back", "duplicate", "gap", "fenced", "gone", "undecided"}

func (v Verdict) String() string { return verdictNames[v] }

// Outcome answers an END, or one half of a RESOLVE.
type Outcome struct {
	Verdict Verdict
	Offset  int64  // of Committed
	Last    uint64 // of Duplicate and Gap: mr_hi of the queue's last message
	Err     error  // of Failed, Fenced, Duplicate and Gap
}

// errDecided is the refusal of a gate whose half was decided by somebody else.
var errDecided = errors.New("the half message is decided")

// errBusy refuses work for which there is no room now.
var errBusy = errors.New("the broker has too many transactions to look up; ask again")

// ErrTooManyHalves refuses a half of an ordinary producer.
var ErrTooManyHalves = errors.New("the broker has too many undecided half messages")

// ErrOwned refuses the half of an ordinary producer for an owned queue.
var ErrOwned = errors.New("the topic belongs to a writer")

// ErrNoQueue refuses to commit a half whose queue was deleted with its topic. It stays
// pending.
var ErrNoQueue = errors.New("the queue that the half message is bound for does not exist")

// outcomeOf tells a refused decision.
func outcomeOf(err error) Outcome {
	var link *writer.LinkError
	switch {
	case errors.As(err, &link) && link.Duplicate:
		return Outcome{Verdict: Duplicate, Last: link.Last, Err: err}
	case errors.As(err, &link):
		return Outcome{Verdict: Gap, Last: link.Last, Err: err}
	case errors.Is(err, writer.ErrFenced):
		return Outcome{Verdict: Fenced, Err: err}
	}
	return Outcome{Verdict: Failed, Err: err}
}

// outcome is what a decided half has come to.
func (h *half) outcome() Outcome {
	if h.phase == committed {
		return Outcome{Verdict: Committed, Offset: h.offset}
	}
	return Outcome{Verdict: RolledBack}
}
