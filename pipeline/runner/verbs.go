package runner

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/bus"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/httpapi"
	"github.com/millrace/millrace/pipeline/life"
)

// recordWait is how long a verb waits until what it asks for is recorded.
const recordWait = 10 * time.Second

// do carries out a verb on one table, or on all of the pipeline's as far as each permits it:
// see httpapi.Daemon. Pausing a whole pipeline is the runner's.
func (p *pipe) do(ctx context.Context, table, verb string) ([]httpapi.Outcome, error) {
	if standing, reason := p.standing(); standing {
		if table != "" || verb == httpapi.Pause {
			return nil, fmt.Errorf("%s: pipeline %s stands still: %s: %w", verb, p.spec.Name, reason, httpapi.ErrState)
		}
		p.goOnWith(verb)
		return nil, nil
	}
	tables := p.named(table)
	if len(tables) == 0 && table != "" && len(p.lives.Names()) > 0 {
		return nil, fmt.Errorf("the table %q of pipeline %s is %w", table, p.spec.Name, httpapi.ErrUnknown)
	}
	a, err := p.ask(verb)
	if err != nil {
		return nil, err
	}
	if len(tables) == 0 && table != "" {
		return nil, fmt.Errorf("the table %q of pipeline %s is %w", table, p.spec.Name, httpapi.ErrUnknown)
	}
	ctx, cancel := context.WithTimeout(ctx, recordWait)
	defer cancel()
	outcomes := a.all(ctx, tables)
	if table != "" {
		return nil, a.fault(outcomes[0])
	}
	return outcomes, nil
}

// goOnWith lets a pipeline that stands go on: as it is, or with another position.
func (p *pipe) goOnWith(verb string) {
	if verb != httpapi.Resume {
		p.giveUpPosition()
	}
	select {
	case p.goOn <- struct{}{}:
	default: // it is about to
	}
}

// asking is one verb on tables of a pipeline whose source can be read.
type asking struct {
	pipe      *pipe
	verb      string
	source    pipeline.Source
	publisher *bus.Publisher
}

func (p *pipe) ask(verb string) (*asking, error) {
	p.mu.Lock()
	source, publisher, state, reason := p.source, p.publisher, p.state, p.reason
	p.mu.Unlock()
	if source == nil {
		if reason != "" {
			reason = " (" + reason + ")"
		}
		return nil, fmt.Errorf("%s: pipeline %s is %s%s; nothing was asked of it: ask again when it runs: %w", verb, p.spec.Name, state,
			reason, httpapi.ErrState)
	}
	if now := source.Status(); !now.Connected {
		return nil, fmt.Errorf("%s: the source of %s can't be read now (%s); nothing was asked of it: ask again when it can: %w", verb,
			p.spec.Name, now.LastError, httpapi.ErrState)
	}
	return &asking{p, verb, source, publisher}, nil
}

// all carries the verb out on each of the tables. What can't be done of one keeps nothing
// from the others.
func (a *asking) all(ctx context.Context, tables []event.TableName) []httpapi.Outcome {
	outcomes := make([]httpapi.Outcome, len(tables))
	var wg sync.WaitGroup
	var due []int
	for i, t := range tables {
		outcomes[i] = judge(a.verb, t, a.pipe.lives.Of(t))
		switch {
		case outcomes[i].Result != httpapi.Done:
		case a.verb == httpapi.Pause:
			wg.Go(func() { a.conclude(&outcomes[i], a.pauseTable(ctx, t)) })
		case a.verb == httpapi.Resume:
			wg.Go(func() { a.conclude(&outcomes[i], a.resumeTable(ctx, t)) })
		default:
			due = append(due, i)
		}
	}
	if len(due) > 0 { // one record for all of them
		names := make([]event.TableName, len(due))
		for k, i := range due {
			names[k] = tables[i]
		}
		err := a.publisher.MakeDue(ctx, names, a.verb+" by request")
		for _, i := range due {
			a.conclude(&outcomes[i], err)
		}
	}
	wg.Wait()
	return outcomes
}

// judge is what a verb can do to a table as it is: Done is yet to be done.
func judge(verb string, name event.TableName, t life.Table) httpapi.Outcome {
	o := httpapi.Outcome{Table: name.String(), Result: httpapi.Done}
	switch gone, held := t.Gone(), t.Held(); {
	case gone.Code != "":
		o.Result, o.Reason = httpapi.Unchanged, gone.Text
	case held.Code == event.PauseExcluded:
		o.Result, o.Reason = httpapi.Unchanged, held.Text
	case held.Code != "":
		o.Result, o.Reason = httpapi.Refused, held.Text
	case verb == httpapi.Resume && !t.Stands():
		o.Result, o.Reason = httpapi.Unchanged, fmt.Sprintf("table %s is not paused", name)
	case verb != httpapi.Pause && verb != httpapi.Resume && t.Stands():
		o.Result, o.Reason = httpapi.Refused, fmt.Sprintf("table %s is paused; resume it, which reads it anew: %s", name, t.Why().String())
	}
	return o
}

// conclude takes in how the wait for the record ended.
func (a *asking) conclude(o *httpapi.Outcome, err error) {
	switch {
	case err == nil:
	case errors.Is(err, httpapi.ErrState):
		o.Result, o.Reason = httpapi.Refused, err.Error()
	case errors.Is(err, context.DeadlineExceeded):
		o.Result = httpapi.Pending
		o.Reason = fmt.Sprintf("nothing was recorded within %s: the source is away or within a long transaction, or the broker is away",
			recordWait)
	default:
		o.Result, o.Reason = httpapi.Pending, err.Error()
	}
}

// fault is the outcome of a verb on one table as an error; nil says that what was asked for
// is so, and durable.
func (a *asking) fault(o httpapi.Outcome) error {
	switch {
	case o.Result == httpapi.Done:
		return nil
	case o.Result == httpapi.Pending:
		return fmt.Errorf("%s: %w: pipeline %s forgets it if the process ends now; see its status and ask again: %s", a.verb,
			httpapi.ErrPending, a.pipe.spec.Name, o.Reason)
	}
	return fmt.Errorf("%s: %s: %w", a.verb, o.Reason, httpapi.ErrState)
}

func (a *asking) pauseTable(ctx context.Context, t event.TableName) error {
	a.pipe.lives.Report(t, life.Event{Kind: life.Asked})
	a.source.SetPaused(t, true)
	return a.publisher.AwaitPaused(ctx, []event.TableName{t}, true)
}

// resumeTable lets a paused table flow again. What it missed is not read again: a new attempt
// replaces all of it.
func (a *asking) resumeTable(ctx context.Context, t event.TableName) error {
	ctx, again := context.WithCancelCause(ctx)
	defer again(nil)
	defer a.pipe.listen(t, again)()
	a.pipe.lives.Report(t, life.Event{Kind: life.Withdrawn})
	a.source.SetPaused(t, false)
	a.source.RequestSnapshot([]event.TableName{t}, "resumed")
	return a.publisher.AwaitPaused(ctx, []event.TableName{t}, false)
}

// listener is one who waits for a table to be taken up.
type listener struct{ again context.CancelCauseFunc }

// listen lets again hear of it when the table is paused anew, until the end is called.
// Several may listen for one table: each hears of it, and ends for himself.
func (p *pipe) listen(t event.TableName, again context.CancelCauseFunc) (end func()) {
	one := &listener{again}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.again[t] == nil {
		p.again[t] = map[*listener]struct{}{}
	}
	p.again[t][one] = struct{}{}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if delete(p.again[t], one); len(p.again[t]) == 0 {
			delete(p.again, t)
		}
	}
}

// standing reports whether the pipeline stands until somebody lets it go on.
func (p *pipe) standing() (bool, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state == pipeline.StatePaused && p.source == nil, p.reason
}

// named are the tables that a verb means: all of them when it names none.
func (p *pipe) named(table string) []event.TableName {
	var tables []event.TableName
	for _, t := range p.lives.Names() {
		if table == "" || t.String() == table {
			tables = append(tables, t)
		}
	}
	return tables
}
