package runner_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/e2e/inprocess"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/httpapi"
	"github.com/millrace/millrace/pipeline/pipelinetest"
	"github.com/millrace/millrace/pipeline/spec"
	"github.com/millrace/millrace/pipeline/verify"
)

const file = `version: 1
name: orders
source: {type: script}
group: {bytes: 64KiB, interval: 2ms}
sinks:
- {name: check, type: target, flush: {rows: 20, bytes: 1MiB, interval: 10ms}}
`

// rig is a daemon with one pipeline: a scripted source, a broker in this process, a
// target that checks.
type rig struct {
	t             *testing.T
	script        *pipelinetest.Script
	orders, items pipelinetest.Table
	target        *pipelinetest.Target
	cluster       *inprocess.Cluster
	plan          inprocess.Plan
	daemon        *inprocess.Daemon

	mu    sync.Mutex
	fault func(step string, table event.TableName) error
	cfg   pipelinetest.SourceConfig
	specs []*spec.Pipeline // that a source was made for
}

// newRig has two tables with a row each; the daemon is not started.
func newRig(t *testing.T) *rig { return newRigOn(t, inprocess.New(t, nil)) }

func newRigOn(t *testing.T, cluster *inprocess.Cluster) *rig {
	r := &rig{t: t, script: pipelinetest.NewScript(), target: pipelinetest.NewTarget(), cluster: cluster}
	r.orders, r.items = r.script.Table("shop", "orders", 2, true), r.script.Table("shop", "items", 1, true)
	r.script.Commit(r.orders.Put(1, "first"), r.items.Put(1, "first"))
	r.target.Fault = func(step string, table event.TableName) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.fault == nil {
			return nil
		}
		return r.fault(step, table)
	}
	r.plan = inprocess.Plan{
		Dir: t.TempDir(),
		Source: func(p *spec.Pipeline) (pipeline.Source, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.specs = append(r.specs, p)
			cfg := r.cfg
			cfg.Beat = 20 * time.Millisecond
			return pipelinetest.NewSource(r.script, cfg), nil
		},
		Target: func(*spec.Pipeline, spec.Sink) (pipeline.Sink, error) { return r.target.Sink(), nil },
	}
	r.plan.Write(t, "orders.yaml", file)
	t.Cleanup(r.stop)
	return r
}

func (r *rig) setFault(f func(step string, table event.TableName) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = f
}

func (r *rig) setSource(cfg pipelinetest.SourceConfig) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cfg = cfg
}

func (r *rig) start() {
	r.t.Helper()
	r.daemon = r.cluster.Daemon(r.plan)
}

func (r *rig) stop() {
	if r.daemon != nil {
		if err := r.daemon.Stop(); err != nil {
			r.t.Error(err)
		}
		r.daemon = nil
	}
}

func (r *rig) restart() {
	r.t.Helper()
	r.stop()
	r.start()
}

// pipeline is the status of the one called orders.
func (r *rig) pipeline() pipeline.Status {
	for _, p := range r.daemon.Statuses() {
		if p.Name == "orders" {
			return p
		}
	}
	return pipeline.Status{}
}

func (r *rig) table(t pipelinetest.Table) pipeline.TableStatus {
	s, _ := r.daemon.Table(t.Name.String())
	return s
}

func (r *rig) waitFor(what string, ok func() bool) {
	r.t.Helper()
	if !inprocess.Await(ok) {
		r.t.Fatalf("waited in vain for %s; %s", what, r.describe())
	}
}

func (r *rig) describe() string {
	return strings.ReplaceAll(fmt.Sprintf("%+v", r.daemon.Statuses()), "} {", "}\n  {")
}

// equal waits until the target's tables are the script's.
func (r *rig) equal(tables ...pipelinetest.Table) {
	r.t.Helper()
	if len(tables) == 0 {
		tables = []pipelinetest.Table{r.orders, r.items}
	}
	for _, t := range tables {
		r.waitFor("table "+t.Name.String(), func() bool { return r.same(t) })
	}
	if err := r.target.Err(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) same(t pipelinetest.Table) bool {
	got, err := verify.Compare(r.t.Context(), r.script.Reader(), r.target.Reader(), t.Name)
	return err == nil && got.Equal()
}

// streaming waits until no snapshot is under way.
func (r *rig) streaming() {
	r.t.Helper()
	r.waitFor("streaming", func() bool {
		p := r.pipeline()
		ok := p.State == pipeline.StateRunning && len(p.Tables) == 2
		for _, t := range p.Tables {
			ok = ok && t.State == pipeline.StateRunning && t.Snapshot == 100
		}
		return ok
	})
}

func (r *rig) do(table, verb string) {
	r.t.Helper()
	if err := r.ask(table, verb); err != nil {
		r.t.Fatal(err)
	}
}

// ask carries a verb out, and asks again, as the answer says, while nothing is recorded: on a
// busy machine that takes longer than a verb waits. What came about meanwhile is no error.
func (r *rig) ask(table, verb string) error {
	const most = 30
	for try := 1; ; try++ {
		_, err := r.daemon.Do(r.t.Context(), "orders", table, verb)
		switch {
		case errors.Is(err, httpapi.ErrPending) && try < most:
		case errors.Is(err, httpapi.ErrState) && try > 1:
			return nil
		default:
			return err
		}
	}
}
