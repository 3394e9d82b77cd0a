package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline/event"
)

// recordLoop appends a group's record when all of its halves are acknowledged, in order:
// the decision.
func (p *Publisher) recordLoop(ctx context.Context) error {
	tick := time.NewTicker(p.cfg.BaseInterval)
	defer tick.Stop()
	var waiting []*asking
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := p.baseIfDue(ctx); err != nil {
				return err
			}
		case a := <-p.asked:
			if err := p.recordDue(ctx, a.due); err != nil {
				return err
			}
			waiting = p.answer(append(waiting, a))
		case g := <-p.closed:
			if err := p.decide(ctx, g); err != nil {
				return err
			}
			waiting = p.answer(waiting)
			select {
			case p.ready <- g:
			case <-ctx.Done():
				return nil
			}
		}
	}
}

func (p *Publisher) decide(ctx context.Context, g *group) error {
	if g.idle {
		return nil
	}
	if seeded.On(seeded.PositionBeforeGroups) {
		g.rec.Halves = nil
		defer func() {
			select {
			case <-g.acked:
			case <-ctx.Done():
			}
		}()
	} else {
		select {
		case <-g.acked:
		case <-ctx.Done():
			return ctx.Err() // not decided: it must not be resolved
		}
	}
	for i := range g.rec.Halves {
		g.rec.Halves[i].ID, g.rec.Halves[i].Tx = g.refs[i].ID, g.refs[i].TransactionID
	}
	p.ck.mu.Lock()
	defer p.ck.unlock()
	p.ck.keepDueLocked(g.rec)
	if err := p.ck.decideLocked(ctx, g.rec); err != nil {
		return err
	}
	if p.ck.sinceBase >= p.cfg.BaseGroups {
		return p.ck.writeBaseLocked(ctx)
	}
	return nil
}

// baseIfDue writes a Base when groups were recorded since the last one, and the live
// schemas when they were not written for long.
func (p *Publisher) baseIfDue(ctx context.Context) error {
	p.ck.mu.Lock()
	defer p.ck.unlock()
	old := time.Since(time.Unix(p.ck.state.SchemasAt, 0)) > schemaRefresh
	if p.ck.sinceBase == 0 && !old {
		return nil
	}
	if old {
		if err := p.schemas.refresh(ctx, p, p.ck.state.Tables); err != nil {
			return err
		}
		p.ck.state.SchemasAt = time.Now().Unix()
	}
	return p.ck.writeBaseLocked(ctx)
}

// resolveLoop makes decided groups visible, in order. Groups that were decided while a
// request was out go together in the next one.
func (p *Publisher) resolveLoop(ctx context.Context) error {
	var batch []*group
	for {
		select {
		case <-ctx.Done():
			return nil
		case g := <-p.ready:
			batch = append(batch[:0], g)
		}
		halves := len(batch[0].refs)
	more:
		for halves < maxHalves {
			select {
			case g := <-p.ready:
				batch = append(batch, g)
				halves += len(g.refs)
			default:
				break more
			}
		}
		if err := p.resolve(ctx, batch); err != nil {
			return err
		}
	}
}

func (p *Publisher) resolve(ctx context.Context, batch []*group) error {
	var refs []client.HalfRef
	for _, g := range batch {
		refs = append(refs, g.refs...)
	}
	if len(refs) > 0 {
		results, err := p.d.writer.Resolve(ctx, p.cfg.Broker, refs, nil)
		if err != nil {
			return why(ctx, p.wrap("resolve groups", err))
		}
		for _, r := range results {
			if r.Code != client.ResolveCommitted {
				return p.wrap("resolve groups", fmt.Errorf("half %s: %w", r.ID, r.Err))
			}
		}
	}
	var freed int64
	for _, g := range batch {
		freed += g.size
	}
	p.room.Release(freed)
	p.ck.mu.Lock()
	for _, g := range batch {
		p.ck.state.SetResolved(g.rec.N) // 0 where nothing was recorded
	}
	p.raiseWaterLocked(batch)
	p.ck.unlock()
	if p.cfg.OnResolved != nil {
		p.cfg.OnResolved(event.Position(batch[len(batch)-1].rec.To))
	}
	return nil
}

// checked answers one check-back. Every half of a closed term that a valid group lists
// was resolved when this term was opened, so one that is left belongs to nothing.
func (p *Publisher) checked(ctx context.Context, h client.Half) error {
	if seeded.On(seeded.CheckbackCommits) {
		_, err := p.d.writer.Resolve(ctx, p.cfg.Broker, []client.HalfRef{h.Ref()}, nil)
		return why(ctx, err)
	}
	if h.Term >= p.term {
		return nil // undecided: its record is on the way, or this publisher is spent
	}
	if _, err := p.d.writer.Resolve(ctx, p.cfg.Broker, nil, []client.HalfRef{h.Ref()}); err != nil {
		return why(ctx, p.wrap("answer a check-back", err))
	}
	return nil
}
