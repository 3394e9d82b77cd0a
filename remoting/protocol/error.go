package protocol

import (
	"fmt"

	"github.com/millrace/millrace/remoting"
)

// Error is an answer that is no success.
type Error struct {
	Code   int
	Remark string
}

// Errorf makes an error of a code and a remark.
func Errorf(code int, format string, args ...any) *Error {
	return &Error{Code: code, Remark: fmt.Sprintf(format, args...)}
}

func (e *Error) Error() string {
	name := ResponseName(e.Code)
	if name == "" {
		name = "code"
	}
	if e.Remark == "" {
		return fmt.Sprintf("%s (%d)", name, e.Code)
	}
	return fmt.Sprintf("%s (%d): %s", name, e.Code, e.Remark)
}

// Is makes errors.Is compare codes.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && (t.Remark == "" || t.Remark == e.Remark)
}

// Retriable tells whether the same send may succeed at another broker, or
// here later. It is the list of Java's producer.
func (e *Error) Retriable() bool {
	switch e.Code {
	case TopicNotExist, ServiceNotAvailable, SystemError, SystemBusy, NoPermission, NoBuyerID, NotInCurrentUnit, GoAway:
		return true
	}
	return false
}

// Response is the answer that says e.
func (e *Error) Response() *remoting.Command { return remoting.NewResponse(e.Code, e.Remark) }

// AsError returns the *Error of an answer, nil for success.
func AsError(ans *remoting.Command) error {
	if ans.Code == Success {
		return nil
	}
	return &Error{Code: ans.Code, Remark: ans.Remark}
}
