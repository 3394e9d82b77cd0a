package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/millrace/millrace/remoting"
)

// Conn is one connection, of either side. Its methods may be called
// concurrently.
type Conn struct {
	nc      net.Conn
	log     *slog.Logger
	handler Handler
	in      input
	out     *output
	calls   calls
	client  bool // answers are what mostly arrives
	remote  netip.AddrPort
	local   netip.AddrPort
	done    chan struct{}

	mu     sync.Mutex
	err    error // why it was closed; nil while it is open
	values map[any]any
}

func newConn(nc net.Conn, limits ConnLimits, all *unsent, h Handler, log *slog.Logger) *Conn {
	c := &Conn{
		nc:      nc,
		log:     log,
		handler: h,
		out:     newOutput(nc, limits, all),
		remote:  addrPort(nc.RemoteAddr()),
		local:   addrPort(nc.LocalAddr()),
		done:    make(chan struct{}),
	}
	c.in = input{nc: nc, limits: limits, busy: c.out.writes, pause: c.out.release}
	return c
}

// addrPort is the zero value for addresses that are not IP.
func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}

// RemoteAddr is the peer's address.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// RemoteAddrPort is the peer's address as messages carry it; the zero value
// where the connection is not TCP.
func (c *Conn) RemoteAddrPort() netip.AddrPort { return c.remote }

// LocalAddrPort is our own address as the peer dialled it.
func (c *Conn) LocalAddrPort() netip.AddrPort { return c.local }

// Done is closed when the connection is.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err says why the connection was closed; nil while it is open.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// SetValue attaches something to the connection, such as who is behind it.
// Keys are compared as in context.WithValue.
func (c *Conn) SetValue(key, value any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.values == nil {
		c.values = make(map[any]any)
	}
	c.values[key] = value
}

// Value returns what was attached under key, or nil.
func (c *Conn) Value(key any) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.values[key]
}

// Close closes the connection at once. Answers not yet written are lost.
func (c *Conn) Close() { c.closeWith(ErrClosed) }

func (c *Conn) closing() bool { return c.Err() != nil }

func (c *Conn) closeWith(err error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = err
	c.mu.Unlock()
	gone := ErrClosed
	if !errors.Is(err, ErrClosed) {
		gone = fmt.Errorf("%w: %w", ErrClosed, err)
	}
	c.out.close(gone)
	_ = c.nc.Close() // the connection is given up, whatever it says
	close(c.done)
	c.calls.fail(gone)
}

// serve reads and writes until the connection is closed, and returns after
// both goroutines are through. The error is why.
func (c *Conn) serve() error {
	var writer sync.WaitGroup
	writer.Go(func() {
		if err := c.out.run(c.done); err != nil {
			c.closeWith(fmt.Errorf("write: %w", err))
		}
	})
	err := c.readAll()
	if errors.Is(err, errStopping) {
		c.out.settledAndSent()
	}
	c.closeWith(err)
	writer.Wait()
	c.out.abandon()
	return c.Err()
}

func (c *Conn) readAll() error {
	for !c.in.stopping.Load() {
		frame, err := c.in.next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%w by the peer", ErrClosed)
		}
		if err != nil {
			return err
		}
		if err := c.dispatch(frame); err != nil {
			return err
		}
	}
	return errStopping
}

func (c *Conn) dispatch(frame []byte) error {
	if c.client {
		ans := new(remoting.Command)
		if err := ans.Parse(frame); err != nil {
			return err
		}
		if ans.IsResponse() {
			c.answered(frame, ans)
			return nil
		}
		return c.request(&Exchange{conn: c, req: *ans, cost: len(frame)})
	}
	x := &Exchange{conn: c, cost: len(frame)}
	x.req.Ext.Use(x.fields[:0])
	if err := x.req.Parse(frame); err != nil {
		return err
	}
	if x.req.IsResponse() {
		c.answered(frame, &x.req)
		return nil
	}
	return c.request(x)
}

func (c *Conn) request(x *Exchange) error {
	if c.handler == nil {
		return nil
	}
	if !c.out.owe(x.cost) {
		return ErrClosed
	}
	x.inline.Store(true)
	c.handler.ServeRemoting(x)
	x.inline.Store(false)
	if x.req.IsOneway() && x.replied.CompareAndSwap(false, true) {
		c.out.settle(x.cost)
	}
	return nil
}

// answered hands an answer to its call; one that nobody waits for is dropped.
func (c *Conn) answered(frame []byte, ans *remoting.Command) {
	if len(ans.Body) > 0 {
		if memory := c.in.keep(frame); memory != nil {
			ans.Release = func() { giveLarge(memory) }
		} else {
			ans.Body = bytes.Clone(ans.Body)
		}
	}
	c.calls.answer(ans)
}

// Invoke sends a request and waits for its answer. The opaque is assigned
// here. The request's body is written from where it lies and must not be
// changed any more, not even after a time-out. The answer is the caller's, who
// may call its Release when he is done with the body. An error wraps ErrClosed,
// ErrTimeout or ErrBusy, or says that the request cannot be encoded; when ctx
// ends, it also wraps ctx's.
func (c *Conn) Invoke(ctx context.Context, req *remoting.Command) (*remoting.Command, error) {
	type outcome struct {
		ans *remoting.Command
		err error
	}
	got := make(chan outcome, 1)
	call := &call{req: req, done: func(ans *remoting.Command, err error) { got <- outcome{ans, err} }}
	if err := c.start(call); err != nil {
		return nil, err
	}
	select {
	case o := <-got:
		return o.ans, o.err
	case <-ctx.Done():
		c.calls.forget(call)
		return nil, fmt.Errorf("%w: request %d: %w", ErrTimeout, req.Code, ctx.Err())
	}
}

// InvokeAsync sends a request as Invoke does and calls done exactly once:
// with the answer, after timeout, or when the connection is closed. When it
// returns an error, nothing was sent and done is not called. done runs on the
// connection's reader or a timer's goroutine and must not block.
func (c *Conn) InvokeAsync(req *remoting.Command, timeout time.Duration, done func(*remoting.Command, error)) error {
	return c.start(&call{req: req, done: done, timeout: timeout})
}

// start sends call's request. After an error, call is over without its done.
func (c *Conn) start(call *call) error {
	if err := c.calls.before(call.req); err != nil {
		return err
	}
	if err := c.calls.add(call); err != nil {
		return err
	}
	if err := c.out.put(call.req, -1, false); err != nil {
		if !c.calls.forget(call) {
			return nil // closed in between: done has been called
		}
		return err
	}
	return nil
}

// Oneway sends a request that gets no answer. It returns when the request is
// queued.
func (c *Conn) Oneway(req *remoting.Command) error {
	if err := c.calls.before(req); err != nil {
		return err
	}
	req.Flag |= remoting.FlagOneway
	req.Opaque = c.calls.opaque()
	return c.out.put(req, -1, false)
}
