package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/bus"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/httpapi"
)

// publish is one opening of the source: fence, resume, then read and publish until
// something ends it.
func (p *pipe) publish(ctx context.Context) error {
	var config json.RawMessage
	if p.deps.Config != nil {
		config = p.deps.Config(p.spec)
	}
	var back []event.TableName // of the goroutine that declares
	publisher, err := p.endpoint.NewPublisher(bus.PublisherConfig{
		Pipeline:      p.spec.Name,
		GroupBytes:    int(p.spec.Group.Bytes),
		GroupInterval: p.spec.Group.Interval.D(),
		Config:        config,
		NoSnapshot:    p.deps.Snapshot(p.spec) == pipeline.SnapshotNever,
		OnResolved: func(at event.Position) {
			p.check.Visible(at)
			if s := p.openSource(); s != nil {
				s.Resolved(at)
			}
		},
		OnPaused: p.tablePaused,
		OnBack:   func(t event.TableName) { back = append(back, t) },
		OnDue: func(t event.TableName, cause string) {
			if s := p.openSource(); s != nil {
				s.RequestSnapshot([]event.TableName{t}, cause)
			}
		},
	})
	if err != nil {
		return err
	}
	resume, err := publisher.Open(ctx)
	if err != nil {
		return fmt.Errorf("open the publisher: %w", err)
	}
	opening, reopen := context.WithCancelCause(ctx)
	defer reopen(nil)
	p.mu.Lock()
	p.publisher, p.reopen = publisher, reopen
	p.mu.Unlock()
	g, joined := errgroup.WithContext(opening)
	g.Go(func() error { return publisher.Run(joined) })
	g.Go(func() error { return p.read(ctx, joined, publisher, resume, &back) })
	err = g.Wait()
	if cause := context.Cause(opening); errors.Is(cause, errReopen) {
		return cause
	}
	return err
}

// read opens the source and hands its items to the publisher. Sinks outlive the opening,
// so that they get the pipeline's context.
func (p *pipe) read(whole, ctx context.Context, publisher *bus.Publisher, resume pipeline.Resume, back *[]event.TableName) (err error) {
	if resume, err = p.carryOut(ctx, publisher, resume); err != nil {
		return err
	}
	p.own(whole, publisher.Tables()) // what was published reaches the targets while the source is away
	source, err := p.deps.Source(p.spec)
	if err != nil {
		return err
	}
	defer func() {
		p.setSource(nil)
		err = errors.Join(err, source.Close())
	}()
	opened, err := source.Open(ctx, resume)
	if errors.Is(err, pipeline.ErrOtherServer) {
		p.log.Warn("the source is another server: the epoch rises", slog.String("server", opened.Server), slog.String("before", resume.Position.Server))
		if resume, err = publisher.RaiseEpoch(ctx, "another server"); err != nil {
			return fmt.Errorf("raise the epoch: %w", err)
		}
		resume.NewServer = true
		opened, err = source.Open(ctx, resume)
	}
	if err != nil {
		return fmt.Errorf("open the source: %w", err)
	}
	if err := publisher.Declare(ctx, opened.Tables); err != nil {
		return fmt.Errorf("declare topics: %w", err)
	}
	p.setSource(source)
	p.takeDropped(publisher.Gone())
	p.takePauses(source, resume)
	p.takeBack(source, *back)
	p.own(whole, opened.Tables)
	p.askForMissing(source, publisher.Progress(), resume, opened)
	p.setState(pipeline.StateRunning, "")
	p.log.Info("publishing", slog.String("server", opened.Server), slog.String("version", opened.Version),
		slog.String("file", opened.Position.File), slog.Uint64("pos", opened.Position.Pos), slog.Int("tables", len(opened.Tables)))
	for {
		items, err := source.Next(ctx)
		if err != nil {
			return fmt.Errorf("read the source: %w", err)
		}
		for i := range items {
			p.observe(whole, &items[i])
		}
		if err := publisher.Add(ctx, items); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
	}
}

// askForMissing asks for attempts of tables that no checkpoint knows yet.
func (p *pipe) askForMissing(source pipeline.Source, due map[event.TableName]event.Attempt, resume pipeline.Resume, opened pipeline.Opened) {
	if p.deps.Snapshot(p.spec) == pipeline.SnapshotNever {
		return
	}
	known := map[event.TableName]bool{}
	for t := range resume.Schemas {
		known[t] = true
	}
	for _, a := range resume.Attempts {
		known[a.Table] = true
	}
	for _, t := range opened.Tables {
		if known[t.Name] {
			continue
		}
		cause := due[t.Name].Cause
		if cause == "" {
			cause = "new table"
		}
		source.RequestSnapshot([]event.TableName{t.Name}, cause)
	}
}

// takeBack lets tables flow again that the pipeline file had paused and does not any
// more. What they missed comes with an attempt.
func (p *pipe) takeBack(source pipeline.Source, tables []event.TableName) {
	for _, t := range tables {
		p.log.Info("table goes on: the pipeline file is as it was", slog.String("table", t.String()))
		p.setPaused(t, event.PauseReason{})
		source.SetPaused(t, false)
	}
	if len(tables) > 0 {
		source.RequestSnapshot(tables, bus.CauseConfiguration)
	}
}

// observe looks at the few items that concern the runner: new tables, paused tables.
func (p *pipe) observe(whole context.Context, item *event.Item) {
	switch item.Kind {
	case event.KindDDL:
		if item.DDL.Old == nil && item.DDL.New != nil {
			p.setDropped(item.Table.Name, nil)
			p.own(whole, []*event.Table{item.Table})
		}
		if item.DDL.New == nil {
			why := bus.Dropped(item)
			p.setDropped(item.Table.Name, &why)
		}
		if item.DDL.New != nil && item.DDL.Due != "" { // stored values changed without events
			p.snapshotDue(item.Table.Name, 0, item.DDL.Due)
		}
	case event.KindPaused:
		p.tablePaused(item.Table.Name, *item.Reason)
	case event.KindResumed:
		p.setPaused(item.Table.Name, event.PauseReason{})
	}
}

// takeDropped takes over which tables the records say are gone.
func (p *pipe) takeDropped(gone map[event.TableName]event.PauseReason) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropped = gone
}

// setDropped notes that the source has a table no longer, or again (nil).
func (p *pipe) setDropped(t event.TableName, why *event.PauseReason) {
	p.mu.Lock()
	if why == nil {
		delete(p.dropped, t)
	} else {
		p.dropped[t] = *why
	}
	p.mu.Unlock()
	if why != nil {
		p.log.Warn("table dropped at the source: its target stays as it is", slog.String("table", t.String()), slog.String("reason", why.Text))
	}
}

// takePauses makes the pauses that are recorded and those asked for in this process the
// same.
func (p *pipe) takePauses(source pipeline.Source, resume pipeline.Resume) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for t := range p.paused {
		if _, recorded := resume.Paused[t]; !recorded {
			source.SetPaused(t, true)
		}
	}
	for t, why := range resume.Paused {
		if _, newer := p.paused[t]; !newer {
			p.paused[t] = why
		}
	}
}

// tablePaused takes note of a pause; the first reason stays.
func (p *pipe) tablePaused(t event.TableName, why event.PauseReason) {
	p.mu.Lock()
	_, known := p.paused[t]
	if !known {
		p.paused[t] = why
	}
	source, again := p.source, p.again[t]
	p.mu.Unlock()
	if known {
		return
	}
	if source != nil {
		source.SetPaused(t, true)
	}
	if again != nil {
		again(fmt.Errorf("resume: table %s is paused again: %s: %w", t, why.String(), httpapi.ErrState))
	}
	p.log.Error("table paused", slog.String("table", t.String()), slog.String("code", string(why.Code)), slog.String("reason", why.Text))
}

func (p *pipe) openSource() pipeline.Source {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.source
}

func (p *pipe) setSource(s pipeline.Source) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s == nil && p.source != nil {
		p.seen = p.source.Status()
	}
	p.source = s
}
