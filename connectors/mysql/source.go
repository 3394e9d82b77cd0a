package mysql

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// Source is a pipeline.Source over one server.
type Source struct {
	cfg      Config
	log      *slog.Logger
	serverID uint32
	metrics  *metrics
	wake     chan struct{}
	wished   atomic.Bool // something was asked for

	o *opening // of the goroutine that calls Open, Next and Close

	mu       sync.Mutex
	requests []request
	holds    map[event.TableName]bool
	resolved event.Position
	status   pipeline.SourceStatus
	pulse    *pulse // of the opening
}

// request asks for an attempt of a table.
type request struct {
	table event.TableName
	cause string
}

var _ pipeline.Source = (*Source)(nil)

// New checks the configuration; it connects to nothing. reg may be nil.
func New(cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Source, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	m, err := newMetrics(reg)
	if err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Source{cfg: cfg, log: log, serverID: cfg.serverID(), metrics: m, wake: make(chan struct{}, 1),
		holds: map[event.TableName]bool{}}, nil
}

// Open implements pipeline.Source.
func (s *Source) Open(ctx context.Context, r pipeline.Resume) (pipeline.Opened, error) {
	if s.o != nil {
		return pipeline.Opened{}, errors.New("the source is open already")
	}
	s.mu.Lock()
	s.requests, s.resolved = nil, event.Position{}
	clear(s.holds)
	s.status, s.pulse = pipeline.SourceStatus{}, nil
	s.mu.Unlock()
	o, err := s.open(ctx, r)
	opened := pipeline.Opened{}
	if o != nil {
		opened.Server, opened.Version = o.server.identity, o.server.version
	}
	if err != nil {
		s.setError(err)
		return opened, err
	}
	s.o = o
	opened.Position = *o.position()
	for _, t := range o.tables.all {
		if t.ev != nil {
			opened.Tables = append(opened.Tables, t.ev)
		}
	}
	s.mu.Lock()
	s.status.Connected, s.status.Server, s.pulse = true, o.server.identity, o.pulse
	s.mu.Unlock()
	s.publish(o)
	return opened, nil
}

// RequestSnapshot implements pipeline.Source.
func (s *Source) RequestSnapshot(tables []event.TableName, cause string) {
	s.mu.Lock()
	for _, t := range tables {
		s.requests = append(s.requests, request{table: t, cause: cause})
	}
	s.mu.Unlock()
	s.wish()
}

// SetPaused implements pipeline.Source. Resuming a table reads its definition from the
// server anew; what was missed meanwhile comes with a snapshot.
func (s *Source) SetPaused(table event.TableName, paused bool) {
	s.mu.Lock()
	s.holds[table] = paused
	s.mu.Unlock()
	s.wish()
}

// Resolved implements pipeline.Source. An attempt's END waits until its chunks are
// resolved.
func (s *Source) Resolved(p event.Position) {
	s.mu.Lock()
	s.resolved = p
	s.mu.Unlock()
	s.wish()
}

// Status implements pipeline.Source.
func (s *Source) Status() pipeline.SourceStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.status
	st.Tables = append([]pipeline.SourceTable(nil), st.Tables...)
	if s.pulse != nil {
		s.pulse.report(&st)
	}
	return st
}

// Close implements pipeline.Source.
func (s *Source) Close() error {
	if s.o == nil {
		return nil
	}
	s.o.close()
	s.o = nil
	s.mu.Lock()
	s.status.Connected = false
	s.mu.Unlock()
	return nil
}

// wish wakes Next to look at what was asked for.
func (s *Source) wish() {
	s.wished.Store(true)
	s.poke()
}

// poke wakes Next.
func (s *Source) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// takeWishes empties the list of wishes.
func (s *Source) takeWishes() (requests []request, holds map[event.TableName]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	requests, s.requests = s.requests, nil
	if len(s.holds) > 0 {
		holds, s.holds = s.holds, map[event.TableName]bool{}
	}
	return requests, holds
}

// wishAgain puts back what could not be done for want of the server's answer.
func (s *Source) wishAgain(requests []request, holds map[event.TableName]bool) {
	s.mu.Lock()
	s.requests = append(requests, s.requests...)
	for t, hold := range holds {
		if _, newer := s.holds[t]; !newer {
			s.holds[t] = hold
		}
	}
	s.mu.Unlock()
	s.wish()
}

func (s *Source) takeResolved() event.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.resolved
}

func (s *Source) setError(err error) {
	s.mu.Lock()
	s.status.LastError, s.status.Connected = err.Error(), false
	s.mu.Unlock()
	s.log.Warn("source connection lost", "address", s.cfg.Address, "error", err)
}

func (s *Source) reconnected() {
	s.mu.Lock()
	s.status.Connected = true
	s.status.Reconnects++
	s.mu.Unlock()
	s.metrics.reconnects.Inc()
}
