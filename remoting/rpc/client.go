package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/millrace/millrace/remoting"
)

// ClientConfig configures a Client. The zero value is good.
type ClientConfig struct {
	ConnLimits
	// Dial makes connections; a net.Dialer's when nil.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// DialTimeout bounds Dial, 3 s.
	DialTimeout time.Duration
	// Handler serves requests that servers start; without one they are
	// dropped.
	Handler Handler
	Hooks   []Hook
	// Closed, where set, is called once for every connection that was made
	// and is closed now. It must not block.
	Closed func(addr string, c *Conn)
}

// Pauses between attempts to dial an address that does not answer.
const (
	firstPause = 50 * time.Millisecond
	maxPause   = 2 * time.Second
)

// Client keeps one connection per address and makes it when it is needed. Its
// methods may be called concurrently. Requests to one address are sent in the
// order of the calls.
type Client struct {
	cfg ClientConfig
	log *slog.Logger

	ctx    context.Context // ends with Close: of dials
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu     sync.Mutex
	peers  map[string]*peer
	closed bool
}

// peer is what a client knows of one address.
type peer struct {
	conn    *Conn
	dialing chan struct{} // closed when the dial under way is over; nil without one
	pause   time.Duration // before the next dial, after a failure
	ready   time.Time     // when that pause ends
	err     error         // of the last dial
}

// NewClient makes a client; it connects when it is used.
func NewClient(cfg ClientConfig, log *slog.Logger) *Client {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	cfg.ConnLimits = cfg.ConnLimits.withDefaults()
	if cfg.DialTimeout <= 0 {
		cfg.DialTimeout = 3 * time.Second
	}
	if cfg.Dial == nil {
		cfg.Dial = new(net.Dialer).DialContext
	}
	c := &Client{cfg: cfg, log: log, peers: make(map[string]*peer)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Invoke sends a request to addr and waits for the answer; see Conn.Invoke.
// When no connection can be made the error wraps ErrDial.
func (c *Client) Invoke(ctx context.Context, addr string, req *remoting.Command) (*remoting.Command, error) {
	conn, err := c.Conn(ctx, addr)
	if err != nil {
		return nil, err
	}
	ans, err := conn.Invoke(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", addr, err)
	}
	return ans, nil
}

// Oneway queues a request to addr that gets no answer.
func (c *Client) Oneway(ctx context.Context, addr string, req *remoting.Command) error {
	conn, err := c.Conn(ctx, addr)
	if err != nil {
		return err
	}
	return conn.Oneway(req)
}

// InvokeAsync sends a request to addr and calls done exactly once, on a
// goroutine that it must not block. Without a connection it makes one in the
// background: calls to an address that is not connected may then be sent in
// another order than that of the calls. A caller to whom order matters gets
// the connection first, by Conn.
func (c *Client) InvokeAsync(addr string, req *remoting.Command, timeout time.Duration, done func(*remoting.Command, error)) {
	if conn := c.connected(addr); conn != nil {
		if err := conn.InvokeAsync(req, timeout, done); err != nil {
			done(nil, err)
		}
		return
	}
	started := c.background(func() {
		ctx, cancel := context.WithTimeout(c.ctx, timeout)
		defer cancel()
		conn, err := c.Conn(ctx, addr)
		if err == nil {
			deadline, _ := ctx.Deadline()
			err = conn.InvokeAsync(req, max(time.Until(deadline), time.Millisecond), done)
		}
		if err != nil {
			done(nil, err)
		}
	})
	if !started {
		done(nil, ErrClosed)
	}
}

// background runs f unless the client is closed. Close waits for it.
func (c *Client) background(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.work.Go(f)
	return true
}

func (c *Client) connected(addr string) *Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.peers[addr]; p != nil && p.conn != nil && !p.conn.closing() {
		return p.conn
	}
	return nil
}

// Conn returns the connection to addr and makes one if there is none. Callers
// at the same time share one attempt; after a failure the next attempt waits,
// a little longer each time.
func (c *Client) Conn(ctx context.Context, addr string) (*Conn, error) {
	for {
		conn, dialing, ready, err := c.dialOrJoin(addr)
		if conn != nil || err != nil {
			return conn, err
		}
		if dialing == nil { // a pause
			t := time.NewTimer(time.Until(ready))
			select {
			case <-t.C:
				continue
			case <-ctx.Done():
			}
			t.Stop()
			return nil, c.dialError(addr, ctx.Err())
		}
		select {
		case <-dialing:
		case <-ctx.Done():
			return nil, c.dialError(addr, ctx.Err())
		}
		if conn := c.connected(addr); conn != nil {
			return conn, nil
		}
		return nil, c.dialError(addr, nil)
	}
}

func (c *Client) dialError(addr string, waited error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := ErrClosed
	if p := c.peers[addr]; p != nil && p.err != nil {
		last = p.err
	}
	if waited != nil {
		return fmt.Errorf("%w to %s: %w (last attempt: %w)", ErrDial, addr, waited, last)
	}
	return fmt.Errorf("%w to %s: %w", ErrDial, addr, last)
}

// dialOrJoin returns the connection, or the dial under way (which it starts),
// or the end of the pause before the next.
func (c *Client) dialOrJoin(addr string) (conn *Conn, dialing chan struct{}, ready time.Time, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, ready, ErrClosed
	}
	p := c.peers[addr]
	if p == nil {
		p = new(peer)
		c.peers[addr] = p
	}
	switch {
	case p.conn != nil && !p.conn.closing():
		return p.conn, nil, ready, nil
	case p.dialing != nil:
		return nil, p.dialing, ready, nil
	case time.Now().Before(p.ready):
		return nil, nil, p.ready, nil
	}
	p.dialing = make(chan struct{})
	c.work.Go(func() { c.dial(addr, p) })
	return nil, p.dialing, ready, nil
}

// dial makes the connection and serves it until it is closed.
func (c *Client) dial(addr string, p *peer) {
	ctx, cancel := context.WithTimeout(c.ctx, c.cfg.DialTimeout)
	nc, err := c.cfg.Dial(ctx, "tcp", addr)
	cancel()
	conn := c.dialed(addr, p, nc, err)
	if conn == nil {
		return
	}
	err = conn.serve()
	c.log.Debug("connection closed", "remote", addr, "error", err)
	if c.cfg.Closed != nil {
		c.cfg.Closed(addr, conn)
	}
}

// dialed notes how a dial ended and wakes who waits for it.
func (c *Client) dialed(addr string, p *peer, nc net.Conn, err error) *Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() { close(p.dialing); p.dialing = nil }()
	if err == nil && c.peers[addr] != p { // closed, or forgotten
		_ = nc.Close()
		err = ErrClosed
	}
	if p.err = err; err != nil {
		p.pause = min(max(2*p.pause, firstPause), maxPause)
		p.ready = time.Now().Add(p.pause)
		return nil
	}
	p.pause = 0
	p.conn = newConn(nc, c.cfg.ConnLimits, nil, c.cfg.Handler, c.log)
	p.conn.client = true
	p.conn.calls.addr, p.conn.calls.hooks = addr, c.cfg.Hooks
	return p.conn
}

// Forget closes the connection to addr and everything known of it: a broker
// that left the routes.
func (c *Client) Forget(addr string) {
	c.mu.Lock()
	var conn *Conn
	if p := c.peers[addr]; p != nil {
		conn = p.conn
	}
	delete(c.peers, addr)
	c.mu.Unlock()
	if conn != nil {
		conn.Close()
	}
}

// Close closes every connection, fails the calls that wait, and returns when
// the client's goroutines have gone. It must not be called from a callback.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	var conns []*Conn
	for _, p := range c.peers {
		if p.conn != nil {
			conns = append(conns, p.conn)
		}
	}
	clear(c.peers)
	c.mu.Unlock()
	c.cancel()
	for _, conn := range conns {
		conn.Close()
	}
	c.work.Wait()
}
