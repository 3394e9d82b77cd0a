package runner

import (
	"fmt"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/httpapi"
)

// do carries out a verb on the pipeline or one table of it. Pausing a whole pipeline is
// the runner's.
func (p *pipe) do(table, verb string) error {
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
	source := p.openSource()
	tables := p.named(table)
	if source == nil {
		return fmt.Errorf("%s: the source of %s is not connected: %w", verb, p.spec.Name, httpapi.ErrState)
	}
	if len(tables) == 0 && table != "" {
		return fmt.Errorf("the table %q of pipeline %s is %w", table, p.spec.Name, httpapi.ErrUnknown)
	}
	tables, err := p.free(verb, table, tables)
	if err != nil {
		return err
	}
	switch verb {
	case httpapi.Pause:
		for _, t := range tables {
			p.setPaused(t, event.PauseReason{Text: "paused by request"})
			source.SetPaused(t, true)
		}
	case httpapi.Resume:
		return p.resume(source, table, tables)
	case httpapi.Snapshot, httpapi.Reset:
		source.RequestSnapshot(tables, verb+" by request")
	}
	return nil
}

// free leaves out the tables that the pipeline file holds; asked for by name, such a table
// is an error that says why.
func (p *pipe) free(verb, asked string, tables []event.TableName) ([]event.TableName, error) {
	p.mu.Lock()
	publisher := p.publisher
	p.mu.Unlock()
	var free []event.TableName
	for _, t := range tables {
		why := publisher.Held(t)
		if why != "" && asked != "" {
			return nil, fmt.Errorf("%s: %s: %w", verb, why, httpapi.ErrState)
		}
		if why == "" {
			free = append(free, t)
		}
	}
	return free, nil
}

// resume lets those of the tables flow again that are paused. What a table missed is not
// read again: a new attempt replaces all of it.
func (p *pipe) resume(source pipeline.Source, asked string, tables []event.TableName) error {
	var paused []event.TableName
	for _, t := range tables {
		if p.pausedTable(source, t) {
			paused = append(paused, t)
		}
	}
	if len(paused) == 0 && asked != "" {
		return fmt.Errorf("%s: table %s is not paused: %w", httpapi.Resume, asked, httpapi.ErrState)
	}
	for _, t := range paused {
		p.setPaused(t, event.PauseReason{})
		source.SetPaused(t, false)
	}
	source.RequestSnapshot(paused, "resumed")
	return nil
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
		paused = paused || s.Name == t && s.State == "paused"
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
