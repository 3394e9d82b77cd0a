package runner

import (
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/bus"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/life"
)

// status puts together what people see of the pipeline.
func (p *pipe) status() pipeline.Status {
	seen, source := p.sourceStatus()
	p.mu.Lock()
	out := pipeline.Status{
		Name: p.spec.Name, State: p.state, Code: p.code, Reason: p.reason, Since: p.since, Errors: p.errors, LastErr: p.lastErr,
		Tables: []pipeline.TableStatus{},
	}
	publisher := p.publisher
	tables := slices.Clone(p.order)
	owners := make(map[ownerKey]*owner, len(p.owners))
	for k, o := range p.owners {
		owners[k] = o
	}
	p.mu.Unlock()
	out.Source = pipeline.SourceSummary{Type: p.spec.Source.Type, Connected: seen.Connected, Server: seen.Server, End: position(seen.End),
		Reconnects: seen.Reconnects, AheadSeconds: seen.Ahead.Seconds()}
	out.Position = position(seen.Read)
	p.judge(&out, &seen, source)

	known := map[event.TableName]pipeline.SourceTable{}
	for _, t := range seen.Tables {
		known[t.Name] = t
	}
	for _, s := range p.spec.Sinks {
		out.Sinks = append(out.Sinks, s.Name)
	}
	way := p.complete(&seen, publisher)
	out.CompleteTo = way
	counted := false
	unnoticed, _ := p.unknown(p.check.Unnoticed()) // what has come since is known
	for _, name := range p.tables(append(tables, unnoticed...)) {
		live := p.lives.Of(name)
		t := tableStatus(name, live, known[name])
		if slices.Contains(unnoticed, name) {
			p.unnoticed(&t)
		}
		if publisher != nil {
			t.Snapshot = decided(live, publisher.Status().Attempts[name], t.Snapshot)
		}
		if t.State = under(out.State, t.State); t.State == out.State && t.State != pipeline.StateRunning {
			t.Reason = ""
		}
		for _, s := range p.spec.Sinks {
			o := owners[ownerKey{s.Name, name}]
			if o == nil {
				continue
			}
			one := o.summary()
			one.Verified = p.verified(s.Name, name)
			one.CompleteTo.Source, one.CompleteTo.Broker = sourceAndBroker(live, way)
			one.LagUnknown = lagUnknown(&out, &t, &one, o.lacksRoot())
			if t.State != pipeline.StateExcluded && t.State != pipeline.StateDropped {
				if !counted {
					out.CompleteTo, counted = one.CompleteTo, true
				}
				out.CompleteTo = out.CompleteTo.Least(one.CompleteTo)
			}
			t.Sinks = append(t.Sinks, one)
		}
		out.Tables = append(out.Tables, t)
	}
	if !counted { // there is nothing that a target could lack
		out.CompleteTo.Target, out.CompleteTo.Current = out.CompleteTo.Broker, out.CompleteTo.Broker
	}
	now := time.Now()
	if seeded.On(seeded.LagFrozenWhileAway) && !seen.Connected {
		now = out.CompleteTo.Broker
	}
	out.Age(now)
	return out
}

// sourceStatus is what the source says, or said last; open says which.
func (p *pipe) sourceStatus() (seen pipeline.SourceStatus, open bool) {
	p.mu.Lock()
	source, last := p.source, p.seen
	p.mu.Unlock()
	if source == nil {
		last.Connected = false
		return last, false
	}
	return source.Status(), true
}

// judge says of a pipeline whose source is open whether anything comes of it.
func (p *pipe) judge(out *pipeline.Status, seen *pipeline.SourceStatus, open bool) {
	switch {
	case !open || out.State != pipeline.StateRunning:
		if !seen.Connected && out.State == pipeline.StateRetrying {
			out.Source.Error = out.Reason
		}
	case !seen.Connected:
		out.State, out.Reason = pipeline.StateRetrying, "the source can't be read: "+seen.LastError
		out.Source.Error = seen.LastError
	case seen.Stalled != "":
		out.State, out.Reason = pipeline.StateStalled, seen.Stalled
	}
	if open && seen.LastError != "" {
		out.LastErr = seen.LastError
	}
}

// complete is how far the source is read and the queues are filled.
func (p *pipe) complete(seen *pipeline.SourceStatus, publisher *bus.Publisher) (c pipeline.Complete) {
	if seen.Read.Time > 0 {
		c.Source = time.UnixMicro(seen.Read.Time).UTC()
	}
	if publisher != nil {
		if w := publisher.Watermark(); w != nil {
			c.Broker = w.Time
		}
	}
	if c.Source.Before(c.Broker) { // nothing was read yet by this opening
		c.Source = c.Broker
	}
	return c
}

// sourceAndBroker are the first two parts for one table: one that stands, or is gone, is
// where it was then.
func sourceAndBroker(t life.Table, way pipeline.Complete) (source, broker time.Time) {
	at, stands := t.StoodAt()
	switch {
	case !stands:
		return way.Source, way.Broker
	case at.Time == 0:
		return time.Time{}, time.Time{}
	}
	when := time.UnixMicro(at.Time).UTC()
	return when, when
}

// tableStatus is what a table does; seen is what the source is about with it.
func tableStatus(name event.TableName, t life.Table, seen pipeline.SourceTable) pipeline.TableStatus {
	out := pipeline.TableStatus{Name: name.String(), Rows: seen.Rows, Snapshot: 100, Sinks: []pipeline.SinkSummary{}}
	out.State, out.Code, out.Reason = t.State()
	if a, under := t.Attempt(); under {
		out.Snapshot = a.Percent()
	}
	if seen.Trouble != "" && !t.Stands() {
		out.Reason = strings.TrimPrefix(out.Reason+": "+seen.Trouble, ": ")
	}
	return out
}

// decided is how much of a snapshot no crash takes away; shown also counts what is on its way.
func decided(t life.Table, recorded event.Attempt, shown float64) float64 {
	a, under := t.Attempt()
	switch {
	case recorded.Begin != 0 && (!under || a.Begin == recorded.Begin):
		return recorded.Percent()
	case under:
		return 0 // its BEGIN is on its way
	}
	return shown
}

// under is a table's state as the pipeline lets it be: what does not flow because the
// pipeline does not says so.
func under(p, table pipeline.State) pipeline.State {
	switch table {
	case pipeline.StateRunning, pipeline.StateSnapshot, pipeline.StateDue:
		if p != pipeline.StateRunning {
			return p
		}
	}
	return table
}

// tables are those that have a life or an owner, by name.
func (p *pipe) tables(owned []event.TableName) []event.TableName {
	all := p.lives.Names()
	for _, t := range owned {
		if !slices.Contains(all, t) {
			all = append(all, t)
		}
	}
	slices.SortFunc(all, func(a, b event.TableName) int { return strings.Compare(a.String(), b.String()) })
	return all
}

func position(p event.Position) pipeline.PositionStatus {
	return pipeline.PositionStatus{File: p.File, Pos: p.Pos, GTID: p.GTIDSet, Epoch: p.Epoch}
}

// water is what the queues are known to hold; nil before the first opening.
func (p *pipe) water() *bus.Watermark {
	p.mu.Lock()
	publisher := p.publisher
	p.mu.Unlock()
	if publisher == nil {
		return nil
	}
	return publisher.Watermark()
}
