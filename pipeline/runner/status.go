package runner

import (
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/bus"
	"github.com/millrace/millrace/pipeline/event"
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
	var progress map[event.TableName]event.Attempt
	if publisher != nil {
		progress = publisher.Progress()
	}
	for _, s := range p.spec.Sinks {
		out.Sinks = append(out.Sinks, s.Name)
	}
	way := p.complete(&seen, publisher)
	out.CompleteTo = way
	counted := false
	for _, name := range p.withDropped(tables) {
		t := p.tableStatus(name, &out, known, progress)
		for _, s := range p.spec.Sinks {
			o := owners[ownerKey{s.Name, name}]
			if o == nil {
				continue
			}
			one := o.summary()
			one.Verified = p.verified(s.Name, name)
			one.CompleteTo.Source, one.CompleteTo.Broker = p.sourceAndBroker(name, way)
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

// sourceAndBroker are the first two parts for one table: a paused one stands where it was
// paused.
func (p *pipe) sourceAndBroker(t event.TableName, way pipeline.Complete) (source, broker time.Time) {
	p.mu.Lock()
	why, paused := p.paused[t]
	p.mu.Unlock()
	if !paused {
		return way.Source, way.Broker
	}
	if why.Where.Time == 0 {
		return time.Time{}, time.Time{}
	}
	at := time.UnixMicro(why.Where.Time).UTC()
	return at, at
}

// tableStatus is the source's part of a table.
func (p *pipe) tableStatus(name event.TableName, out *pipeline.Status, known map[event.TableName]pipeline.SourceTable,
	progress map[event.TableName]event.Attempt) pipeline.TableStatus {
	t := pipeline.TableStatus{Name: name.String(), State: out.State, Sinks: []pipeline.SinkSummary{}}
	if from, ok := known[name]; ok {
		t.Rows, t.Snapshot = from.Rows, 100
		if attempt, under := progress[name]; under {
			t.Snapshot = attempt.Percent()
		}
		// What does not flow because the pipeline does not says so.
		if out.State == pipeline.StateRunning || from.State == pipeline.StatePaused {
			t.State, t.Code, t.Reason = from.State, from.Code, from.Reason
		}
		if attempt, under := progress[name]; under && t.State == pipeline.StateRunning { // the source will hear of it
			t.State, t.Reason = pipeline.StateDue, attempt.Cause
			if attempt.Begin != 0 {
				t.State = pipeline.StateSnapshot
			}
		}
	}
	p.mu.Lock()
	why, paused := p.paused[name]
	dropped, gone := p.dropped[name]
	publisher := p.publisher
	p.mu.Unlock()
	if publisher != nil {
		if held := publisher.Held(name); held.Code == event.PauseExcluded { // whatever paused it before
			why, paused = held, true
		}
	}
	switch {
	case gone:
		t.State, t.Code, t.Reason = pipeline.StateDropped, event.PauseDropped, dropped.Text
	case paused && why.Code == event.PauseExcluded:
		t.State, t.Code, t.Reason = pipeline.StateExcluded, why.Code, why.Text
	case paused:
		t.State, t.Code, t.Reason = pipeline.StatePaused, why.Code, why.String()
	}
	return t
}

// withDropped are the tables and those that the source has no longer, by name.
func (p *pipe) withDropped(tables []event.TableName) []event.TableName {
	p.mu.Lock()
	defer p.mu.Unlock()
	for t := range p.dropped {
		if !slices.Contains(tables, t) {
			tables = append(tables, t)
		}
	}
	slices.SortFunc(tables, func(a, b event.TableName) int { return strings.Compare(a.String(), b.String()) })
	return tables
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

// glanceEvery is how old the source's states may be that owners look at.
const glanceEvery = 500 * time.Millisecond

// flows reports whether a table's rows flow as far as the source knows: it may owe an
// attempt of which no record says anything yet. While the source is away nothing new is
// proven anyway.
func (p *pipe) flows(t event.TableName) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.source == nil {
		return true
	}
	if time.Since(p.glanced) > glanceEvery {
		p.glance, p.glanced = map[event.TableName]pipeline.State{}, time.Now()
		for _, one := range p.source.Status().Tables {
			p.glance[one.Name] = one.State
		}
	}
	state, known := p.glance[t]
	return !known || state == pipeline.StateRunning
}
