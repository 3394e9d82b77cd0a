package processor

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
	"github.com/millrace/millrace/remoting/rpc"
)

// call is one request on its way to its answer. It is small and is handed on by value; who
// answers later keeps it.
type call struct {
	*rpc.Exchange
	route  *route
	began  time.Time
	parked bool
}

// handler serves one request code. It returns the answer, or the error that refuses the
// request; neither says that it answers later, from any goroutine, by finish or fail. The
// request's body is valid until it returns.
type handler func(*Processor, call) (*remoting.Command, error)

// finish gives the answer. Every answer to a request with a row leaves here, and here its
// code is measured: before it leaves, so that whoever has it finds it counted.
func (c *call) finish(ans *remoting.Command) {
	c.route.clock.observe(c.began, ans.Code, c.parked)
	c.Reply(ans)
}

// finishAnnounced gives the answer that is due to what changed the table of topics: once the name
// servers know of it, so that who is told may ask them at once. As with RocketMQ, one that
// is away changes nothing about the answer's code; the remark names it.
func (p *Processor) finishAnnounced(c *call, due <-chan *remoting.Command) {
	unaware := errors.Join(p.Names.Announce(context.Background())...)
	ans := <-due
	if unaware != nil && ans.Code == protocol.Success {
		ans.Remark = "done, but not every name server knows the topic yet: " + strings.ReplaceAll(unaware.Error(), "\n", "; ")
	}
	c.finish(ans)
}

// announced gives an answer once the name servers know the topics.
func (p *Processor) announced(c call, ans *remoting.Command) (*remoting.Command, error) {
	due := make(chan *remoting.Command, 1)
	due <- ans
	p.resumed.Go(func() { p.finishAnnounced(&c, due) })
	return nil, nil
}

// fail answers with the code of the error.
func (c *call) fail(err error) { c.finish(refusal(err)) }

// refusal is the answer that says what err means to a client.
func refusal(err error) *remoting.Command {
	code, remark := refusalOf(err)
	ans := remoting.NewResponse(code, remark)
	describeRefusal(ans, err)
	return ans
}
