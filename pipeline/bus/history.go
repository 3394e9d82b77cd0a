package bus

import (
	"context"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/checkpoint"
	"github.com/millrace/millrace/pipeline/event"
)

// ForgetHistory gives up the position in the source's log: for a source whose history
// does not match it (delivery S12), when a person has decided so. The epoch rises and an
// attempt of every table is due, both durable on return; the source begins at its
// present end. What is in the queues stays; the attempts replace it in the targets.
func (p *Publisher) ForgetHistory(ctx context.Context, cause string) (pipeline.Resume, error) {
	return p.begunAnew(ctx, func(ctx context.Context) error {
		s := p.ck.state
		s.Position, s.OpenTx, s.Taken = checkpoint.Position{}, nil, nil
		var tables []event.TableName
		for _, t := range s.Live() {
			tables = append(tables, event.TableName(t.Name))
		}
		if err := p.ck.raiseEpochLocked(ctx, cause, tables...); err != nil {
			return err
		}
		p.pos, p.openTx = s.Position, nil
		return nil
	})
}

// begunAnew lets do change the state, with both locks held, once everything that was begun
// is visible; the source goes on by what it says then. A group that is not closed is
// dropped: the source reads it again.
func (p *Publisher) begunAnew(ctx context.Context, do func(context.Context) error) (pipeline.Resume, error) {
	ctx, done := p.within(ctx)
	defer done()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cur = nil
	if err := p.drain(ctx); err != nil {
		return pipeline.Resume{}, why(ctx, err)
	}
	p.ck.mu.Lock()
	defer p.ck.unlock()
	if err := do(ctx); err != nil {
		return pipeline.Resume{}, why(ctx, err)
	}
	p.relive()
	return p.resumeLocked(), nil
}
