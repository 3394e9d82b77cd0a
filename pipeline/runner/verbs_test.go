package runner_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/httpapi"
	"github.com/millrace/millrace/pipeline/pipelinetest"
)

// TestAVerbOnAllDoesWhatCanBeDone: of a pipeline's tables one flows, one is paused, and one
// the file does not take in. Each verb does what it can, and says of every table what became
// of it.
func TestAVerbOnAllDoesWhatCanBeDone(t *testing.T) {
	r := newRig(t)
	_, names := r.leaveOut(t)
	says := func(verb string, want ...string) {
		t.Helper()
		outcomes, err := r.daemon.Do(t.Context(), "orders", "", verb)
		if err != nil || len(outcomes) != len(want) {
			t.Fatalf("%s: %v, %+v", verb, err, outcomes)
		}
		for i, o := range outcomes {
			if got := fmt.Sprintf("%s %s %s", o.Table, o.Result, o.Reason); o.Table != names[i] || !strings.Contains(got, want[i]) {
				t.Errorf("%s: %q, want %q", verb, got, want[i])
			}
		}
	}
	r.do("shop.items", httpapi.Pause)
	says(httpapi.Snapshot, "shop.items refused table shop.items is paused; resume it, which reads it anew: by request", "unchanged table shop.left is not captured any more", "shop.orders done ")
	if s := r.table(r.items); s.State != pipeline.StatePaused {
		t.Errorf("the paused table is %+v", s)
	}
	says(httpapi.Resume, "shop.items done ", "shop.left unchanged table shop.left is not captured any more", "shop.orders unchanged table shop.orders is not paused")
	r.waitFor("all that is captured to flow", func() bool {
		return r.table(r.items).State == pipeline.StateRunning && r.table(r.orders).State == pipeline.StateRunning
	})
	says(httpapi.Resume, "shop.items unchanged ", "shop.left unchanged ", "shop.orders unchanged ")
	r.equal()
}

// leaveOut starts the rig with a third table that its file takes in no longer.
func (r *rig) leaveOut(t *testing.T) (left string, names []string) {
	t.Helper()
	r.script = pipelinetest.NewScript()
	r.orders, r.items = r.script.Table("shop", "orders", 2, true), r.script.Table("shop", "items", 1, true)
	third := r.script.Table("shop", "left", 1, true)
	r.script.Commit(r.orders.Put(1, "a"), r.items.Put(1, "a"), third.Put(1, "a"))
	r.start()
	r.equal(r.orders, r.items, third)
	r.stop()
	cfg := r.cfg
	cfg.Captures = func(name event.TableName) bool { return name != third.Name }
	r.setSource(cfg)
	r.start()
	r.waitFor("a table that is left out", func() bool {
		return r.table(third).State == pipeline.StateExcluded && r.table(r.orders).State == pipeline.StateRunning && r.table(r.items).State == pipeline.StateRunning
	})
	return third.Name.String(), []string{"shop.items", "shop.left", "shop.orders"}
}
