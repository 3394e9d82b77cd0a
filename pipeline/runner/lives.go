package runner

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/bus"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/httpapi"
	"github.com/millrace/millrace/pipeline/life"
)

// lived hears of every change in a table's life, and does what follows from it.
func (p *pipe) lived(t event.TableName, e life.Event, before, after life.Table) {
	switch {
	case e.Kind == life.Dropped:
		p.log.Warn("table dropped at the source: its target stays as it is", slog.String("table", t.String()),
			slog.String("reason", after.Gone().Text))
	case e.Kind == life.Opened: // the source is told by what it is opened with
	case after.Halted() && after.Why() != before.Why():
		p.tablePaused(t, after.Why())
	}
}

// tablePaused tells those who must know that a table's rows are published no longer.
func (p *pipe) tablePaused(t event.TableName, why event.PauseReason) {
	p.mu.Lock()
	source, listeners := p.source, slices.Collect(maps.Keys(p.again[t]))
	p.mu.Unlock()
	if source != nil { // it may be the publisher that stopped it
		source.SetPaused(t, true)
	}
	for _, l := range listeners {
		l.again(fmt.Errorf("table %s is paused again: %s: %w", t, why.String(), httpapi.ErrState))
	}
	p.log.Error("table paused", slog.String("table", t.String()), slog.String("code", string(why.Code)), slog.String("reason", why.Text))
}

// takeWishes tells a source that was opened what was asked for and no record has.
func (p *pipe) takeWishes(source pipeline.Source) {
	for t, table := range p.lives.All() {
		if table.Wished() {
			source.SetPaused(t, true)
		}
	}
}

// takeBack lets tables flow again that the pipeline file had paused and does not any
// more. What they missed comes with an attempt.
func (p *pipe) takeBack(source pipeline.Source, tables []event.TableName) {
	for _, t := range tables {
		p.log.Info("table goes on: the pipeline file is as it was", slog.String("table", t.String()))
		p.lives.Report(t, life.Event{Kind: life.Withdrawn})
		source.SetPaused(t, false)
	}
	if len(tables) > 0 {
		source.RequestSnapshot(tables, bus.CauseConfiguration)
	}
}

// askForOwed asks for the attempts that are owed and that the source was not opened with:
// those of tables that no record knew before.
func (p *pipe) askForOwed(source pipeline.Source, resume pipeline.Resume) {
	known := map[event.TableName]bool{}
	for _, a := range resume.Attempts {
		known[a.Table] = true
	}
	for t, table := range p.lives.All() {
		if a, owed := table.Attempt(); owed && a.Begin == 0 && !known[t] && !table.Stands() {
			source.RequestSnapshot([]event.TableName{t}, a.Cause)
		}
	}
}

// requestSnapshot asks the source, where it is open, for an attempt of a table.
func (p *pipe) requestSnapshot(t event.TableName, cause string) {
	if s := p.openSource(); s != nil {
		s.RequestSnapshot([]event.TableName{t}, cause)
	}
}

// snapshotDue makes an attempt of a table due whose target waits for one. The target takes
// up again with a BEGIN above mark only: where the present epoch has none to give, it is
// raised first.
func (p *pipe) snapshotDue(ctx context.Context, t event.TableName, mark event.Seq, cause string) {
	p.mu.Lock()
	source, publisher, reopen := p.source, p.publisher, p.reopen
	p.mu.Unlock()
	if source == nil || publisher == nil {
		return
	}
	if mark != 0 && publisher.Status().Epoch <= mark.Epoch() {
		p.mu.Lock()
		p.above[t] = max(p.above[t], mark)
		p.mu.Unlock()
		reopen(errReopen)
		return
	}
	switch _, owed := p.lives.Of(t).Attempt(); {
	case owed && !p.attempting(source, t): // it was asked before, and has given it up
		source.RequestSnapshot([]event.TableName{t}, cause)
	case p.lives.Of(t).Flows():
		ctx, cancel := context.WithTimeout(ctx, recordWait)
		defer cancel()
		if err := publisher.MakeDue(ctx, []event.TableName{t}, cause); err != nil && !stopped(ctx, err) {
			p.log.Debug("a snapshot could not be made due; it is asked for again", slog.String("table", t.String()), slog.Any("error", err))
		}
	}
}

// attempting reports whether the source is about an attempt of the table, or can't be.
func (p *pipe) attempting(source pipeline.Source, t event.TableName) bool {
	for _, one := range source.Status().Tables {
		if one.Name == t {
			return one.Attempting || one.Paused
		}
	}
	return false
}
