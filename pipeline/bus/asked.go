package bus

import (
	"context"
	"slices"

	"github.com/millrace/millrace/pipeline/checkpoint"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/life"
)

// asking is what somebody outside of the stream waits for. The loop that appends the
// records carries it out, so that nobody waits for a lock that is held while the broker is
// away.
type asking struct {
	due  []checkpoint.Due             // to be recorded at once
	ok   func(*checkpoint.State) bool // what the records must say
	gone <-chan struct{}              // whoever asked waits no longer
	done chan struct{}                // closed when the records say it
}

// wished is an attempt that MakeDue made due and that has not begun: what is still on its
// way of the one with this BEGIN does not take its place.
type wished struct {
	cause string
	begin event.Seq
}

// MakeDue makes an attempt of each table due, then tells OnDue. When it returns nil that is
// durable: whatever opens next begins them, also where an attempt was in progress.
// Otherwise it may or may not be. Any goroutine may call it while Run runs.
func (p *Publisher) MakeDue(ctx context.Context, tables []event.TableName, cause string) error {
	due := make([]checkpoint.Due, len(tables))
	for i, t := range tables {
		due[i] = checkpoint.Due{Table: checkpoint.TableName(t), Cause: cause}
	}
	return p.ask(ctx, &asking{due: due, ok: func(*checkpoint.State) bool { return true }})
}

// AwaitPaused blocks until the records say of each table that it is paused, or that none
// is. Its source is to be told before. Any goroutine may call it while Run runs.
func (p *Publisher) AwaitPaused(ctx context.Context, tables []event.TableName, paused bool) error {
	return p.ask(ctx, &asking{ok: func(s *checkpoint.State) bool {
		return !slices.ContainsFunc(tables, func(t event.TableName) bool {
			recorded := slices.ContainsFunc(s.Paused, func(x checkpoint.Paused) bool { return x.Table == checkpoint.TableName(t) })
			return recorded != paused
		})
	}})
}

func (p *Publisher) ask(ctx context.Context, a *asking) error {
	ctx, done := p.within(ctx)
	defer done()
	a.gone, a.done = ctx.Done(), make(chan struct{})
	select {
	case p.asked <- a:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-a.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// recordDue makes durable what is asked for to be due.
func (p *Publisher) recordDue(ctx context.Context, due []checkpoint.Due) error {
	if len(due) == 0 {
		return nil
	}
	due, err := p.ck.makeDue(ctx, due)
	if err != nil {
		return err
	}
	for _, d := range due {
		name := event.TableName(d.Table)
		p.cfg.Life.Report(name, life.Event{Kind: life.Due, Cause: d.Cause})
		if p.cfg.OnDue != nil {
			p.cfg.OnDue(name, d.Cause)
		}
	}
	return nil
}

// makeDue returns what is due by it: nothing of a table that the source dropped meanwhile.
func (l *checkpointLog) makeDue(ctx context.Context, due []checkpoint.Due) ([]checkpoint.Due, error) {
	l.mu.Lock()
	defer l.unlock()
	due = slices.DeleteFunc(slices.Clone(due), func(d checkpoint.Due) bool { return l.goneLocked(d.Table) })
	for _, d := range due {
		w := wished{cause: d.Cause, begin: l.wished[d.Table].begin}
		for _, a := range l.state.Tries {
			if a.Table == d.Table {
				w.begin = a.Begin
			}
		}
		l.wished[d.Table] = w
		l.state.SetDue(d.Table, d.Cause)
	}
	return due, l.writeBaseLocked(ctx)
}

// keepDueLocked lets a group that was on its way when an attempt was made due leave it so:
// its chunks and its END are of the attempt before.
func (l *checkpointLog) keepDueLocked(g *checkpoint.Group) {
	for t, w := range l.wished {
		old := slices.Contains(g.Ended, t)
		begun := slices.Contains(g.Dropped, t)
		for _, a := range g.Attempts {
			if a.Table == t {
				old, begun = a.Begin == w.begin, begun || a.Begin != w.begin
			}
		}
		switch {
		case begun:
			delete(l.wished, t)
		case old:
			g.Due = append(g.Due, checkpoint.Due{Table: t, Cause: w.cause})
		}
	}
}

// answer lets those go on whose wish the records fulfil by now, and forgets those who have
// left.
func (p *Publisher) answer(waiting []*asking) []*asking {
	if len(waiting) == 0 {
		return waiting
	}
	p.ck.mu.Lock()
	defer p.ck.mu.Unlock()
	return slices.DeleteFunc(waiting, func(a *asking) bool {
		if a.ok(p.ck.state) {
			close(a.done)
			return true
		}
		select {
		case <-a.gone:
			return true
		default:
			return false
		}
	})
}
