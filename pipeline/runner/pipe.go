package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/bus"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/httpapi"
	"github.com/millrace/millrace/pipeline/spec"
)

// pipe is one running pipeline.
type pipe struct {
	spec     *spec.Pipeline
	deps     Deps
	log      *slog.Logger
	endpoint *bus.Endpoint
	since    time.Time

	// owners join here; add is called by the source's goroutine and, for tables known
	// from the checkpoint, before it starts.
	wg sync.WaitGroup

	mu      sync.Mutex
	state   string
	reason  string
	errors  int64
	lastErr string
	source  pipeline.Source // nil while it is not open
	// publisher is that of the present opening; nil before there is one.
	publisher *bus.Publisher
	sinks     map[string]pipeline.Sink
	owners    map[ownerKey]*owner
	order     []event.TableName
	paused    map[event.TableName]string

	// anew brings the decision to give up a position that the source's history does not
	// match; forget is that decision until it is carried out.
	anew   chan struct{}
	forget bool
}

type ownerKey struct {
	sink  string
	table event.TableName
}

func newPipe(p *spec.Pipeline, deps Deps) *pipe {
	return &pipe{
		spec: p, deps: deps, log: deps.Log.With(slog.String("pipeline", p.Name)), endpoint: deps.Endpoint(),
		since: time.Now(), state: pipeline.StateStarting, sinks: map[string]pipeline.Sink{},
		owners: map[ownerKey]*owner{}, paused: map[event.TableName]string{},
		anew: make(chan struct{}, 1),
	}
}

// run keeps the pipeline going until ctx ends; everything it started has gone by then.
func (p *pipe) run(ctx context.Context) error {
	defer func() { p.setState(pipeline.StateStopped, "") }()
	for _, s := range p.spec.Sinks {
		made, err := p.deps.Sink(p.spec, s)
		if err != nil {
			return fmt.Errorf("pipeline %s, sink %s: %w", p.spec.Name, s.Name, err)
		}
		p.sinks[s.Name] = made
	}
	var again backoff
	for {
		started := time.Now()
		err := p.publish(ctx)
		if ctx.Err() != nil {
			return p.close(ctx)
		}
		if errors.Is(err, pipeline.ErrHistory) {
			p.fail(pipeline.StatePaused, err)
			p.log.Error("pipeline paused: the source's history does not match; its snapshot verb begins anew", slog.Any("error", err))
			select {
			case <-p.anew:
				p.setState(pipeline.StateStarting, "begins anew with a snapshot of every table")
				continue
			case <-ctx.Done():
				return p.close(ctx)
			}
		}
		p.fail(pipeline.StateRetrying, err)
		p.log.Warn("publishing stopped and will be tried again", slog.Any("error", err))
		if again.wait(ctx, started) != nil {
			return p.close(ctx)
		}
	}
}

func (p *pipe) close(ctx context.Context) error {
	p.wg.Wait()
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	errs := []error{p.endpoint.Close(stop)}
	for _, s := range p.sinks {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

func (p *pipe) setState(state, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state, p.reason = state, reason
}

func (p *pipe) fail(state string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state, p.reason, p.lastErr = state, err.Error(), err.Error()
	p.errors++
}

// own makes sure that every sink has an owner for each of the tables.
func (p *pipe) own(ctx context.Context, tables []*event.Table) {
	for _, s := range p.spec.Sinks {
		for _, t := range tables {
			key := ownerKey{s.Name, t.Name}
			p.mu.Lock()
			_, have := p.owners[key]
			var o *owner
			if !have {
				o = newOwner(p, s, t)
				p.owners[key] = o
				if s.Name == p.spec.Sinks[0].Name {
					p.order = append(p.order, t.Name)
				}
			}
			p.mu.Unlock()
			if o != nil {
				p.wg.Go(func() { o.run(ctx) })
			}
		}
	}
}

// snapshotDue asks the source for an attempt of a table whose target waits for one,
// unless one is under way or due already.
func (p *pipe) snapshotDue(table event.TableName, cause string) {
	p.mu.Lock()
	source := p.source
	p.mu.Unlock()
	if source == nil {
		return
	}
	for _, t := range source.Status().Tables {
		if t.Name == table && (t.State == "snapshot" || t.State == "due" || t.State == "paused") {
			return
		}
	}
	source.RequestSnapshot([]event.TableName{table}, cause)
}

// do carries out a verb on the pipeline or one table of it. Pausing a whole pipeline is
// the runner's.
func (p *pipe) do(table, verb string) error {
	p.mu.Lock()
	source := p.source
	var tables []event.TableName
	for _, t := range p.order {
		if table == "" || t.String() == table {
			tables = append(tables, t)
		}
	}
	p.mu.Unlock()
	if table == "" && (verb == httpapi.Snapshot || verb == httpapi.Reset) && p.beginAnew() {
		return nil
	}
	if len(tables) == 0 {
		return fmt.Errorf("the table %q of pipeline %s is %w", table, p.spec.Name, httpapi.ErrUnknown)
	}
	if source == nil {
		return fmt.Errorf("%s: the source of %s is not connected: %w", verb, p.spec.Name, httpapi.ErrState)
	}
	switch verb {
	case httpapi.Pause:
		for _, t := range tables {
			source.SetPaused(t, true)
			p.setPaused(t, "paused by request")
		}
	case httpapi.Resume:
		// What the table missed is not read again: a new attempt replaces all of it.
		for _, t := range tables {
			source.SetPaused(t, false)
			p.setPaused(t, "")
		}
		source.RequestSnapshot(tables, "resumed")
	case httpapi.Snapshot, httpapi.Reset:
		source.RequestSnapshot(tables, verb+" by request")
	}
	return nil
}

// beginAnew decides that a pipeline that stands because of its source's history gives up
// its position; false when it does not stand for that.
func (p *pipe) beginAnew() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state != pipeline.StatePaused || p.source != nil {
		return false
	}
	p.forget = true
	select {
	case p.anew <- struct{}{}:
	default: // decided already
	}
	return true
}

func (p *pipe) setPaused(t event.TableName, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if reason == "" {
		delete(p.paused, t)
		return
	}
	p.paused[t] = reason
}
