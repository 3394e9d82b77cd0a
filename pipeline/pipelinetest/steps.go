package pipelinetest

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/rpc"
)

// ErrStopped is what everything answers once a process is stopped.
var ErrStopped = errors.New("the process was stopped here")

// Steps counts what a process does and stops it at one of its steps: from then on every
// step fails, as if nobody were left to take it. Its methods may be called concurrently.
type Steps struct {
	// At is the step at which the process stops, from 1; 0 never stops it.
	At int64
	// Stopped, where set, is called once, by the step that stops the process and before
	// any other step can be taken.
	Stopped func()

	n    atomic.Int64
	dead atomic.Bool
	once atomic.Bool

	mu    sync.Mutex
	conns []net.Conn
}

// Take takes a step.
func (s *Steps) Take() error {
	if s.dead.Load() {
		return ErrStopped
	}
	if n := s.n.Add(1); s.At > 0 && n >= s.At {
		s.Stop()
		return ErrStopped
	}
	return nil
}

// Stop stops the process outside of its own steps.
func (s *Steps) Stop() {
	s.dead.Store(true)
	s.hangUp()
	if s.once.CompareAndSwap(false, true) && s.Stopped != nil {
		s.Stopped()
	}
}

// Taken is how many steps there were.
func (s *Steps) Taken() int64 { return s.n.Load() }

// Dead says whether the process was stopped.
func (s *Steps) Dead() bool { return s.dead.Load() }

// Options let a client take part: before makes each request a step, at which nothing is
// sent any more; otherwise each answer is one: the request was carried out, and nobody
// hears of it. The connections of a stopped process are closed.
func (s *Steps) Options(before bool) []client.Option {
	hook := client.Hook{Request: func(string, *remoting.Command) error {
		if before {
			return s.Take()
		}
		if s.Dead() {
			return ErrStopped
		}
		return nil
	}}
	if !before {
		hook.Answer = func(string, *remoting.Command, *remoting.Command) (v rpc.Verdict) {
			v.Drop = s.Take() != nil
			return v
		}
	}
	return []client.Option{client.WithHook(hook), client.WithDialer(s.dial)}
}

func (s *Steps) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if s.Dead() {
		return nil, ErrStopped
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.conns = append(s.conns, conn)
	s.mu.Unlock()
	if s.Dead() {
		conn.Close()
	}
	return conn, nil
}

func (s *Steps) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, conn := range s.conns {
		conn.Close()
	}
}
