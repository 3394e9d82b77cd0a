package rpc

import (
	"fmt"
	"sync"
	"time"

	"github.com/millrace/millrace/remoting"
)

// call is a request of ours that waits for its answer.
type call struct {
	req     *remoting.Command
	opaque  int32
	timeout time.Duration // 0: none
	timer   *time.Timer
	done    func(*remoting.Command, error) // exactly once
}

// calls are the requests of a connection that wait for an answer.
type calls struct {
	addr  string // for hooks
	hooks []Hook

	mu      sync.Mutex
	next    int32
	waiting map[int32]*call
	err     error // set once: no more calls
}

func (cs *calls) opaque() int32 {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.next++
	return cs.next
}

// add gives the call its opaque and waits for the answer from here on.
func (cs *calls) add(c *call) error {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.err != nil {
		return cs.err
	}
	if cs.waiting == nil {
		cs.waiting = make(map[int32]*call)
	}
	cs.next++
	for cs.waiting[cs.next] != nil { // after 2^32 requests
		cs.next++
	}
	c.opaque = cs.next
	c.req.Opaque = c.opaque
	cs.waiting[c.opaque] = c
	if c.timeout > 0 {
		c.timer = time.AfterFunc(c.timeout, func() {
			if cs.forget(c) {
				c.done(nil, fmt.Errorf("%w: request %d after %s", ErrTimeout, c.req.Code, c.timeout))
			}
		})
	}
	return nil
}

// forget ends a call without its done. It returns false when the call has
// ended already.
func (cs *calls) forget(c *call) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.waiting[c.opaque] != c {
		return false
	}
	delete(cs.waiting, c.opaque)
	if c.timer != nil {
		c.timer.Stop()
	}
	return true
}

// answer ends the call that ans belongs to, if there is one.
func (cs *calls) answer(ans *remoting.Command) {
	cs.mu.Lock()
	c := cs.waiting[ans.Opaque]
	cs.mu.Unlock()
	if c == nil {
		return
	}
	delay, keep := cs.after(c.req, ans)
	switch {
	case !keep:
	case delay > 0:
		time.AfterFunc(delay, func() { cs.finish(c, ans) })
	default:
		cs.finish(c, ans)
	}
}

func (cs *calls) finish(c *call, ans *remoting.Command) {
	if cs.forget(c) {
		c.done(ans, nil)
	}
}

// fail ends every call and all that come later.
func (cs *calls) fail(err error) {
	cs.mu.Lock()
	cs.err = err
	waiting := cs.waiting
	cs.waiting = nil
	cs.mu.Unlock()
	for _, c := range waiting {
		if c.timer != nil {
			c.timer.Stop()
		}
		c.done(nil, err)
	}
}
