package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Server accepts connections and hands their requests to a handler.
type Server struct {
	cfg     ServerConfig
	handler Handler
	log     *slog.Logger
	large   *budget
	unsent  *unsent

	mu       sync.Mutex
	conns    map[*Conn]struct{}
	stopping bool
	full     bool // the last connection was turned away
	turned   uint64
}

// NewServer makes a server; Serve starts it.
func NewServer(cfg ServerConfig, h Handler, log *slog.Logger) *Server {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	cfg = cfg.withDefaults()
	return &Server{cfg: cfg, handler: h, log: log, large: &budget{limit: cfg.MaxLargeFrames}, unsent: &unsent{limit: cfg.MaxUnsent},
		conns: make(map[*Conn]struct{})}
}

// Serve accepts on ln until ctx ends or ln fails. It closes ln, stops reading
// from every connection, waits up to DrainTimeout for the answers that are
// due, closes the connections and returns after the last goroutine has gone:
// nil if ctx ended.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	unwatch := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer unwatch()
	var serving sync.WaitGroup
	err := s.acceptAll(ctx, ln, &serving)
	_ = ln.Close() // again, where accepting failed
	s.stopAll()
	force := time.AfterFunc(s.cfg.DrainTimeout, s.closeAll)
	serving.Wait()
	force.Stop()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (s *Server) acceptAll(ctx context.Context, ln net.Listener, serving *sync.WaitGroup) error {
	wait := time.Duration(0)
	for {
		nc, err := ln.Accept()
		switch {
		case err == nil:
			wait = 0
			s.open(nc, serving)
		case ctx.Err() != nil, errors.Is(err, net.ErrClosed):
			return fmt.Errorf("rpc: accept on %s: %w", ln.Addr(), err)
		default:
			// Out of descriptors, or a peer that was gone too soon.
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			s.log.Warn("accepting a connection failed", "listen", ln.Addr().String(), "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
		}
	}
}

func (s *Server) open(nc net.Conn, serving *sync.WaitGroup) {
	c := newConn(nc, s.cfg.ConnLimits, s.unsent, s.handler, s.log)
	c.in.sniff, c.in.shared = true, s.large
	if !s.register(c) {
		_ = nc.Close()
		return
	}
	serving.Go(func() {
		if s.cfg.Opened != nil {
			s.cfg.Opened(c)
		}
		err := c.serve()
		c.in.giveBack()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
		if s.cfg.Closed != nil {
			s.cfg.Closed(c)
		}
		s.report(c, err)
	})
}

func (s *Server) register(c *Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	if len(s.conns) >= s.cfg.MaxConnections {
		if !s.full {
			s.log.Warn("connections are turned away; raise the limit or find who opens them",
				"limit", s.cfg.MaxConnections, "remote", c.RemoteAddrPort())
		}
		s.full = true
		s.turned++
		return false
	}
	s.full = false
	s.conns[c] = struct{}{}
	return true
}

// report logs how a connection ended, unless it just ended.
func (s *Server) report(c *Conn, err error) {
	switch {
	case errors.Is(err, ErrClosed), errors.Is(err, errStopping):
		s.log.Debug("connection closed", "remote", c.RemoteAddrPort())
	case errors.Is(err, errIdle):
		s.log.Info("idle connection closed", "remote", c.RemoteAddrPort())
	default:
		s.log.Warn("connection closed", "remote", c.RemoteAddrPort(), "error", err)
	}
}

// ServerStats says how a server stands to the bounds of its configuration.
type ServerStats struct {
	Connections        int    // open now
	UnsentBytes        int64  // that wait to be written, over all connections
	RefusedAnswers     uint64 // since the start, by MaxUnsent
	RefusedConnections uint64 // since the start, by MaxConnections
}

// Stats may be called by anybody at any time.
func (s *Server) Stats() ServerStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return ServerStats{
		Connections: len(s.conns), RefusedConnections: s.turned,
		UnsentBytes: s.unsent.bytes.Load(), RefusedAnswers: s.unsent.refused.Load(),
	}
}

// Conns returns the connections that are open now.
func (s *Server) Conns() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	conns := make([]*Conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	return conns
}

func (s *Server) stopAll() {
	s.mu.Lock()
	s.stopping = true
	s.mu.Unlock()
	for _, c := range s.Conns() {
		c.in.stop()
	}
}

func (s *Server) closeAll() {
	for _, c := range s.Conns() {
		c.Close()
	}
}
