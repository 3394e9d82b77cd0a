package runner_test

import (
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/httpapi"
	"github.com/millrace/millrace/pipeline/pipelinetest"
	"github.com/millrace/millrace/sinks/parquet/readback"
)

const lakeSink = "{name: lake, type: parquet, path: LAKE, flush: {rows: 1, bytes: 1MiB, interval: 10ms}, current: {interval: 50ms}}\n"

// onLake is a rig whose sink is a lake.
func onLake(t *testing.T) (r *rig, lake string) {
	r = newRig(t)
	lake = filepath.Join(t.TempDir(), "lake")
	head, _, _ := strings.Cut(file, "- {name: check")
	r.plan.Write(t, "orders.yaml", head+"- "+strings.Replace(lakeSink, "LAKE", lake, 1))
	r.plan.Heartbeat = 10 * time.Millisecond
	return r, lake
}

// completeTo is what the lake itself says of a table.
func completeTo(t *testing.T, lake string, table pipelinetest.Table) time.Time {
	t.Helper()
	at, err := readback.New(lake, "orders").CompleteTo(t.Context(), table.Name)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// TestAResumedTableIsNotCompleteBeforeItsSnapshot: heartbeats go on while its snapshot is owed,
// and neither the lake nor the status takes them for the time up to which it has everything.
func TestAResumedTableIsNotCompleteBeforeItsSnapshot(t *testing.T) {
	r, lake := onLake(t)
	var open atomic.Bool
	open.Store(true)
	r.setSource(pipelinetest.SourceConfig{Snapshots: open.Load})
	r.start()
	r.streaming()
	n := 1
	// heartbeat has one come into the queues of orders: its number is that of a transaction
	// which is not of the table.
	heartbeat := func() {
		t.Helper()
		before := r.table(r.orders).Sinks[0].Flushes
		n++
		r.script.Commit(r.items.Put(n, "goes on"))
		r.waitFor("a heartbeat in the lake", func() bool { return r.table(r.orders).Sinks[0].Flushes > before })
	}
	fresh := func(since time.Time) func() bool {
		return func() bool {
			return completeTo(t, lake, r.orders).After(since) && r.table(r.orders).Sinks[0].CompleteTo.Current.After(since)
		}
	}
	began := time.Now()
	heartbeat()
	r.waitFor("a lake that is complete", fresh(began))
	open.Store(false)
	r.do("shop.orders", httpapi.Pause)
	r.script.Commit(r.orders.Put(2, "left out"))
	r.do("shop.orders", httpapi.Resume)
	resumed := time.Now()
	if s := r.table(r.orders); s.State != pipeline.StateDue || s.Reason != "resumed" {
		t.Errorf("the resumed table is %+v", s)
	}
	for range 3 {
		heartbeat()
	}
	if at := completeTo(t, lake, r.orders); !at.Before(resumed) {
		t.Errorf("the lake is complete to %s without the row that was left out; resumed at %s", at, resumed)
	}
	if s := r.table(r.orders).Sinks[0]; !s.CompleteTo.Target.Before(resumed) || !s.CompleteTo.Current.Before(resumed) {
		t.Errorf("the status says %+v; resumed at %s", s, resumed)
	}
	open.Store(true)
	r.waitFor("running", func() bool { return r.table(r.orders).State == pipeline.StateRunning })
	heartbeat()
	r.waitFor("a lake that is complete again", fresh(resumed))
}
