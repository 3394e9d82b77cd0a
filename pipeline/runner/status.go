package runner

import (
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// status puts together what people see of the pipeline.
func (p *pipe) status() pipeline.Status {
	p.mu.Lock()
	out := pipeline.Status{
		Name: p.spec.Name, State: p.state, Code: p.code, Reason: p.reason, Since: p.since, Errors: p.errors, LastErr: p.lastErr,
		Source: pipeline.SourceSummary{Type: p.spec.Source.Type}, Tables: []pipeline.TableStatus{},
	}
	source, publisher := p.source, p.publisher
	tables := append([]event.TableName(nil), p.order...)
	paused := make(map[event.TableName]event.PauseReason, len(p.paused))
	for t, why := range p.paused {
		paused[t] = why
	}
	owners := make(map[ownerKey]*owner, len(p.owners))
	for k, o := range p.owners {
		owners[k] = o
	}
	p.mu.Unlock()

	known := map[event.TableName]pipeline.SourceTable{}
	if source != nil {
		s := source.Status()
		out.Source = pipeline.SourceSummary{Type: p.spec.Source.Type, Connected: s.Connected, Server: s.Server, End: position(s.End), Reconnects: s.Reconnects}
		out.Position, out.LagSecs = position(s.Read), s.LagSeconds
		if s.LastError != "" {
			out.LastErr = s.LastError
		}
		for _, t := range s.Tables {
			known[t.Name] = t
		}
	}
	var progress map[event.TableName]event.Attempt
	if publisher != nil {
		progress = publisher.Progress()
	}
	for _, s := range p.spec.Sinks {
		out.Sinks = append(out.Sinks, s.Name)
	}
	for _, name := range tables {
		t := pipeline.TableStatus{Name: name.String(), State: out.State}
		if from, ok := known[name]; ok {
			t.State, t.Code, t.Reason, t.Rows = from.State, from.Code, from.Reason, from.Rows
			t.Snapshot = 100
			if attempt, under := progress[name]; under {
				t.Snapshot = attempt.Percent()
			}
		}
		if why, ok := paused[name]; ok {
			t.State, t.Code, t.Reason = pipeline.StatePaused, why.Code, why.String()
			if why.Code == event.PauseExcluded {
				t.State = pipeline.StateExcluded
			}
		}
		for _, s := range p.spec.Sinks {
			if o := owners[ownerKey{s.Name, name}]; o != nil {
				one := o.summary()
				one.Verified = p.verified(s.Name, name)
				out.LagSecs = max(out.LagSecs, one.LagSecs)
				t.Sinks = append(t.Sinks, one)
			}
		}
		out.Tables = append(out.Tables, t)
	}
	return out
}

func position(p event.Position) pipeline.PositionStatus {
	return pipeline.PositionStatus{File: p.File, Pos: p.Pos, GTID: p.GTIDSet, Epoch: p.Epoch}
}
