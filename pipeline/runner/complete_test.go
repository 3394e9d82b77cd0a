package runner_test

import (
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
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

// TestATableThatIsNeverReadSaysSo: without a snapshot the target lacks what the table held
// before, so its lag is not known, whatever came since; and that is said.
func TestATableThatIsNeverReadSaysSo(t *testing.T) {
	r, lake := onLake(t)
	r.plan.Snapshot = pipeline.SnapshotNever
	r.start()
	r.waitFor("a table that runs", func() bool {
		return r.table(r.orders).State == pipeline.StateRunning && r.table(r.items).State == pipeline.StateRunning
	})
	r.script.Commit(r.orders.Put(2, "came"))
	rows := func(n uint64) func() bool {
		return func() bool {
			s := r.table(r.orders).Sinks
			return len(s) == 1 && s[0].Total != nil && *s[0].Total == n
		}
	}
	r.waitFor("what came", rows(1))
	water := r.pipeline().CompleteTo.Broker
	for range 3 { // watermarks that would prove it, if it had been whole
		r.waitFor("a later watermark", func() bool { return r.pipeline().CompleteTo.Broker.After(water) })
		water = r.pipeline().CompleteTo.Broker
	}
	s := r.table(r.orders).Sinks[0]
	if _, known := s.Lag.Target.Value(); known || !strings.Contains(s.LagUnknown, "never read as a whole") ||
		!s.CompleteTo.Current.IsZero() || !completeTo(t, lake, r.orders).IsZero() {
		t.Errorf("of a table that was never read: %+v", s)
	}
	r.do("shop.orders", httpapi.Snapshot)
	r.waitFor("a lag that is known", func() bool {
		s := r.table(r.orders).Sinks[0]
		_, known := s.Lag.Current.Value()
		return known && s.LagUnknown == ""
	})
	if s := r.table(r.items).Sinks[0]; s.LagUnknown == "" {
		t.Errorf("of the other table: %+v", s)
	}
}

// TestTwoSinksEachAtItsPace: one of two targets can't be written. The other is fresh, and says
// so; what is said of the table and the pipeline is what the slower one has.
func TestTwoSinksEachAtItsPace(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	head, _, _ := strings.Cut(file, "- {name: check")
	one := strings.NewReplacer("lake,", "one,", "LAKE", filepath.Join(dir, "one")).Replace(lakeSink)
	two := strings.NewReplacer("lake,", "two,", "LAKE", filepath.Join(dir, "two")).Replace(lakeSink)
	r.plan.Write(t, "orders.yaml", head+"- "+one+"- "+two)
	var fault errorfs.Script
	r.plan.Disk = errorfs.Wrap(vfs.OS(), &fault)
	r.start()
	r.streaming()
	sink := func(name string) pipeline.SinkSummary {
		for _, s := range r.table(r.orders).Sinks {
			if s.Sink == name {
				return s
			}
		}
		return pipeline.SinkSummary{}
	}
	has := func(name string, rows uint64) bool { s := sink(name); return s.Total != nil && *s.Total == rows }
	r.waitFor("both to be fresh", func() bool { return sink("one").Lag.Current.Below(30) && sink("two").Lag.Current.Below(30) })
	fault.Set(errorfs.Rule{Kind: errorfs.Create, Path: "/two/", Action: errorfs.Action{Err: syscall.ENOSPC}})
	r.script.Commit(r.orders.Put(2, "new"))
	r.waitFor("the one that stands", func() bool { return sink("two").Code == event.PauseTarget })
	stood := sink("two").CompleteTo
	r.waitFor("the other to go on", func() bool {
		s := sink("one")
		return has("one", 2) && s.State == pipeline.StateRunning && s.CompleteTo.Current.After(stood.Current)
	})
	for _, when := range []string{"in one process", "after a restart"} {
		r.waitFor(when, func() bool {
			items := r.table(r.items).Sinks
			return sink("two").Code == event.PauseTarget && sink("one").State == pipeline.StateRunning && len(items) == 2 &&
				items[0].State == pipeline.StateRunning
		})
		p := r.pipeline()
		if s := sink("two"); s.CompleteTo.Target.After(stood.Target) || p.CompleteTo.Target.After(s.CompleteTo.Target) ||
			p.State != pipeline.StateRunning ||
			r.table(r.orders).State != pipeline.StateRunning || len(p.Sinks) != 2 {
			t.Errorf("%s: stood at %+v, %+v", when, stood, p)
		}
		if why := readiness(r); !strings.Contains(why, "in sink two") || strings.Contains(why, "in sink one") {
			t.Errorf("%s readiness says %q", when, why)
		}
		r.restart()
	}
	fault.Set()
	r.waitFor("both to have all", func() bool { return has("one", 2) && has("two", 2) && sink("two").State == pipeline.StateRunning })
	r.waitFor("readiness", func() bool { return readiness(r) == "ready" })
	r.waitFor("both to be fresh again", func() bool {
		return sink("one").CompleteTo.Current.After(stood.Current) && sink("two").CompleteTo.Current.After(stood.Current)
	})
}
