package runner_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/httpapi"
	"github.com/millrace/millrace/pipeline/pipelinetest"
)

// holdable lets a test hold the source before it looks at what was asked for: while a
// channel is stored. When that is closed the opening ends.
func (r *rig) holdable() *atomic.Pointer[chan struct{}] {
	var gate atomic.Pointer[chan struct{}]
	r.setSource(pipelinetest.SourceConfig{FailNext: func(int) error {
		held := gate.Load()
		if held == nil {
			return nil
		}
		<-*held
		gate.CompareAndSwap(held, nil)
		return errors.New("the connection is gone")
	}})
	return &gate
}

// crash goes on in a new process from what the broker has at this moment.
func (r *rig) crash(after ...func()) {
	r.t.Helper()
	disk := r.cluster.Disk()
	for _, f := range after {
		f()
	}
	r.stop()
	r.cluster.Replace(disk)
	r.start()
	r.waitFor("the pipeline after the crash", func() bool {
		p := r.pipeline()
		return p.State == pipeline.StateRunning && len(p.Tables) == 2
	})
}

// TestAVerbOnATableOutlivesACrash kills the process behind each answer.
func TestAVerbOnATableOutlivesACrash(t *testing.T) {
	r := newRig(t)
	gate := r.holdable()
	r.start()
	r.equal()
	r.streaming()

	r.do("shop.orders", httpapi.Pause)
	r.crash()
	if s := r.table(r.orders); s.State != pipeline.StatePaused {
		t.Errorf("the pause was forgotten: %+v", s)
	}
	r.script.Commit(r.orders.Put(2, "missed"), r.items.Put(2, "now"))
	r.equal(r.items)
	if _, err := r.daemon.Do(t.Context(), "orders", "shop.orders", httpapi.Snapshot); !errors.Is(err, httpapi.ErrState) {
		t.Errorf("a snapshot of a paused table: %v", err)
	}

	r.do("shop.orders", httpapi.Resume)
	r.crash()
	if s := r.table(r.orders); s.State == pipeline.StatePaused {
		t.Errorf("the resumption was forgotten: %+v", s)
	}
	r.equal()
	r.streaming()

	held := make(chan struct{})
	gate.Store(&held)
	r.do("shop.orders", httpapi.Snapshot)
	r.crash(func() { close(held) })
	r.waitFor("the snapshot", func() bool { return r.table(r.orders).Rows > 0 })
	r.equal()
	r.streaming()
}

// TestAVerbThatIsNotRecordedSaysSo pauses a table while the source does not get to it: the
// end of the opening is the end of the waiting, and the next one carries the pause out.
func TestAVerbThatIsNotRecordedSaysSo(t *testing.T) {
	r := newRig(t)
	gate := r.holdable()
	r.start()
	r.equal()
	r.streaming()
	held, answer := make(chan struct{}), make(chan error, 1)
	gate.Store(&held)
	go func() {
		_, err := r.daemon.Do(t.Context(), "orders", "shop.orders", httpapi.Pause)
		answer <- err
	}()
	r.waitFor("the pause", func() bool { return r.table(r.orders).State == pipeline.StatePaused })
	close(held)
	if err := <-answer; !errors.Is(err, httpapi.ErrPending) || !strings.Contains(err.Error(), "ask again") {
		t.Errorf("a pause that is not recorded: %v", err)
	}
	r.waitFor("another opening", func() bool { return r.pipeline().Errors > 0 && r.pipeline().State == pipeline.StateRunning })
	r.do("shop.orders", httpapi.Pause)
	r.crash()
	if s := r.table(r.orders); s.State != pipeline.StatePaused {
		t.Errorf("the pause was forgotten: %+v", s)
	}
}
