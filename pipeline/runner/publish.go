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
		HeartbeatInterval: p.deps.Heartbeat,

		Life:    p.lives,
		OnBack:  func(t event.TableName) { back = append(back, t) },
		OnDue:   p.requestSnapshot,
		OnTable: func(t *event.Table) { p.own(ctx, []*event.Table{t}) },

		OnForgotten: p.disown,
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
	p.ownRecorded(whole, publisher.Tables())
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
		p.log.Warn("the source is another server: the epoch rises", slog.String("server", opened.Server),
			slog.String("before", resume.Position.Server))
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
	p.takeWishes(source)
	p.takeBack(source, *back)
	p.own(whole, opened.Tables)
	p.askForOwed(source, resume)
	p.setState(pipeline.StateRunning, "")
	p.log.Info("publishing", slog.String("server", opened.Server), slog.String("version", opened.Version),
		slog.String("file", opened.Position.File), slog.Uint64("pos", opened.Position.Pos), slog.Int("tables", len(opened.Tables)))
	for {
		items, err := source.Next(ctx)
		if err != nil {
			return fmt.Errorf("read the source: %w", err)
		}
		if err := publisher.Add(ctx, items); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
	}
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
