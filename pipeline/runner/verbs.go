package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/bus"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/httpapi"
)

// recordWait is how long a verb waits until what it asks for is recorded.
const recordWait = 10 * time.Second

// do carries out a verb on the pipeline or one table of it; nil says that it is durable.
// Pausing a whole pipeline is the runner's.
func (p *pipe) do(ctx context.Context, table, verb string) error {
	if standing, reason := p.standing(); standing {
		if table == "" && verb != httpapi.Pause {
			if verb != httpapi.Resume {
				p.giveUpPosition()
			}
			select {
			case p.goOn <- struct{}{}:
			default: // it is about to
			}
			return nil
		}
		return fmt.Errorf("%s: pipeline %s stands still: %s: %w", verb, p.spec.Name, reason, httpapi.ErrState)
	}
	p.mu.Lock()
	source, publisher := p.source, p.publisher
	p.mu.Unlock()
	if source == nil {
		return fmt.Errorf("%s: the source of %s is not connected: %w", verb, p.spec.Name, httpapi.ErrState)
	}
	if now := source.Status(); !now.Connected {
		return fmt.Errorf("%s: the source of %s can't be read now (%s); nothing was asked of it: ask again when it can: %w", verb, p.spec.Name, now.LastError, httpapi.ErrState)
	}
	tables := p.named(table)
	if len(tables) == 0 && table != "" {
		return fmt.Errorf("the table %q of pipeline %s is %w", table, p.spec.Name, httpapi.ErrUnknown)
	}
	tables, err := free(publisher, verb, table, tables)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, recordWait)
	defer cancel()
	switch verb {
	case httpapi.Pause:
		for _, t := range tables {
			p.setPaused(t, event.Requested())
			source.SetPaused(t, true)
		}
		return p.pending(verb, publisher.AwaitPaused(ctx, tables, true))
	case httpapi.Resume:
		return p.resume(ctx, source, publisher, table, tables)
	default:
		return p.snapshot(ctx, source, publisher, verb, table, tables)
	}
}

// pending says of a verb that was asked for that it is not recorded, and why.
func (p *pipe) pending(verb string, err error) error {
	switch {
	case err == nil || errors.Is(err, httpapi.ErrState):
		return err
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("nothing was recorded within %s: the source is away or within a long transaction, or the broker is away", recordWait)
	}
	return fmt.Errorf("%s: %w: pipeline %s forgets it if the process ends now; see its status and ask again: %w", verb, httpapi.ErrPending, p.spec.Name, err)
}

// snapshot makes an attempt of each table due that is not paused: one that is gets its own
// when it is resumed.
func (p *pipe) snapshot(ctx context.Context, source pipeline.Source, publisher *bus.Publisher, verb, asked string, tables []event.TableName) error {
	var due []event.TableName
	for _, t := range tables {
		if !p.pausedTable(source, t) {
			due = append(due, t)
		}
	}
	if len(due) == 0 && asked != "" {
		return fmt.Errorf("%s: table %s is paused; resume it, which reads it anew: %w", verb, asked, httpapi.ErrState)
	}
	return p.pending(verb, publisher.MakeDue(ctx, due, verb+" by request"))
}

// free leaves out the tables that the pipeline file holds; asked for by name, such a table
// is an error that says why.
func free(publisher *bus.Publisher, verb, asked string, tables []event.TableName) ([]event.TableName, error) {
	var free []event.TableName
	for _, t := range tables {
		why := publisher.Held(t)
		if why.Code != "" && asked != "" {
			return nil, fmt.Errorf("%s: %s: %w", verb, why.Text, httpapi.ErrState)
		}
		if why.Code == "" {
			free = append(free, t)
		}
	}
	return free, nil
}

// resume lets those of the tables flow again that are paused. What a table missed is not
// read again: a new attempt replaces all of it.
func (p *pipe) resume(ctx context.Context, source pipeline.Source, publisher *bus.Publisher, asked string, tables []event.TableName) error {
	var paused []event.TableName
	for _, t := range tables {
		if p.pausedTable(source, t) {
			paused = append(paused, t)
		}
	}
	if len(paused) == 0 && asked != "" {
		return fmt.Errorf("%s: table %s is not paused: %w", httpapi.Resume, asked, httpapi.ErrState)
	}
	ctx, again := context.WithCancelCause(ctx)
	defer again(nil)
	for _, t := range paused {
		p.takeUp(t, again)
		defer p.takenUp(t)
		source.SetPaused(t, false)
	}
	source.RequestSnapshot(paused, "resumed")
	return p.pending(httpapi.Resume, publisher.AwaitPaused(ctx, paused, false))
}

// takeUp forgets a table's pause; again hears of it when the table is paused anew.
func (p *pipe) takeUp(t event.TableName, again context.CancelCauseFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.paused, t)
	p.again[t] = again
}

func (p *pipe) takenUp(t event.TableName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.again, t)
}

// standing reports whether the pipeline stands until somebody lets it go on.
func (p *pipe) standing() (bool, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state == pipeline.StatePaused && p.source == nil, p.reason
}

// named are the tables that a verb means: all of them when it names none.
func (p *pipe) named(table string) []event.TableName {
	p.mu.Lock()
	defer p.mu.Unlock()
	var tables []event.TableName
	for _, t := range p.order {
		if table == "" || t.String() == table {
			tables = append(tables, t)
		}
	}
	return tables
}

func (p *pipe) pausedTable(source pipeline.Source, t event.TableName) bool {
	p.mu.Lock()
	_, paused := p.paused[t]
	p.mu.Unlock()
	for _, s := range source.Status().Tables {
		paused = paused || s.Name == t && s.State == pipeline.StatePaused
	}
	return paused
}

func (p *pipe) setPaused(t event.TableName, reason event.PauseReason) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if reason == (event.PauseReason{}) {
		delete(p.paused, t)
		return
	}
	p.paused[t] = reason
}
