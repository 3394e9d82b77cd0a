package client

import (
	"fmt"

	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

// AnswerError is what a broker or name server said instead of SUCCESS, where no other
// error of this package says it better.
type AnswerError = protocol.Error

// writerError reads the refusals of owned queues; nil for SUCCESS.
func writerError(ans *remoting.Command) error {
	switch ans.Code {
	case protocol.Success:
		return nil
	case protocol.FlushDiskTimeout, protocol.FlushSlaveTimeout, protocol.SlaveNotAvailable:
		return fmt.Errorf("%w: stored, but not at the guarantee: %w", ErrUncertain, protocol.AsError(ans))
	}
	var h protocol.RefusalHeader
	if err := h.Decode(ans); err != nil {
		return fmt.Errorf("%w: %w", protocol.AsError(ans), err)
	}
	return refusal(ans.Code, h, ans.Remark)
}

// refusal is the typed error of a code.
func refusal(code int, h protocol.RefusalHeader, remark string) error {
	switch code {
	case protocol.Stale:
		return &StaleError{Known: h.Known}
	case protocol.Fenced:
		return ErrFenced
	case protocol.Duplicate:
		return &DuplicateError{Last: h.Last}
	case protocol.Gap:
		return &GapError{Last: h.Last}
	case protocol.Gone:
		return ErrGone
	case protocol.FlowControl:
		return fmt.Errorf("%w: %w", ErrPendingFull, &AnswerError{Code: code, Remark: remark})
	}
	return &AnswerError{Code: code, Remark: remark}
}
