package client

import (
	"fmt"
	"strconv"

	"github.com/millrace/millrace/client/internal/session"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

// AnswerError is what a broker or name server said instead of SUCCESS, where no other
// error of this package says it better.
type AnswerError = session.AnswerError

// writerError reads the refusals of owned queues; nil for SUCCESS.
func writerError(ans *remoting.Command) error {
	switch ans.Code {
	case protocol.Success:
		return nil
	case protocol.FlushDiskTimeout, protocol.FlushSlaveTimeout, protocol.SlaveNotAvailable:
		return fmt.Errorf("%w: stored, but not at the guarantee: %w", ErrUncertain, &AnswerError{Code: ans.Code, Remark: ans.Remark})
	}
	return refusal(ans.Code, answerNumber(ans, "last"), answerNumber(ans, "known"), ans.Remark)
}

// refusal is the typed error of a code.
func refusal(code int, last, known uint64, remark string) error {
	switch code {
	case protocol.Stale:
		return &StaleError{Known: known}
	case protocol.Fenced:
		return ErrFenced
	case protocol.Duplicate:
		return &DuplicateError{Last: last}
	case protocol.Gap:
		return &GapError{Last: last}
	case protocol.Gone:
		return ErrGone
	}
	return &AnswerError{Code: code, Remark: remark}
}

func answerNumber(ans *remoting.Command, key string) uint64 {
	v, _ := ans.Ext.Get(key)
	n, _ := strconv.ParseUint(v, 10, 64)
	return n
}
