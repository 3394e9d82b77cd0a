package runner

import (
	"context"
	"log/slog"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// keepStatusEvery is how often the sinks' own tables of freshness are written.
const keepStatusEvery = 30 * time.Second

// keepStatus writes what is known of each target table into the sinks that keep it: at
// once, again and again, and a last time when the pipeline stops, since nobody writes then.
func (p *pipe) keepStatus(ctx context.Context) {
	p.wg.Go(func() {
		tick := time.NewTicker(keepStatusEvery)
		defer tick.Stop()
		for {
			p.writeStatus(ctx, "")
			p.refreshOrigin(ctx)
			select {
			case <-ctx.Done():
				last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
				defer cancel()
				p.writeStatus(last, pipeline.StateStopped)
				return
			case <-tick.C:
			}
		}
	})
}

// refreshOrigin keeps the name of the pipeline's control queue from ageing out: without it the
// targets take the next owner for another cluster's.
func (p *pipe) refreshOrigin(ctx context.Context) {
	if err := p.endpoint.RefreshOrigin(ctx, p.spec.Name); err != nil && !stopped(ctx, err) {
		p.log.Warn("the origin of claims was not refreshed", slog.Any("error", err))
	}
}

// writeStatus writes the sinks' tables once. A state that is given holds for all of them.
func (p *pipe) writeStatus(ctx context.Context, state pipeline.State) {
	for name, sink := range p.sinks {
		k, ok := sink.(pipeline.StatusKeeper)
		if !ok {
			continue
		}
		rows := p.freshnessIn(name)
		if len(rows) == 0 {
			continue // nothing is known yet
		}
		for i := range rows {
			if state != "" {
				rows[i].State, rows[i].Reason = state, ""
			}
		}
		if err := k.KeepStatus(ctx, p.spec.Name, rows); err != nil && !stopped(ctx, err) {
			p.log.Warn("the table of freshness was not written", slog.String("sink", name), slog.Any("error", err))
		}
	}
}

// freshnessIn is what is known of a sink's tables. What the table or the pipeline stands for
// is said before what the target does.
func (p *pipe) freshnessIn(sink string) []pipeline.TableFreshness {
	now := p.status()
	var rows []pipeline.TableFreshness
	for i := range now.Tables {
		t := &now.Tables[i]
		name, err := event.ParseTableName(t.Name)
		if err != nil {
			continue
		}
		for j := range t.Sinks {
			s := &t.Sinks[j]
			if s.Sink != sink {
				continue
			}
			row := pipeline.TableFreshness{Table: name, CompleteTo: s.CompleteTo.Current, State: s.State, Reason: s.Reason, Lag: s.Lag}
			switch {
			case now.State != pipeline.StateRunning:
				row.State, row.Reason = now.State, now.Reason
			case t.State != pipeline.StateRunning:
				row.State, row.Reason = t.State, t.Reason
			}
			if s.Verified != nil {
				row.VerifiedThrough = s.Verified.Through
			}
			rows = append(rows, row)
		}
	}
	return rows
}
