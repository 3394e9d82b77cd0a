package badinput

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/millrace/millrace/connectors/mysql"
	"github.com/millrace/millrace/e2e/inprocess"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/pipelinetest"
	"github.com/millrace/millrace/pipeline/spec"
	"github.com/millrace/millrace/pipeline/verify"
	"github.com/millrace/millrace/sinks/parquet/readback"
)

const pipelineFile = `version: 1
name: %s
source: {type: script}
group: {bytes: 64KiB, interval: 2ms}
sinks:
- {name: lake, type: parquet, path: %s, current: {interval: 1ms}, flush: {rows: 20, bytes: 1MiB, interval: 10ms}}
`

// rig is a daemon, a broker and a lake. The pipeline "orders" has a scripted source with
// two tables; others may be added.
type rig struct {
	t             *testing.T
	script        *pipelinetest.Script
	orders, items pipelinetest.Table
	cluster       *inprocess.Cluster
	plan          inprocess.Plan
	daemon        *inprocess.Daemon
	// file is a pipeline's file, and reader what reads the target of "orders".
	file   func(name string) string
	reader func() (pipeline.Reader, error)
	// fault fails operations on the lake's disk.
	fault atomic.Pointer[func(errorfs.Op) error]
	// mysql are the configurations of pipelines whose source is a real server.
	mysql map[string]mysql.Config
}

// newRig is one with a lake.
func newRig(t *testing.T) *rig {
	lake := filepath.ToSlash(t.TempDir())
	return newRigInto(t, func(name string) string { return fmt.Sprintf(pipelineFile, name, lake) },
		func() (pipeline.Reader, error) { return readback.New(lake, "orders"), nil })
}

func newRigInto(t *testing.T, file func(name string) string, reader func() (pipeline.Reader, error)) *rig {
	r := &rig{t: t, script: pipelinetest.NewScript(), cluster: inprocess.New(t, nil), file: file, reader: reader, mysql: map[string]mysql.Config{}}
	r.orders, r.items = r.script.Table("shop", "orders", 2, true), r.script.Table("shop", "items", 1, true)
	r.script.Commit(r.orders.Put(1, "first"), r.items.Put(1, "first"))
	r.plan = inprocess.Plan{
		Dir: t.TempDir(),
		Source: func(p *spec.Pipeline) (pipeline.Source, error) {
			if cfg, real := r.mysql[p.Name]; real {
				return mysql.New(cfg, slog.New(slog.DiscardHandler), nil)
			}
			return pipelinetest.NewSource(r.script, pipelinetest.SourceConfig{}), nil
		},
		Disk: errorfs.Wrap(vfs.OS(), errorfs.Func(func(op errorfs.Op) errorfs.Action {
			if f := r.fault.Load(); f != nil {
				return errorfs.Action{Err: (*f)(op)}
			}
			return errorfs.Action{}
		})),
	}
	r.add("orders")
	t.Cleanup(r.stop)
	return r
}

func (r *rig) add(name string) {
	r.t.Helper()
	r.plan.Write(r.t, name+".yaml", r.file(name))
}

func (r *rig) setFault(f func(errorfs.Op) error) {
	if f == nil {
		r.fault.Store(nil)
		return
	}
	r.fault.Store(&f)
}

func (r *rig) start() { r.daemon = r.cluster.Daemon(r.plan) }

func (r *rig) stop() {
	if r.daemon != nil {
		if err := r.daemon.Stop(); err != nil {
			r.t.Error(err)
		}
		r.daemon = nil
	}
}

func (r *rig) waitFor(what string, ok func() bool) {
	r.t.Helper()
	if !inprocess.Await(ok) {
		r.t.Fatalf("waited in vain for %s: %+v", what, r.daemon.Statuses())
	}
}

// equal waits until the target shows the script's rows.
func (r *rig) equal(tables ...pipelinetest.Table) {
	r.t.Helper()
	for _, t := range tables {
		r.waitFor("table "+t.Name.String(), func() bool { return r.same(t) })
	}
}

func (r *rig) same(t pipelinetest.Table) bool {
	reader, err := r.reader()
	if err != nil {
		r.t.Fatal(err)
	}
	defer reader.Close()
	got, err := verify.Compare(r.t.Context(), r.script.Reader(), reader, t.Name)
	return err == nil && got.Equal()
}

func (r *rig) pipeline(name string) pipeline.Status {
	for _, p := range r.daemon.Statuses() {
		if p.Name == name {
			return p
		}
	}
	return pipeline.Status{}
}

func (r *rig) table(t pipelinetest.Table) pipeline.TableStatus {
	s, _ := r.daemon.Table(t.Name.String())
	return s
}

// says waits until a text names every word, and shows what it said.
func (r *rig) says(what string, text func() string, words ...string) {
	r.t.Helper()
	last := ""
	ok := inprocess.Await(func() bool {
		last = text()
		for _, w := range words {
			if !strings.Contains(last, w) {
				return false
			}
		}
		return true
	})
	if !ok {
		r.t.Fatalf("%s says %q, and not all of %q", what, last, words)
	}
	r.t.Logf("%s: %s", what, last)
}

func sinkReason(t pipeline.TableStatus) string {
	if len(t.Sinks) == 0 {
		return ""
	}
	return t.Sinks[0].Reason
}
