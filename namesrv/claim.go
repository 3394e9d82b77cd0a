package namesrv

import (
	"context"
	"log/slog"
	"time"

	"github.com/millrace/millrace/namesrv/route"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
	"github.com/millrace/millrace/remoting/rpc"
)

const (
	// probeTimeout is how long a broker may take to say that it is alive.
	probeTimeout = 3 * time.Second
	// maxProbes bounds the claims that are looked into at the same time.
	maxProbes = 16
)

// claim decides on a registration whose name and id another address holds: a broker that
// moved, while the connection of its old place is still open, or a second one by mistake.
// The holder is asked at its address. One that answers keeps its place; one that does not,
// and says nothing itself meanwhile, loses it. It returns false when too many are decided
// already.
func (s *Server) claim(x *rpc.Exchange, h *protocol.RegisterBrokerHeader, r route.Registration, holder route.Broker, heard time.Time) bool {
	if s.probing.Add(1) > maxProbes {
		s.probing.Add(-1)
		return false
	}
	s.claims.Go(func() {
		defer s.probing.Add(-1)
		if !s.answers(holder.Addr) {
			s.mu.Lock()
			if last, ok := s.table.Heard(holder); ok && last.Equal(heard) {
				s.table.Unregister(holder)
				s.log.Warn("a broker's place is given to another address: the old one does not answer",
					slog.String("broker", holder.Name), slog.String("was", holder.Addr), slog.String("is", r.Addr))
			}
			s.mu.Unlock()
		}
		ans, err := s.register(h, r)
		if err != nil {
			ans = refusal(err)
		}
		x.Reply(ans)
	})
	return true
}

// answers asks a broker anything; whatever it says, it is alive.
func (s *Server) answers(addr string) bool {
	ctx, cancel := context.WithTimeout(s.life, probeTimeout)
	defer cancel()
	_, err := s.asks.Invoke(ctx, addr, remoting.NewRequest(protocol.GetBrokerRuntimeInfo))
	return err == nil
}
