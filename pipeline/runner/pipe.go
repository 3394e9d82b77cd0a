package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/bus"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/life"
	"github.com/millrace/millrace/pipeline/selfcheck"
	"github.com/millrace/millrace/pipeline/spec"
)

// pipe is one running pipeline.
type pipe struct {
	spec     *spec.Pipeline
	deps     Deps
	log      *slog.Logger
	endpoint *bus.Endpoint
	since    time.Time
	check    *selfcheck.Service // nil: there is none
	lives    *life.Tables

	// owners join here; add is called by the source's goroutine and, for tables known
	// from the checkpoint, before it starts.
	wg sync.WaitGroup

	mu      sync.Mutex
	state   pipeline.State
	code    event.PauseCode // of a pause
	reason  string
	errors  int64
	lastErr string
	source  pipeline.Source // nil while it is not open
	// seen is what the source said last before it was closed.
	seen pipeline.SourceStatus
	// publisher is that of the present opening; nil before there is one.
	publisher *bus.Publisher
	sinks     map[string]pipeline.Sink
	owners    map[ownerKey]*owner
	leaving   map[ownerKey]*owner // that were disowned and have not ended
	order     []event.TableName
	// again are those who wait for a table to be taken up and hear that it is paused anew.
	again map[event.TableName]map[*listener]struct{}

	// goOn ends a stand.
	goOn chan struct{}
	// forget is the decision to give up a position that the source's history does not
	// match; above are the numbers, by table, that only a higher epoch gets past. Both
	// hold until the next opening carries them out, which reopen asks for.
	forget bool
	above  map[event.TableName]event.Seq
	reopen context.CancelCauseFunc
}

type ownerKey struct {
	sink  string
	table event.TableName
}

func newPipe(p *spec.Pipeline, deps Deps) *pipe {
	one := &pipe{
		spec: p, deps: deps, log: deps.Log.With(slog.String("pipeline", p.Name)), endpoint: deps.Endpoint(),
		since: time.Now(), state: pipeline.StateStarting, sinks: map[string]pipeline.Sink{},
		owners: map[ownerKey]*owner{}, leaving: map[ownerKey]*owner{}, again: map[event.TableName]map[*listener]struct{}{},
		goOn: make(chan struct{}, 1), above: map[event.TableName]event.Seq{},
	}
	one.lives = life.New(one.lived)
	return one
}

// run keeps the pipeline going until ctx ends; everything it started has gone by then.
func (p *pipe) run(ctx context.Context) error {
	defer func() { p.setState(pipeline.StateStopped, "") }()
	for err := p.makeSinks(); err != nil; err = p.makeSinks() {
		if !p.stand(ctx, event.PauseFile, err) {
			return p.close(ctx)
		}
	}
	p.checkItself(ctx)
	p.keepStatus(ctx)
	var again backoff
	for {
		started := time.Now()
		err := p.publish(ctx)
		switch {
		case ctx.Err() != nil:
			return p.close(ctx)
		case errors.Is(err, pipeline.ErrHistory) && p.deps.Snapshot(p.spec) == pipeline.SnapshotWhenNeeded:
			p.log.Error("the source's history does not match: beginning anew with a snapshot of every table", slog.Any("error", err))
			p.giveUpPosition()
		case errors.Is(err, pipeline.ErrHistory):
			if !p.stand(ctx, event.PauseHistory, fmt.Errorf("%w; `millrace pipeline snapshot %s` begins anew", err, p.spec.Name)) {
				return p.close(ctx)
			}
			continue
		}
		p.fail(pipeline.StateRetrying, "", err)
		p.log.Warn("publishing stopped and will be tried again", slog.Any("error", err))
		if again.wait(ctx, started) != nil {
			return p.close(ctx)
		}
	}
}

func (p *pipe) makeSinks() error {
	for _, s := range p.spec.Sinks {
		if p.sinks[s.Name] != nil {
			continue
		}
		made, err := p.deps.Sink(p.spec, s)
		if err != nil {
			return fmt.Errorf("pipeline %s, sink %s: %w", p.spec.Name, s.Name, err)
		}
		p.sinks[s.Name] = made
	}
	return nil
}

// stand pauses the pipeline with a reason until somebody lets it go on; false when ctx
// has ended.
func (p *pipe) stand(ctx context.Context, code event.PauseCode, why error) bool {
	p.fail(pipeline.StatePaused, code, why)
	p.log.Error("pipeline paused", slog.String("code", string(code)), slog.Any("reason", why))
	select {
	case <-p.goOn:
		p.setState(pipeline.StateStarting, "")
		return true
	case <-ctx.Done():
		return false
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

func (p *pipe) setState(state pipeline.State, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state, p.code, p.reason = state, "", reason
}

func (p *pipe) fail(state pipeline.State, code event.PauseCode, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state, p.code, p.reason, p.lastErr = state, code, err.Error(), err.Error()
	p.errors++
}

// ownRecorded owns what the records know, so that what was published reaches the targets
// while the source is away. A table that the source has no longer has an owner while its
// queues hold something for the target.
func (p *pipe) ownRecorded(ctx context.Context, tables []*event.Table) {
	for _, t := range tables {
		if p.lives.Of(t.Name).Gone().Code == "" {
			p.own(ctx, []*event.Table{t})
			continue
		}
		queues := p.endpoint.QueuesOf(p.spec.Name, t.Name, t.Queues)
		for _, s := range p.spec.Sinks {
			unread, err := p.endpoint.Unread(ctx, p.spec.Name, s.Name, queues)
			if err != nil {
				p.log.Warn("it is not known whether a dropped table's target has all of it: it is taken",
					slog.String("table", t.Name.String()), slog.Any("error", err))
			}
			if unread || err != nil {
				p.ownIn(ctx, s, t)
			}
		}
	}
}

// own makes sure that every sink has an owner for each of the tables.
func (p *pipe) own(ctx context.Context, tables []*event.Table) {
	for _, s := range p.spec.Sinks {
		for _, t := range tables {
			p.ownIn(ctx, s, t)
		}
	}
}

func (p *pipe) ownIn(ctx context.Context, s spec.Sink, t *event.Table) {
	key := ownerKey{s.Name, t.Name}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.owners[key] != nil {
		return
	}
	o, before := newOwner(p, s, t), p.leaving[key]
	p.owners[key] = o
	if !slices.Contains(p.order, t.Name) {
		p.order = append(p.order, t.Name)
	}
	ctx, o.cancel = context.WithCancel(ctx)
	p.wg.Go(func() {
		defer close(o.done)
		if before != nil {
			<-before.done
		}
		o.run(ctx)
		p.left(key, o)
	})
}

// disown ends the owners of a table that nothing can come of any more. One that has come back
// meanwhile keeps them.
func (p *pipe) disown(t event.TableName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lives.Has(t) {
		return
	}
	for _, s := range p.spec.Sinks {
		key := ownerKey{s.Name, t}
		if o := p.owners[key]; o != nil {
			delete(p.owners, key)
			p.leaving[key] = o
			o.cancel()
		}
	}
	p.order = slices.DeleteFunc(p.order, func(x event.TableName) bool { return x == t })
}

// left takes note that an owner has ended. With one that was disowned go the figures that its
// sink counts by the table's name.
func (p *pipe) left(key ownerKey, o *owner) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.leaving[key] != o {
		return
	}
	delete(p.leaving, key)
	p.forgetFiguresLocked(key)
}

// forgetFigures is for a pipeline that has ended and does not come back.
func (p *pipe) forgetFigures() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key := range p.owners {
		p.forgetFiguresLocked(key)
	}
}

func (p *pipe) forgetFiguresLocked(key ownerKey) {
	if f, ok := p.sinks[key.sink].(pipeline.Forgetter); ok {
		f.Forget(p.spec.Name, key.sink, key.table)
	}
}
