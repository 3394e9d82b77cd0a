package runner_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/httpapi"
	"github.com/millrace/millrace/pipeline/pipelinetest"
)

// TestABrokerThatLostEverythingIsTakenUp replaces the broker by an empty one: its numbers
// begin again, far below what the target holds. Only a higher epoch gets past that.
func TestABrokerThatLostEverythingIsTakenUp(t *testing.T) {
	r := newRig(t)
	r.start()
	r.equal()
	r.streaming()
	for i := 2; i < 40; i++ {
		r.script.Commit(r.orders.Put(i, "in the target"), r.items.Put(i, "in the target"))
	}
	r.equal()
	r.stop()
	r.cluster.Replace(vfs.NewMem())
	r.script.Commit(r.orders.Put(2, "newer"), r.items.Delete(3))
	r.start()
	r.equal()
	r.streaming()
	if p := r.pipeline(); p.Position.Epoch < 2 {
		t.Errorf("epoch %d", p.Position.Epoch)
	}
	r.script.Commit(r.orders.Put(3, "goes on"), r.items.Put(4, "goes on"))
	r.equal()
}

// TestWhatIsPublishedArrivesWithoutTheSource stops the targets' side first, then the
// source: what the broker holds must reach the target all the same.
func TestWhatIsPublishedArrivesWithoutTheSource(t *testing.T) {
	r := newRig(t)
	r.start()
	r.equal()
	r.streaming()
	// Rows in every queue: the snapshot's last messages are in the target before them.
	r.script.Commit(r.orders.Put(10, "b"), r.orders.Put(11, "b"), r.orders.Put(12, "b"), r.orders.Put(13, "b"))
	r.equal()
	read := make(chan struct{}, 1)
	r.setFault(func(step string, table event.TableName) error {
		if step != "flush" || table != r.orders.Name {
			return nil
		}
		select {
		case read <- struct{}{}:
		default:
		}
		return pipeline.ErrUnwritable
	})
	r.script.Commit(r.orders.Put(2, "in the broker"))
	<-read // the target was given the row: the broker has it
	r.stop()
	r.setFault(nil)
	r.setSource(pipelinetest.SourceConfig{FailOpen: func() error { return errors.New("the server is away") }})
	r.start()
	r.equal()
}

// TestAStandingPipelineSaysHowToGoOn asks things of a pipeline whose history does not
// match: resuming tries again, a table's verb is refused with the reason.
func TestAStandingPipelineSaysHowToGoOn(t *testing.T) {
	r := newRig(t)
	r.start()
	r.equal()
	r.streaming()
	r.stop()
	r.script.Commit(r.orders.Put(2, "lost from the log"))
	r.script.Purge()
	r.start()
	stands := func() bool { return r.pipeline().State == pipeline.StatePaused }
	r.waitFor("the pause", stands)
	if why := r.pipeline().Reason; !strings.Contains(why, "millrace pipeline snapshot orders") {
		t.Errorf("no way out in %q", why)
	}
	if _, err := r.daemon.Do(t.Context(), "orders", "shop.orders", httpapi.Snapshot); !errors.Is(err, httpapi.ErrState) {
		t.Errorf("snapshot of one table: %v", err)
	}
	before := r.pipeline().Errors
	r.do("", httpapi.Resume)
	r.waitFor("another try", func() bool { return stands() && r.pipeline().Errors > before })
	r.do("", httpapi.Snapshot)
	r.equal()
}
