package session

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

// nameServers remembers which name server answered last: it is asked first.
type nameServers struct {
	addrs []string

	mu      sync.Mutex
	current int
}

func (n *nameServers) first() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.current
}

func (n *nameServers) answered(i int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.current = i
}

// AskNameServer sends a request to the name server that answered last, and to the
// others when it does not. A name server that has just started knows no topic until
// brokers have told it, so TOPIC_NOT_EXIST counts only when all that answer say so.
// The request is encoded anew for each by mk.
func (s *Session) AskNameServer(ctx context.Context, mk func() *remoting.Command) (*remoting.Command, error) {
	var (
		errs     []error
		notExist *remoting.Command
		first    = s.names.first()
	)
	for k := range s.names.addrs {
		i := (first + k) % len(s.names.addrs)
		addr := s.names.addrs[i]
		attempt, cancel := context.WithTimeout(ctx, s.cfg.NameServerTimeout)
		ans, err := s.Invoke(attempt, addr, mk())
		cancel()
		switch {
		case err != nil:
			if ctx.Err() != nil {
				return nil, err
			}
			errs = append(errs, fmt.Errorf("name server %s: %w", addr, err))
			continue
		case ans.Code == protocol.TopicNotExist:
			notExist = ans
			continue
		}
		s.names.answered(i)
		return ans, nil
	}
	if notExist != nil {
		return notExist, nil
	}
	return nil, errors.Join(errs...)
}
