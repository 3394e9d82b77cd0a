package runner

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/bus"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/httpapi"
	"github.com/millrace/millrace/pipeline/selfcheck"
	"github.com/millrace/millrace/pipeline/spec"
)

// newCheck makes the pipeline's self-check; nil where its file says off.
func (p *pipe) newCheck(dir string) *selfcheck.Service {
	v := p.spec.Verify
	if v.Every == 0 || p.deps.SourceReader == nil || p.deps.TargetReader == nil {
		return nil
	}
	sinks := make([]string, len(p.spec.Sinks))
	for i, s := range p.spec.Sinks {
		sinks[i] = s.Name
	}
	return selfcheck.New(selfcheck.Config{
		Sinks: sinks, Every: time.Duration(v.Every), RowsPerSecond: v.RowsPerSecond, Repair: v.Repair, Dir: dir,
		Glance: min(15*time.Second, time.Duration(v.Every)/4),
	}, selfcheck.Deps{
		Source:  p.sourceReader,
		Target:  p.targetReader,
		Tables:  p.toCheck,
		Unknown: p.unknown,
		Reached: p.reached, Complete: p.currentTo,
		Repair: func(ctx context.Context, t event.TableName) error {
			_, err := p.do(ctx, t.String(), httpapi.Snapshot)
			return err
		},
		Log: p.log,
	})
}

// checkItself runs the self-check beside everything else. What ends it ends nothing else.
func (p *pipe) checkItself(ctx context.Context) {
	if p.check == nil {
		return
	}
	p.wg.Go(func() {
		if err := p.check.Run(ctx); err != nil && !stopped(ctx, err) {
			p.log.Error("the self-check has ended; the pipeline goes on without it until it is started anew", slog.Any("error", err))
		}
	})
}

// sourceReader reads the source's rows from the server whose log is read.
func (p *pipe) sourceReader() (pipeline.Reader, error) {
	r, err := p.deps.SourceReader(p.spec)
	if one, ok := r.(pipeline.OneServer); ok && err == nil {
		p.mu.Lock()
		source := p.source
		p.mu.Unlock()
		if source != nil {
			if server := source.Status().Server; server != "" {
				one.Of(server)
			}
		}
	}
	return r, err
}

func (p *pipe) targetReader(sink string) (pipeline.Reader, error) {
	i := slices.IndexFunc(p.spec.Sinks, func(s spec.Sink) bool { return s.Name == sink })
	return p.deps.TargetReader(p.spec, p.spec.Sinks[i])
}

// toCheck are the tables of a target, and why some are not to be compared now.
func (p *pipe) toCheck(sink string) []selfcheck.Table {
	now := p.status()
	p.mu.Lock()
	names := slices.Clone(p.order)
	p.mu.Unlock()
	var out []selfcheck.Table
	for _, name := range names {
		i := slices.IndexFunc(now.Tables, func(t pipeline.TableStatus) bool { return t.Name == name.String() })
		if i < 0 {
			continue
		}
		out = append(out, selfcheck.Table{Name: name, Skip: whyNot(&now, &now.Tables[i], sink)})
	}
	return out
}

// unknown are those of the source's tables that have no life here, or whose life is over.
func (p *pipe) unknown(source []event.TableName) (out []event.TableName, runs bool) {
	p.mu.Lock()
	runs = p.state == pipeline.StateRunning
	p.mu.Unlock()
	if !runs {
		return nil, false
	}
	known := p.lives.All()
	for _, name := range source {
		live, ok := known[name]
		if state, _, _ := live.State(); !ok || state == pipeline.StateDropped {
			out = append(out, name)
		}
	}
	return out, true
}

// unnoticed says of a table that the source has it and nothing of it is taken.
func (p *pipe) unnoticed(t *pipeline.TableStatus) {
	t.State, t.Code, t.Snapshot = pipeline.StateUnnoticed, "", 0
	t.Reason = fmt.Sprintf("the source has the table, and the pipeline has read past that without taking note of it: nothing of "+
		"it is in the targets; `millrace pipeline pause %s` and `resume %s` have it read", p.spec.Name, p.spec.Name)
}

// whyNot is why a table can't be compared now; "" when it can.
func whyNot(p *pipeline.Status, t *pipeline.TableStatus, sink string) string {
	switch {
	case p.State != pipeline.StateRunning:
		return fmt.Sprintf("the pipeline is %s", p.State)
	case t.State != pipeline.StateRunning:
		return fmt.Sprintf("the table is %s", t.State)
	case t.Snapshot < 100:
		return "the table is being read anew"
	}
	for _, s := range t.Sinks {
		switch {
		case s.Sink != sink:
		case s.State != pipeline.StateRunning:
			return fmt.Sprintf("the target is %s", s.State)
		case s.LagUnknown != "":
			return s.LagUnknown
		}
	}
	return ""
}

// verified is what the self-check knows of a target table.
func (p *pipe) verified(sink string, table event.TableName) *pipeline.Verified {
	if p.check == nil {
		return nil
	}
	v := p.check.Verified(sink, table)
	return &v
}

// currentTo is the time up to which a target's table as it is has everything.
func (p *pipe) currentTo(sink string, table event.TableName) time.Time {
	p.mu.Lock()
	o := p.owners[ownerKey{sink, table}]
	p.mu.Unlock()
	if o == nil {
		return time.Time{}
	}
	return o.summary().CompleteTo.Current
}

// reached reports whether a target has everything that its queues held at some time behind
// since.
func (p *pipe) reached(sink string, table event.TableName, since time.Time) bool {
	p.mu.Lock()
	o := p.owners[ownerKey{sink, table}]
	p.mu.Unlock()
	return o != nil && o.caughtUp(since)
}

// caughtUp reports whether every queue was read to its end behind a time, and all that was
// read is in the target.
func (o *owner) caughtUp(since time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sub == nil || o.status.State != pipeline.StateRunning || o.status.Buffered > 0 {
		return false
	}
	queues := o.sub.States()
	for _, q := range queues {
		if q.Wait != bus.WaitNone || q.Trouble != "" || q.Behind > 0 || q.Unflushed > 0 || !q.Read.After(since) {
			return false
		}
	}
	return len(queues) > 0
}
