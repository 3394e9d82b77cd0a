package runner_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/httpserve"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/httpapi"
	"github.com/millrace/millrace/pipeline/pipelinetest"
)

// TestLagGrowsWhileAnythingStands takes one thing away from a pipeline that is fresh: what a
// reader of the target sees grows older and says so, the states say why, and readiness says
// no unless somebody asked for it.
func TestLagGrowsWhileAnythingStands(t *testing.T) {
	var away, purged atomic.Bool
	for _, c := range []struct {
		name  string
		take  func(*rig)
		give  func(*rig)
		ready string // of what readiness says; a remark begins with "ready; "
	}{
		{"the source", func(*rig) { away.Store(true) }, func(*rig) { away.Store(false) }, "pipeline orders is retrying: "},
		{"the log", func(*rig) { purged.Store(true) }, func(r *rig) { purged.Store(false); r.do("", httpapi.Resume) }, "pipeline orders is paused: "},
		{"the broker", func(r *rig) { r.cluster.Down() }, func(r *rig) { r.cluster.Up() }, " is retrying"},
		{"the room in the target", func(r *rig) {
			r.setFault(func(string, event.TableName) error { return fmt.Errorf("no space: %w", pipeline.ErrUnwritable) })
			r.script.Commit(r.orders.Put(7, "more"))
		}, func(r *rig) { r.setFault(nil) }, "table shop.orders of pipeline orders is paused in sink check: "},
		{"the pipeline, by request", func(r *rig) { r.do("", httpapi.Pause) }, func(r *rig) { r.do("", httpapi.Resume) }, "ready; paused by request: pipeline orders"},
		{"the table, by request", func(r *rig) { r.do("shop.orders", httpapi.Pause) }, func(r *rig) { r.do("shop.orders", httpapi.Resume) },
			"ready; paused by request: table shop.orders of pipeline orders"},
	} {
		t.Run(c.name, func(t *testing.T) {
			away.Store(false)
			purged.Store(false)
			r := newRig(t)
			r.setSource(pipelinetest.SourceConfig{FailNext: func(int) error {
				switch {
				case away.Load():
					return errors.New("the server is away")
				case purged.Load():
					return fmt.Errorf("it was purged: %w", pipeline.ErrHistory)
				}
				return nil
			}})
			r.start()
			r.equal()
			r.streaming()
			one := func() pipeline.SinkSummary { return r.table(r.orders).Sinks[0] }
			r.waitFor("targets that are known to be fresh", func() bool {
				p := r.pipeline() // of both tables
				return p.Lag.Target.Below(30) && p.Lag.Current.Below(30)
			})
			c.take(r)
			r.waitFor("what readiness says", func() bool { return strings.Contains(readiness(r), c.ready) })
			stands := one()
			r.waitFor("a lag that grows", func() bool {
				now := one()
				if now.CompleteTo.Target.After(stands.CompleteTo.Target) { // it was on its way
					stands = now
				}
				return seconds(now.Lag.Target) > seconds(stands.Lag.Target)+2
			})
			r.waitFor("the pipeline as a whole", func() bool { p := r.pipeline(); return seconds(p.Lag.Target) > 2 && len(p.Tables) == 2 })
			if got := readiness(r); !strings.Contains(got, c.ready) {
				t.Errorf("readiness says %q", got)
			}
			c.give(r)
			r.waitFor("what is fresh again", func() bool {
				tables := r.table(r.orders).Sinks
				return len(tables) == 1 && tables[0].CompleteTo.Target.After(stands.CompleteTo.Target) && readiness(r) == "ready"
			})
			r.equal()
		})
	}
}

// readiness is what /readyz says of the pipelines.
func readiness(r *rig) string {
	err := r.daemon.Ready()
	var remark httpserve.Remark
	switch {
	case err == nil:
		return "ready"
	case errors.As(err, &remark):
		return "ready; " + string(remark)
	}
	return err.Error()
}

// TestASnapshotHasNoDataYet: until a table's first snapshot is in the target nobody knows
// how old what is there is.
func TestASnapshotHasNoDataYet(t *testing.T) {
	r := newRig(t)
	var hold atomic.Bool
	hold.Store(true)
	r.setFault(func(step string, _ event.TableName) error {
		if hold.Load() {
			return errors.New("not yet")
		}
		return nil
	})
	r.start()
	r.waitFor("a reader that is fresh", func() bool { return r.pipeline().Lag.Broker.Below(30) })
	if p := r.pipeline(); p.Lag.Target != (pipeline.Seconds{}) || p.Lag.Current != (pipeline.Seconds{}) {
		t.Errorf("before anything is in the target its lag is %v", p.Lag)
	}
	hold.Store(false)
	r.waitFor("a target that is fresh", func() bool { p := r.pipeline(); return p.Lag.Target.Below(30) && p.Lag.Current.Below(30) })
}

// TestAPausedPipelineKeepsWhatItShows: tables, place and how far the targets are, also for
// the daemon after.
func TestAPausedPipelineKeepsWhatItShows(t *testing.T) {
	r := newRig(t)
	r.start()
	r.equal()
	r.streaming()
	r.waitFor("targets that are known to be fresh",
		func() bool { p := r.pipeline(); return p.Lag.Target.Below(30) && p.Lag.Current.Below(30) })
	r.do("shop.items", httpapi.Pause)
	r.do("", httpapi.Pause)
	check := func(when string) time.Time {
		t.Helper()
		p := r.pipeline()
		if p.State != pipeline.StatePaused || p.Code != event.PauseRequest || p.Position.File != "script" ||
			p.Since.IsZero() || len(p.Tables) != 2 {
			t.Fatalf("%s: %+v", when, p)
		}
		for _, table := range p.Tables {
			if table.State != pipeline.StatePaused || len(table.Sinks) != 1 || table.Sinks[0].State != pipeline.StatePaused ||
				table.Sinks[0].CompleteTo.Target.IsZero() {
				t.Fatalf("%s: %+v", when, table)
			}
		}
		return r.table(r.orders).Sinks[0].CompleteTo.Target
	}
	at := check("paused")
	r.restart()
	r.waitFor("the pause", func() bool { return r.pipeline().State == pipeline.StatePaused })
	if again := check("after a restart"); !again.Equal(at) {
		t.Errorf("complete to %s, after a restart to %s", at, again)
	}
}

// TestAVerbIsAnsweredByWhatIsSoThen: a pipeline that was resumed takes the next verb, and a
// snapshot shows as due in the answer to the wish for it.
func TestAVerbIsAnsweredByWhatIsSoThen(t *testing.T) {
	r := newRig(t)
	r.start()
	r.equal()
	r.streaming()
	r.do("", httpapi.Pause)
	r.do("", httpapi.Resume)
	r.do("", httpapi.Snapshot)
	for _, table := range r.pipeline().Tables {
		// since it was resumed: shop.items has one row
		if read := table.State == pipeline.StateRunning && table.Rows > 0; table.State != pipeline.StateDue &&
			table.State != pipeline.StateSnapshot && !read {
			t.Errorf("after the wish for a snapshot: %+v", table)
		}
	}
	r.streaming()
	r.equal()
}
