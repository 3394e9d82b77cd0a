package rpc

import (
	"time"

	"github.com/millrace/millrace/remoting"
)

// Hook watches and disturbs a client's traffic; tests of faults are made of
// hooks. Either function may be nil. Both may be called concurrently.
type Hook struct {
	// Request sees every request before it is sent, in the order and on the
	// goroutine of the calls. An error fails the call, and nothing is sent.
	// It may block, which delays the request.
	Request func(addr string, req *remoting.Command) error
	// Answer sees every answer before the caller does, on the connection's
	// reader.
	Answer func(addr string, req, ans *remoting.Command) Verdict
}

// Verdict is what happens to an answer. The zero value lets it pass.
type Verdict struct {
	Drop  bool          // the call will time out
	Delay time.Duration // answers of later requests may overtake it
}

func (cs *calls) before(req *remoting.Command) error {
	for _, h := range cs.hooks {
		if h.Request != nil {
			if err := h.Request(cs.addr, req); err != nil {
				return err
			}
		}
	}
	return nil
}

func (cs *calls) after(req, ans *remoting.Command) (delay time.Duration, keep bool) {
	for _, h := range cs.hooks {
		if h.Answer != nil {
			v := h.Answer(cs.addr, req, ans)
			if v.Drop {
				return 0, false
			}
			delay += v.Delay
		}
	}
	return delay, true
}
