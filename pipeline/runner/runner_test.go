package runner_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/httpserve"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/httpapi"
	"github.com/millrace/millrace/pipeline/pipelinetest"
)

func TestASourceThatFailsIsOpenedAgain(t *testing.T) {
	r := newRig(t)
	left := 2
	r.setSource(pipelinetest.SourceConfig{FailNext: func(read int) error {
		if read >= 3 && left > 0 {
			left--
			return errors.New("the connection is gone")
		}
		return nil
	}})
	r.start()
	r.streaming()
	r.script.Commit(r.orders.Put(2, "b"))
	r.script.Commit(r.orders.Put(1, "a"), r.items.Delete(1))
	r.equal()
	if p := r.pipeline(); p.Errors != 2 || !strings.Contains(p.LastErr, "the connection is gone") {
		t.Errorf("%d errors, the last %q", p.Errors, p.LastErr)
	}
}

func TestAHistoryThatDoesNotMatchPausesThePipeline(t *testing.T) {
	r := newRig(t)
	r.start()
	r.equal()
	r.streaming()
	r.stop()
	r.script.Commit(r.orders.Put(2, "lost from the log"))
	r.script.Commit(r.orders.Delete(1))
	r.script.Purge()
	r.start()
	r.waitFor("the pause", func() bool { return r.pipeline().State == pipeline.StatePaused })
	if p := r.pipeline(); !strings.Contains(p.Reason, pipeline.ErrHistory.Error()) {
		t.Errorf("reason %q", p.Reason)
	}
	if err := r.daemon.Ready(); err == nil || !strings.Contains(err.Error(), "orders is paused") {
		t.Errorf("ready: %v", err)
	}
	if r.same(r.orders) {
		t.Error("it went on beyond the hole")
	}
	r.do("", httpapi.Snapshot)
	r.equal()
	r.streaming()
	r.script.Commit(r.items.Put(5, "goes on"))
	r.equal()
}

func TestAnotherServerRaisesTheEpoch(t *testing.T) {
	r := newRig(t)
	r.start()
	r.equal()
	r.streaming()
	r.stop()
	r.script.BecomeServer("server-2")
	r.script.Commit(r.orders.Put(2, "from the new server"), r.orders.Put(1, "changed"))
	r.start()
	r.equal()
	for _, m := range r.target.Marks(r.orders.Name) {
		if m.Seq.Epoch() < 2 {
			t.Errorf("queue %d is still in epoch %d", m.Queue.Queue, m.Seq.Epoch())
		}
	}
	if s := r.pipeline().Source.Server; s != "server-2" {
		t.Errorf("server %s", s)
	}
}

func TestAPausedTableLeavesOthersFlowing(t *testing.T) {
	r := newRig(t)
	r.start()
	r.equal()
	r.streaming()
	r.do("shop.orders", httpapi.Pause)
	r.waitFor("the pause", func() bool { return r.table(r.orders).State == pipeline.StatePaused })
	r.script.Commit(r.orders.Put(2, "not now"), r.items.Put(2, "now"))
	r.equal(r.items)
	if r.same(r.orders) {
		t.Error("the paused table goes on")
	}
	// Neither a new process nor a new opening takes it up behind what it missed.
	r.restart()
	r.waitFor("the pause again", func() bool { return r.table(r.orders).State == pipeline.StatePaused })
	r.script.Commit(r.orders.Put(3, "nor this"), r.items.Put(3, "now"))
	r.equal(r.items)
	if r.same(r.orders) {
		t.Error("the paused table goes on after a restart")
	}
	r.do("shop.orders", httpapi.Resume)
	r.equal()
	r.streaming()
	r.script.Commit(r.orders.Put(4, "again"))
	r.equal()
}

func TestATargetThatCannotBeWrittenLosesNothing(t *testing.T) {
	r := newRig(t)
	r.setFault(func(step string, table event.TableName) error {
		if step == "flush" && table == r.orders.Name {
			return fmt.Errorf("%w: the disk is full; free space", pipeline.ErrUnwritable)
		}
		return nil
	})
	r.start()
	r.waitFor("the pause of the target's table", func() bool {
		s := r.table(r.orders).Sinks
		return len(s) == 1 && s[0].State == pipeline.StatePaused && strings.Contains(s[0].Reason, "free space")
	})
	r.script.Commit(r.orders.Put(2, "waits"), r.items.Put(2, "goes on"))
	r.equal(r.items)
	if s := r.table(r.orders).Sinks[0]; s.Behind == 0 {
		t.Errorf("what waits for the target is not shown: %+v", s)
	}
	r.setFault(nil)
	r.equal()
	r.waitFor("running", func() bool { return r.table(r.orders).Sinks[0].State == pipeline.StateRunning })
	if g := r.table(r.orders).Sinks[0].Generation; g < 2 {
		t.Errorf("generation %d: the table was not claimed anew", g)
	}
}

// poisoned is a row that a target refuses.
func poisoned(_ event.TableName, row map[uint32]any) bool {
	for _, v := range row {
		if v == "poison" {
			return true
		}
	}
	return false
}

// TestARecordThatCannotBeAppliedIsGonePast: the table stands with the record named, the
// others go on; a snapshot that somebody asks for is the way past it, over a restart too.
func TestARecordThatCannotBeAppliedIsGonePast(t *testing.T) {
	r := newRig(t)
	r.target.Refuses = poisoned
	r.start()
	r.equal()
	r.streaming()
	r.script.Commit(r.orders.Put(2, "before"), r.orders.Put(3, "poison"), r.items.Put(2, "goes on"))
	stands := func() bool {
		s := r.table(r.orders).Sinks
		return len(s) == 1 && s[0].State == pipeline.StatePaused && s[0].Code == event.PauseRecord &&
			strings.Contains(s[0].Reason, "at offset") && strings.Contains(s[0].Reason, "shop.orders")
	}
	r.waitFor("the record to be named", stands)
	r.script.Commit(r.orders.Put(3, "good"), r.orders.Put(4, "behind"), r.items.Put(3, "goes on"))
	r.equal(r.items)
	r.waitFor("the record to stay named", stands)
	r.restart()
	r.waitFor("the record to be named again", stands)
	r.do("shop.orders", httpapi.Snapshot)
	r.equal()
	r.waitFor("running", func() bool {
		s := r.table(r.orders).Sinks[0]
		return s.State == pipeline.StateRunning && s.Reason == ""
	})
	r.script.Commit(r.orders.Put(5, "goes on"))
	r.equal()
}

// TestARecordRefusedBehindItsBeginIsGonePast: where a snapshot's own row can't be applied, the
// BEGIN in front of it leads only to it again; the next snapshot's does not.
func TestARecordRefusedBehindItsBeginIsGonePast(t *testing.T) {
	r := newRig(t)
	r.target.Refuses = poisoned
	r.script.Commit(r.orders.Put(3, "poison"))
	r.start()
	r.waitFor("the record to be named", func() bool {
		s := r.table(r.orders).Sinks
		return len(s) == 1 && s[0].Code == event.PauseRecord
	})
	r.equal(r.items)
	r.script.Commit(r.orders.Put(3, "good"))
	r.do("shop.orders", httpapi.Snapshot)
	r.equal()
	r.waitFor("running", func() bool { return r.table(r.orders).Sinks[0].State == pipeline.StateRunning })
}

func TestAnUnknownOutcomeIsReadBack(t *testing.T) {
	r := newRig(t)
	lost := 3
	r.setFault(func(step string, table event.TableName) error {
		if step == "committed" && table == r.orders.Name && lost > 0 {
			lost--
			return errors.New("the answer was lost")
		}
		return nil
	})
	r.start()
	r.equal()
	r.waitFor("nothing to be said to wait, which is in the target", func() bool { return r.table(r.orders).Sinks[0].Buffered == 0 })
	r.script.Commit(r.orders.Put(2, "b"))
	r.equal()
}

func TestWhatABrokerLostIsSnapshotAnew(t *testing.T) {
	r := newRig(t)
	r.start()
	r.equal()
	r.streaming()
	r.stop()
	old := r.cluster.Disk()
	r.start()
	r.script.Commit(r.orders.Put(2, "in the target only"), r.items.Put(2, "in the target only"))
	r.equal()
	r.stop()
	r.cluster.Replace(old) // it had acknowledged what is gone
	r.start()
	r.script.Commit(r.orders.Put(2, "newer"), r.orders.Delete(1))
	r.equal()
	r.streaming()
}

func TestAQueueThatWaitsGetsASnapshot(t *testing.T) {
	r := newRig(t)
	r.start()
	r.equal()
	r.streaming()
	begun := r.table(r.orders).Rows
	r.stop()
	r.target.Forge(r.orders.Name) // another identity stands at the mark
	var reasons sync.Map
	r.start()
	r.script.Commit(r.orders.Put(2, "b"), r.orders.Put(3, "c"), r.orders.Put(4, "d"))
	r.waitFor("the snapshot", func() bool {
		for _, s := range r.table(r.orders).Sinks {
			reasons.Store(s.Reason, true)
		}
		return r.same(r.orders)
	})
	r.streaming()
	if rows := r.table(r.orders).Rows; rows <= 3 {
		t.Errorf("%d rows after the restart, %d before: there was no snapshot", rows, begun)
	}
	r.waitFor("running", func() bool { return r.table(r.orders).Sinks[0].State == pipeline.StateRunning })
	reasons.Range(func(k, _ any) bool {
		if text := k.(string); text != "" && !strings.Contains(text, "waits for a new snapshot: LOST_TAIL") {
			t.Errorf("reason %q", text)
		}
		return true
	})
}

func TestATargetThatJoinsLaterGetsEverything(t *testing.T) {
	r := newRig(t)
	r.start()
	r.equal()
	r.streaming()
	r.stop()
	first := r.target
	r.target = pipelinetest.NewTarget()
	r.start()
	r.equal()
	if err := first.Err(); err != nil {
		t.Error(err)
	}
}

func TestFilesThatComeChangeAndGo(t *testing.T) {
	r := newRig(t)
	r.plan.Reload = 10 * time.Millisecond
	r.start()
	r.equal()
	made := func() int {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.specs)
	}
	before := made()
	r.plan.Write(t, "orders.yaml", strings.Replace(file, "rows: 20", "rows: 10", 1))
	r.waitFor("the pipeline with its new file", func() bool { return made() > before })
	r.script.Commit(r.orders.Put(2, "b"))
	r.equal()

	r.plan.Write(t, "orders.yaml", strings.Replace(file, "rows: 20", "rowz: 10", 1))
	r.plan.Write(t, "second.yaml", strings.Replace(file, "name: orders", "name: second", 1))
	r.waitFor("the second pipeline", func() bool { return len(r.daemon.Statuses()) == 2 })
	r.script.Commit(r.orders.Put(3, "under the file before the mistake"))
	r.waitFor("the first pipeline's row", func() bool { return r.pipeline().State == pipeline.StateRunning && r.same(r.orders) })

	r.plan.Write(t, "second.yaml", strings.Replace(file, "name: orders", "name: third", 1))
	r.waitFor("the renamed pipeline", func() bool {
		s := r.daemon.Statuses()
		return len(s) == 2 && s[0].Name == "orders" && s[1].Name == "third"
	})
	if _, err := r.daemon.Do(t.Context(), "third", "", httpapi.Pause); err != nil {
		t.Fatal(err)
	}
	r.plan.Remove(t, "second.yaml")
	r.waitFor("the removal of a paused pipeline", func() bool { return len(r.daemon.Statuses()) == 1 })
	r.plan.Remove(t, "orders.yaml")
	r.waitFor("the removal", func() bool { return len(r.daemon.Statuses()) == 0 })
}

func TestAPausedPipelineStaysSo(t *testing.T) {
	r := newRig(t)
	r.start()
	r.equal()
	r.do("", httpapi.Pause)
	r.script.Commit(r.orders.Put(2, "b"))
	r.restart()
	r.waitFor("the pause", func() bool { return r.pipeline().State == pipeline.StatePaused })
	var remark httpserve.Remark
	if err := r.daemon.Ready(); !errors.As(err, &remark) || string(remark) != "paused by request: pipeline orders" {
		t.Errorf("a pause that was asked for is no fault, and is named: %v", err)
	}
	if _, err := r.daemon.Do(t.Context(), "orders", "", httpapi.Snapshot); !errors.Is(err, httpapi.ErrState) {
		t.Errorf("snapshot of a paused pipeline: %v", err)
	}
	if r.same(r.orders) {
		t.Error("the paused pipeline went on")
	}
	r.do("", httpapi.Resume)
	if p := r.pipeline(); p.Name == "" {
		t.Error("the resumed pipeline is not known")
	}
	r.equal()
}

func TestVerbsNameWhatIsUnknown(t *testing.T) {
	r := newRig(t)
	r.start()
	r.equal()
	for _, c := range []struct{ name, table, want string }{
		{"nobody", "", `the pipeline "nobody" is unknown; there are orders`},
		{"orders", "shop.nothing", `the table "shop.nothing" of pipeline orders is unknown`},
	} {
		_, err := r.daemon.Do(t.Context(), c.name, c.table, httpapi.Snapshot)
		if !errors.Is(err, httpapi.ErrUnknown) || err.Error() != c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}
