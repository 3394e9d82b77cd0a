package session

import (
	"context"
	"errors"
	"time"

	"github.com/millrace/millrace/client/internal/routecache"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
	"github.com/millrace/millrace/remoting/rpc"
)

// Kick asks for a heartbeat round soon: a connection was lost, or a role changed.
func (s *Session) Kick() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// connectionClosed makes a broker that lost our connection hear of us again: it forgot
// the client with it.
func (s *Session) connectionClosed(addr string, _ *rpc.Conn) {
	s.mu.Lock()
	_, was := s.greeted[addr]
	delete(s.greeted, addr)
	s.mu.Unlock()
	if was {
		s.Kick()
	}
}

// kickForStrangers asks for heartbeats when a route names a broker that had none.
func (s *Session) kickForStrangers(r *routecache.Route) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range r.Brokers {
		addr := b.Addrs[routecache.MasterID]
		if _, known := s.greeted[addr]; addr != "" && !known {
			s.Kick()
			return
		}
	}
}

// maintain sends heartbeats and renews routes until the session ends. A round in which
// a broker did not answer is repeated after the back-off, with fresh routes: the broker
// may have moved.
func (s *Session) maintain() {
	beat := time.NewTimer(s.cfg.HeartbeatInterval)
	refresh := time.NewTicker(s.cfg.RouteRefresh)
	defer beat.Stop()
	defer refresh.Stop()
	pace := time.NewTimer(0) // the least time between two rounds that were asked for
	defer pace.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-refresh.C:
			s.refreshAll()
			continue
		case <-beat.C:
		case <-s.kick:
			select {
			case <-pace.C:
			case <-s.ctx.Done():
				return
			}
		}
		pace.Reset(s.cfg.RetryBackoff)
		next := s.cfg.HeartbeatInterval
		if !s.Greet(s.ctx) {
			next = s.cfg.RetryBackoff
			s.refreshAll()
		}
		beat.Reset(next)
	}
}

// AddBroker makes heartbeats go to a broker that no cached route names.
func (s *Session) AddBroker(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.extra[name] = struct{}{}
}

// Greet sends a heartbeat to every known master. It returns false when one did not
// answer.
func (s *Session) Greet(ctx context.Context) bool {
	s.mu.Lock()
	m := s.member
	extra := make([]string, 0, len(s.extra))
	for name := range s.extra {
		extra = append(extra, name)
	}
	s.mu.Unlock()
	if m == nil {
		return true
	}
	body := m.Heartbeat()
	if body == nil {
		return true
	}
	addrs := make(map[string]struct{})
	for _, b := range s.routes.Brokers() {
		if addr := b.Addrs[routecache.MasterID]; addr != "" {
			addrs[addr] = struct{}{}
		}
	}
	ok := true
	for _, name := range extra {
		addr, err := s.Master(ctx, name)
		if err != nil {
			ok = false
			continue
		}
		addrs[addr] = struct{}{}
	}
	for addr := range addrs {
		if err := s.GreetBroker(ctx, addr, body); err != nil {
			ok = false
			if ctx.Err() == nil {
				s.log.Warn("heartbeat failed", "broker", addr, "error", err)
			}
		}
	}
	return ok
}

// GreetBroker sends one heartbeat.
func (s *Session) GreetBroker(ctx context.Context, addr string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.NameServerTimeout)
	defer cancel()
	req := remoting.NewRequest(protocol.HeartBeat)
	req.Body = body
	ans, err := s.Invoke(ctx, addr, req)
	if err == nil {
		err = protocol.AsError(ans)
	}
	if err == nil {
		s.mu.Lock()
		s.greeted[addr] = struct{}{}
		s.mu.Unlock()
	}
	return err
}

// refreshAll renews every cached route. It keeps what it has where that fails.
func (s *Session) refreshAll() {
	changed := false
	for _, topic := range s.routes.Topics() {
		c, err := s.fetch(s.ctx, topic)
		changed = changed || c
		if err == nil {
			continue
		}
		if s.ctx.Err() == nil {
			s.log.Warn("route refresh failed", "topic", topic, "error", err)
		}
		if !errors.Is(err, ErrTopicNotFound) {
			break // no name server answers: do not keep heartbeats waiting for each topic
		}
	}
	s.mu.Lock()
	m, names := s.member, make([]string, 0, len(s.extra))
	for name := range s.extra {
		names = append(names, name)
	}
	s.mu.Unlock()
	if len(names) > 0 {
		_ = s.fetchCluster(s.ctx)
	}
	if changed && m != nil {
		m.RoutesChanged()
	}
}

// Farewell tells every known master that the client is gone, so that its group need not
// wait for it. Brokers that do not answer find out by themselves.
func (s *Session) Farewell(ctx context.Context, h *protocol.UnregisterClientHeader) {
	for _, b := range s.routes.Brokers() {
		addr := b.Addrs[routecache.MasterID]
		if addr == "" {
			continue
		}
		attempt, cancel := context.WithTimeout(ctx, s.cfg.NameServerTimeout)
		if _, err := s.Invoke(attempt, addr, Request(protocol.UnregisterClient, h)); err != nil {
			s.log.Debug("farewell failed", "broker", addr, "error", err)
		}
		cancel()
	}
}
