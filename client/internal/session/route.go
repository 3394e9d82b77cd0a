package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/client/internal/routecache"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

// Route returns what is known of a topic, asking a name server the first time.
// ErrTopicNotFound when none knows it.
func (s *Session) Route(ctx context.Context, topic string) (*routecache.Route, error) {
	if r := s.routes.Get(topic); r != nil {
		return r, nil
	}
	return s.Refresh(ctx, topic)
}

// Cached returns the route of a topic if it is known, else nil. It never blocks.
func (s *Session) Cached(topic string) *routecache.Route { return s.routes.Get(topic) }

// Refresh asks a name server for a topic now. Concurrent callers share one request.
func (s *Session) Refresh(ctx context.Context, topic string) (*routecache.Route, error) {
	if err := s.shared(ctx, "topic "+topic, func(ctx context.Context) error {
		_, err := s.fetch(ctx, topic)
		return err
	}); err != nil {
		return nil, err
	}
	if r := s.routes.Get(topic); r != nil {
		return r, nil
	}
	return nil, fmt.Errorf("%w: %s", ErrTopicNotFound, topic)
}

// RefreshSoon renews a topic's route in the background, at most once per back-off.
func (s *Session) RefreshSoon(topic string) {
	s.mu.Lock()
	if now := time.Now(); now.Sub(s.lastFill[topic]) < s.cfg.RetryBackoff {
		s.mu.Unlock()
		return
	} else {
		s.lastFill[topic] = now
	}
	s.mu.Unlock()
	s.Go(func() {
		if _, err := s.Refresh(s.ctx, topic); err != nil && s.ctx.Err() == nil {
			s.log.Warn("route refresh failed", "topic", topic, "error", err)
		}
	})
}

// Master returns the address of a broker's master, asking a name server the first time.
func (s *Session) Master(ctx context.Context, broker string) (string, error) {
	if addr, ok := s.routes.Master(broker); ok {
		return addr, nil
	}
	return s.RefreshMaster(ctx, broker)
}

// RefreshMaster asks a name server where a broker's master is now.
func (s *Session) RefreshMaster(ctx context.Context, broker string) (string, error) {
	if err := s.shared(ctx, "cluster", s.fetchCluster); err != nil {
		return "", err
	}
	addr, ok := s.routes.Master(broker)
	if !ok {
		return "", fmt.Errorf("%w: %q: is it running, and registered with these name servers?", ErrBrokerNotFound, broker)
	}
	return addr, nil
}

// shared runs one fetch for all that ask for the same thing. The fetch outlives a
// caller that gives up, so that the others get it.
func (s *Session) shared(ctx context.Context, key string, fetch func(context.Context) error) error {
	if s.ctx.Err() != nil {
		return ErrClosed
	}
	c := s.fetches.DoChan(key, func() (any, error) { return nil, fetch(s.ctx) })
	select {
	case r := <-c:
		return r.Err
	case <-ctx.Done():
		return fmt.Errorf("find %s: %w", key, ctx.Err())
	case <-s.ctx.Done():
		return ErrClosed
	}
}

// fetch asks for one topic and stores the answer.
func (s *Session) fetch(ctx context.Context, topic string) (changed bool, err error) {
	ans, err := s.AskNameServer(ctx, func() *remoting.Command {
		return Request(protocol.GetRouteInfoByTopic, &protocol.GetRouteInfoHeader{Topic: topic, AcceptStandardJSONOnly: true})
	})
	if err != nil {
		return false, fmt.Errorf("find topic %s: %w", topic, err)
	}
	if ans.Code == protocol.TopicNotExist {
		s.routes.Drop(topic)
		return false, fmt.Errorf("%w: %s: create it, or check that its broker has registered", ErrTopicNotFound, topic)
	}
	if err := protocol.AsError(ans); err != nil {
		return false, fmt.Errorf("find topic %s: %w", topic, err)
	}
	queues, brokers, err := decodeRoute(ans.Body)
	if err != nil {
		return false, fmt.Errorf("find topic %s: %w", topic, err)
	}
	route := routecache.Build(topic, queues, brokers)
	changed = s.routes.Put(route)
	s.kickForStrangers(route)
	return changed, nil
}

// fetchCluster asks for all brokers and stores their addresses.
func (s *Session) fetchCluster(ctx context.Context) error {
	brokers, err := s.askCluster(ctx)
	if err != nil {
		return err
	}
	s.routes.PutBrokers(brokers)
	return nil
}

func (s *Session) askCluster(ctx context.Context) ([]routecache.BrokerData, error) {
	ans, err := s.AskNameServer(ctx, func() *remoting.Command {
		return remoting.NewRequest(protocol.GetBrokerClusterInfo)
	})
	if err == nil {
		err = protocol.AsError(ans)
	}
	if err != nil {
		return nil, fmt.Errorf("list brokers: %w", err)
	}
	brokers, err := decodeCluster(ans.Body)
	if err != nil {
		return nil, fmt.Errorf("list brokers: %w", err)
	}
	return brokers, nil
}

// InvokeBroker sends a request to a broker's master. When it could not be reached at
// all, the address is asked for anew and the request is sent there once more.
func (s *Session) InvokeBroker(ctx context.Context, broker string, mk func() *remoting.Command) (*remoting.Command, error) {
	addr, err := s.Master(ctx, broker)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	ans, err := s.Invoke(ctx, addr, mk())
	if err == nil || !errors.Is(err, ErrNotSent) || ctx.Err() != nil {
		return ans, err
	}
	moved, rerr := s.RefreshMaster(ctx, broker)
	if rerr != nil || moved == addr {
		return nil, err
	}
	return s.Invoke(ctx, moved, mk())
}

// Brokers asks a name server for all brokers now.
func (s *Session) Brokers(ctx context.Context) ([]routecache.BrokerData, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
	defer cancel()
	return s.askCluster(ctx)
}
