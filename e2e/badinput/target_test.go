package badinput

import (
	"errors"
	"io/fs"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/e2e/inprocess"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/httpapi"
)

// TestATableWhoseDiskRefuses gives one table of the lake a full disk, then one that may
// not be written.
func TestATableWhoseDiskRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		words []string
	}{
		"a full disk":          {syscall.ENOSPC, []string{"no space left", "free space on the disk"}},
		"a missing permission": {fs.ErrPermission, []string{"permission denied", "give this user write permission"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.start()
			r.equal(r.orders, r.items)
			r.setFault(func(op errorfs.Op) error {
				if op.Kind.Changes() && strings.Contains(op.Path, "shop.orders") {
					return c.err
				}
				return nil
			})
			r.script.Commit(r.orders.Put(2, "waits"), r.items.Put(2, "goes on"))
			r.says("the table", func() string { return sinkReason(r.table(r.orders)) }, append(c.words, "shop.orders")...)
			r.script.Commit(r.orders.Put(3, "waits too"), r.items.Put(3, "goes on"))
			r.equal(r.items)
			r.setFault(nil)
			r.equal(r.orders)
			r.waitFor("running", func() bool { return r.table(r.orders).Sinks[0].State == pipeline.StateRunning })
		})
	}
}

// TestABrokerWhoseDiskIsFull fills the broker's disk under a running pipeline.
func TestABrokerWhoseDiskIsFull(t *testing.T) {
	r := newRig(t)
	var full atomic.Bool
	r.cluster.Down()
	r.cluster.Inject(errorfs.Func(func(op errorfs.Op) errorfs.Action {
		if full.Load() {
			if op.Kind == errorfs.DiskUsage {
				return errorfs.Action{Usage: &vfs.Usage{Total: 100, Free: 1}}
			}
			if op.Kind == errorfs.Create || op.Kind == errorfs.WriteAt {
				return errorfs.Action{Err: syscall.ENOSPC}
			}
		}
		return errorfs.Action{}
	}))
	r.cluster.Up()
	r.start()
	r.equal(r.orders, r.items)
	full.Store(true)
	r.script.Commit(r.orders.Put(2, "waits in the source"))
	r.says("the pipeline", func() string { return r.pipeline("orders").LastErr }, "disk")
	r.script.Commit(r.orders.Put(3, "waits in the source"), r.items.Delete(1))
	full.Store(false)
	r.equal(r.orders, r.items)
}

// TestARowAboveTheMessageLimit pauses its table and names the row.
func TestARowAboveTheMessageLimit(t *testing.T) {
	r := newRig(t)
	r.start()
	r.equal(r.orders, r.items)
	r.script.Commit(r.orders.Put(77, strings.Repeat("x", 5<<20)), r.items.Put(2, "goes on"))
	r.says("the table", func() string { return r.table(r.orders).Reason }, "oversize", "77", "shop.orders", "raise maxMessageSize")
	r.script.Commit(r.orders.Put(3, "after it"), r.items.Put(3, "goes on"))
	r.equal(r.items)
	r.script.Commit(r.orders.Delete(77)) // the statement's row is as large: it must be behind the reader
	r.waitFor("the reader", func() bool { return r.pipeline("orders").Position.Pos == uint64(r.script.Len()) })
	if _, err := r.daemon.Do(t.Context(), "orders", "shop.orders", httpapi.Resume); err != nil {
		t.Fatal(err)
	}
	r.equal(r.orders)
	r.script.Commit(r.orders.Put(4, "goes on"))
	r.equal(r.orders)
}

// TestAConsumerOffsetBeyondTheLog moves the sink's offset far beyond what its queues hold
// and back to their beginning: the target's marks decide.
func TestAConsumerOffsetBeyondTheLog(t *testing.T) {
	r := newRig(t)
	r.start()
	r.equal(r.orders, r.items)
	for _, offset := range []int64{1 << 40, 0} {
		r.stop()
		reader, err := client.NewReader(client.WithNameServers(r.cluster.Names), client.WithGroup(event.SinkGroup("orders", "lake")))
		if err == nil {
			err = reader.Start(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			q := message.Queue{Topic: event.TopicName("orders", r.orders.Name), BrokerName: inprocess.BrokerName, QueueID: int32(i)}
			if err := reader.CommitOffset(t.Context(), q, offset); err != nil {
				t.Logf("offset %d is refused: %v", offset, err)
			}
			var above *client.OffsetAboveError
			if _, err := reader.Pull(t.Context(), q, 1<<40, client.PullOptions{}); !errors.As(err, &above) ||
				!strings.Contains(err.Error(), "offset") {
				t.Errorf("a pull beyond the log: %v", err)
			}
		}
		if err := reader.Close(t.Context()); err != nil {
			t.Error(err)
		}
		r.script.Commit(r.orders.Put(int(offset&7)+10, "is not skipped"), r.orders.Put(int(offset&7)+20, "nor this"))
		r.start()
		r.equal(r.orders, r.items)
	}
}
