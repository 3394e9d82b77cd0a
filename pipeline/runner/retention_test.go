package runner_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/millrace/millrace/broker"
	"github.com/millrace/millrace/e2e/inprocess"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/pipelinetest"
	"github.com/millrace/millrace/pipeline/spec"
)

// asked is a source that notes which snapshots it is asked for.
type asked struct {
	*pipelinetest.ScriptSource

	mu     sync.Mutex
	causes map[event.TableName][]string
}

func (a *asked) RequestSnapshot(tables []event.TableName, cause string) {
	a.mu.Lock()
	for _, t := range tables {
		a.causes[t] = append(a.causes[t], cause)
	}
	a.mu.Unlock()
	a.ScriptSource.RequestSnapshot(tables, cause)
}

func (a *asked) of(t event.TableName) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.causes[t]
}

// A target that stands still while the log grows far beyond what it may be finds everything
// that it missed, within the bound. Beyond it, it gets a new snapshot, and the other table,
// which flows, notices nothing.
func TestABacklogIsKeptUpToItsBound(t *testing.T) {
	for name, c := range map[string]struct {
		bound int64
		cause string
	}{
		"within the bound": {bound: 1 << 30},
		"beyond the bound": {bound: 4 << 20, cause: "NEEDS_SNAPSHOT GAP"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRigOn(t, inprocess.New(t, func(cfg *broker.Config) {
				cfg.MappedFileSizeCommitLog, cfg.MaxMessageSize = 256<<10, 100<<10
				cfg.RetentionBytes, cfg.HoldRetentionBytes, cfg.CleanResourceInterval = 1<<20, c.bound, 2
			}))
			source := &asked{ScriptSource: pipelinetest.NewSource(r.script, r.cfg), causes: map[event.TableName][]string{}}
			r.plan.Source = func(*spec.Pipeline) (pipeline.Source, error) { return source, nil }
			r.start()
			r.equal()
			r.streaming()
			before := map[event.TableName]int{r.orders.Name: len(source.of(r.orders.Name)), r.items.Name: len(source.of(r.items.Name))}
			r.setFault(func(step string, table event.TableName) error {
				if step == "flush" && table == r.orders.Name {
					return fmt.Errorf("%w: the disk is full", pipeline.ErrUnwritable)
				}
				return nil
			})
			for i := range 300 {
				if i%5 == 0 {
					r.equal(r.items)
				}
				r.script.Commit(r.orders.Put(i%50, fmt.Sprint("held ", i)), r.items.Put(i%5, fmt.Sprint(i, strings.Repeat("x", 20<<10))))
			}
			r.equal(r.items)
			if r.same(r.orders) {
				t.Fatal("the table that stands still goes on")
			}
			r.setFault(nil)
			r.equal()
			r.streaming()
			if more := source.of(r.items.Name)[before[r.items.Name]:]; len(more) > 0 {
				t.Errorf("the table that flows got snapshots because of %q", more)
			}
			more := source.of(r.orders.Name)[before[r.orders.Name]:]
			if (c.cause != "") != (len(more) > 0) {
				t.Fatalf("snapshots because of %q, want %q", more, c.cause)
			}
			for _, why := range more { // it may be asked for again until it has begun
				if !strings.Contains(c.cause, strings.TrimPrefix(why, "sink check: ")) {
					t.Errorf("the snapshot's cause is %q, want one of %q", why, c.cause)
				}
			}
		})
	}
}
