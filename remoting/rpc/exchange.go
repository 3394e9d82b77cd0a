package rpc

import (
	"errors"
	"sync/atomic"

	"github.com/millrace/millrace/remoting"
)

// Handler serves requests. It runs on the goroutine that reads the
// connection, one request at a time: whatever may take long is handed off and
// answered later. In particular it must not wait for an answer from the same
// connection, which nobody would read.
type Handler interface {
	ServeRemoting(x *Exchange)
}

// HandlerFunc makes a function a Handler.
type HandlerFunc func(x *Exchange)

// ServeRemoting calls f.
func (f HandlerFunc) ServeRemoting(x *Exchange) { f(x) }

// Exchange is one request and the answer that it is due.
type Exchange struct {
	conn *Conn
	req  remoting.Command
	cost int
	// inline is set while the handler has not returned: answers given until
	// then leave with the rest of the burst.
	inline  atomic.Bool
	replied atomic.Bool
	fields  [inlineFields]remoting.Field
}

// inlineFields is enough for a send with authentication.
const inlineFields = 18

// Conn is the connection that the request came on.
func (x *Exchange) Conn() *Conn { return x.conn }

// Request is the request. Its strings may be kept; its body is valid until
// the handler returns.
func (x *Exchange) Request() *remoting.Command { return &x.req }

// Reply answers the request, from any goroutine. Only the first answer
// counts; a oneway request gets none. Every exchange must be replied to, or
// its request counts as unanswered as long as the connection lives. Reply
// does not block. The answer and its body belong to the connection from then
// on: the body is written later and must not be changed. The connection calls
// the answer's Release when the body is written or refused; one that is not
// written because the connection ends is left to the garbage collector.
func (x *Exchange) Reply(ans *remoting.Command) {
	if !x.replied.CompareAndSwap(false, true) {
		return
	}
	c := x.conn
	if x.req.IsOneway() {
		c.out.settle(x.cost)
		return
	}
	ans.AnswerTo(&x.req)
	if err := c.out.put(ans, x.cost, x.inline.Load()); err != nil {
		c.refuse(x, ans, err)
	}
}

// refuse deals with an answer that could not be queued.
func (c *Conn) refuse(x *Exchange, ans *remoting.Command, err error) {
	if c.closing() {
		return
	}
	const systemError, systemBusy = 1, 2
	code, remark := systemError, "the answer is too large to be sent"
	if errors.Is(err, errCrowded) {
		code, remark = systemBusy, err.Error() // one of many: the client tells who asked
	} else {
		c.log.Warn("answer cannot be sent", "remote", c.RemoteAddrPort(), "request", x.req.Code, "answer", ans.Code, "error", err)
	}
	ans.Done()
	short := remoting.NewResponse(code, remark).AnswerTo(&x.req)
	if err := c.out.put(short, x.cost, false); err != nil {
		c.closeWith(err)
	}
}

// Abandon gives the request no answer: whoever asked waits until its own limit. It is for
// requests whose every answer would be misread.
func (x *Exchange) Abandon() {
	if x.replied.CompareAndSwap(false, true) {
		x.conn.out.settle(x.cost)
	}
}
