package processor

import (
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

// header is what every typed header of a request has.
type header interface {
	Decode(*remoting.Command) error
}

// decode reads the request's header into h; the error is an answer.
func decode(x call, h header) error {
	if err := h.Decode(x.Request()); err != nil {
		return refuse(protocol.SystemError, "%v", err)
	}
	return nil
}

// decodeBody is decode for the body.
func decodeBody(x call, body any) error {
	if err := protocol.DecodeBody(x.Request().Body, body); err != nil {
		return refuse(protocol.SystemError, "%v", err)
	}
	return nil
}

// answerBody is success with a body of package protocol.
func answerBody(body any) (*remoting.Command, error) {
	b, err := protocol.EncodeBody(body)
	if err != nil {
		return nil, err
	}
	return answerBytes(b), nil
}

func answerBytes(body []byte) *remoting.Command {
	ans := answerOK()
	ans.Body = body
	return ans
}

// encoder is what every typed header of an answer has.
type encoder interface {
	Encode(*remoting.Command)
}

// answerHeader is success with a header.
func answerHeader(h encoder) *remoting.Command {
	ans := answerOK()
	h.Encode(ans)
	return ans
}

func answerOK() *remoting.Command { return remoting.NewResponse(protocol.Success, "") }

func refuse(code int, format string, args ...any) *protocol.Error {
	return protocol.Errorf(code, format, args...)
}
