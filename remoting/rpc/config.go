package rpc

import (
	"errors"
	"time"

	"github.com/millrace/millrace/remoting"
)

// Errors that callers of Invoke and Oneway tell apart with errors.Is.
var (
	// ErrClosed says that the connection, or the client, went away. Whether
	// a request was carried out is unknown.
	ErrClosed = errors.New("rpc: connection is closed")
	// ErrTimeout says that no answer came in time.
	ErrTimeout = errors.New("rpc: no answer in time")
	// ErrDial says that no connection could be made: nothing was sent.
	ErrDial = errors.New("rpc: cannot connect")
	// ErrBusy says that too much waits to be written: nothing was sent.
	ErrBusy = errors.New("rpc: too much is waiting to be written")
)

// ConnLimits bound what one connection may cost. Zero values mean the
// defaults.
type ConnLimits struct {
	MaxFrame         int           // bytes of a frame, 16 MiB
	MaxPendingBytes  int           // unsent output, and separately unanswered requests, 64 MiB
	MaxPending       int           // unanswered requests, 8192
	IdleTimeout      time.Duration // without traffic either way, 120 s
	FrameTimeout     time.Duration // from a frame's first byte to its last, 60 s
	WriteTimeout     time.Duration // for a write, of at most 1 MiB, 30 s
	FirstByteTimeout time.Duration // from accept to the first byte, 30 s; servers only
}

func (l ConnLimits) withDefaults() ConnLimits {
	orInt := func(p *int, d int) {
		if *p <= 0 {
			*p = d
		}
	}
	orTime := func(p *time.Duration, d time.Duration) {
		if *p <= 0 {
			*p = d
		}
	}
	orInt(&l.MaxFrame, remoting.MaxFrame)
	l.MaxFrame = min(l.MaxFrame, remoting.MaxFrame)
	orInt(&l.MaxPendingBytes, 64<<20)
	orInt(&l.MaxPending, 8192)
	orTime(&l.IdleTimeout, 120*time.Second)
	orTime(&l.FrameTimeout, 60*time.Second)
	orTime(&l.WriteTimeout, 30*time.Second)
	orTime(&l.FirstByteTimeout, 30*time.Second)
	return l
}

// ServerConfig configures a Server. The zero value is good.
type ServerConfig struct {
	ConnLimits
	MaxConnections int   // 10,000
	MaxLargeFrames int64 // bytes of frames above 128 KiB under way, over all connections, 512 MiB
	// MaxUnsent is how many bytes wait to be written over all connections, 256 MiB. Beyond
	// it no request is taken of a connection that has something to write; beyond twice as
	// much large answers are refused with SYSTEM_BUSY.
	MaxUnsent    int64
	DrainTimeout time.Duration // for answers that are due when the server stops, 5 s
	// Opened and Closed, where set, are called once per connection: before
	// its first request, and after its last. They must not block.
	Opened func(*Conn)
	Closed func(*Conn)
}

func (c ServerConfig) withDefaults() ServerConfig {
	c.ConnLimits = c.ConnLimits.withDefaults()
	if c.MaxConnections <= 0 {
		c.MaxConnections = 10_000
	}
	if c.MaxLargeFrames <= 0 {
		c.MaxLargeFrames = 512 << 20
	}
	if c.MaxUnsent <= 0 {
		c.MaxUnsent = 256 << 20
	}
	if c.DrainTimeout <= 0 {
		c.DrainTimeout = 5 * time.Second
	}
	return c
}
