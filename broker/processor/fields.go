package processor

import (
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
	"github.com/millrace/millrace/remoting/rpc"
)

// header is what every typed header of a request has.
type header interface {
	Decode(*remoting.Command) error
}

// decoded reads the request's header into h. When that fails it answers the request and
// returns false.
func (p *Processor) decoded(x *rpc.Exchange, h header) bool {
	if err := h.Decode(x.Request()); err != nil {
		p.replyError(x, refuse(protocol.SystemError, "%v", err))
		return false
	}
	return true
}

// decodedBody is decoded for the body.
func (p *Processor) decodedBody(x *rpc.Exchange, body any) bool {
	if err := protocol.DecodeBody(x.Request().Body, body); err != nil {
		p.replyError(x, refuse(protocol.SystemError, "%v", err))
		return false
	}
	return true
}

// replyBody answers with success and a body of package protocol.
func (p *Processor) replyBody(x *rpc.Exchange, body any) {
	b, err := protocol.EncodeBody(body)
	if err != nil {
		p.replyError(x, err)
		return
	}
	p.replyBytes(x, b)
}

func (p *Processor) replyBytes(x *rpc.Exchange, body []byte) {
	ans := answerOK()
	ans.Body = body
	p.reply(x, ans)
}

// encoder is what every typed header of an answer has.
type encoder interface {
	Encode(*remoting.Command)
}

// replyHeader answers with success and a header.
func (p *Processor) replyHeader(x *rpc.Exchange, h encoder) {
	ans := answerOK()
	h.Encode(ans)
	p.reply(x, ans)
}

func answerOK() *remoting.Command { return remoting.NewResponse(protocol.Success, "") }

func refuse(code int, format string, args ...any) *protocol.Error {
	return protocol.Errorf(code, format, args...)
}
