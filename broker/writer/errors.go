package writer

import (
	"errors"
	"fmt"
)

// Errors that steer; all say that nothing was appended.
var (
	// ErrFenced refuses a request under a term that is not the writer's current one.
	ErrFenced = errors.New("fenced: another term of this writer is open")
	// ErrPendingFull refuses a half while the writer's undecided ones take all the room
	// that they may. It passes when some are resolved.
	ErrPendingFull = errors.New("the writer's undecided half messages take all the room they may; resolve some first")
	// ErrIllegal refuses a message that does not belong into an owned queue: it is not
	// the owner's, or its link cannot be read.
	ErrIllegal = errors.New("the message cannot enter an owned queue")
	// ErrTooMany refuses a writer for which there is no room.
	ErrTooMany = errors.New("too many writers on this broker")

	// errMoved asks for another try: a queue came or went while a record was written.
	errMoved = errors.New("the writer's queues changed while its record was written")
)

// StaleError refuses an opening: a term at least as high is known.
type StaleError struct{ Known uint64 }

func (e *StaleError) Error() string {
	return fmt.Sprintf("stale: term %d of this writer is known; open above it", e.Known)
}

// LinkError refuses a message that does not stand right behind its queue's last one.
type LinkError struct {
	// Duplicate says that the message's numbers are in the queue already; otherwise
	// there is a gap before it.
	Duplicate bool
	// Last is the mr_hi of the last message that the queue let in.
	Last uint64
}

func (e *LinkError) Error() string {
	if e.Duplicate {
		return fmt.Sprintf("duplicate: the queue has let in everything up to %d", e.Last)
	}
	return fmt.Sprintf("gap: the queue's last message is %d, which is not the one that this message names", e.Last)
}

// Reason is the label of a refusal in metrics.
func Reason(err error) string {
	var link *LinkError
	var stale *StaleError
	switch {
	case errors.As(err, &link) && link.Duplicate:
		return "duplicate"
	case errors.As(err, &link):
		return "gap"
	case errors.As(err, &stale):
		return "stale"
	case errors.Is(err, ErrFenced):
		return "fenced"
	case errors.Is(err, ErrPendingFull):
		return "pending_full"
	case errors.Is(err, ErrIllegal):
		return "illegal"
	}
	return "other"
}
