package runner_test

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/broker"
	"github.com/millrace/millrace/e2e/inprocess"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/httpapi"
)

// TestTheBrokersLimitHolds asks the broker what it takes: a row above that pauses its
// table by the row's key, one below flows, whatever RocketMQ's default is.
func TestTheBrokersLimitHolds(t *testing.T) {
	for _, limit := range []int{64 << 10, 6 << 20} {
		r := newRigOn(t, inprocess.New(t, func(c *broker.Config) { c.MaxMessageSize, c.MappedFileSizeCommitLog = int32(limit), 32<<20 }))
		r.start()
		r.equal()
		r.streaming()
		r.script.Commit(r.orders.Put(7, strings.Repeat("x", limit-8<<10)), r.items.Put(7, "beside it"))
		r.equal()
		r.script.Commit(r.orders.Put(8, strings.Repeat("y", limit)), r.items.Put(8, "beside it"))
		r.waitFor("the pause", func() bool { return r.table(r.orders).State == pipeline.StatePaused })
		if why := r.table(r.orders).Reason; !strings.Contains(why, "oversize: the row 8 ") || !strings.Contains(why, "maxMessageSize") {
			t.Errorf("reason %q", why)
		}
		r.script.Commit(r.items.Put(9, "goes on"))
		r.equal(r.items)
		r.script.Commit(r.orders.Delete(8), r.items.Put(10, "passed with it"))
		r.equal(r.items) // the row as it was is read while the table is paused
		r.do("shop.orders", httpapi.Resume)
		r.equal()
		r.streaming()
		r.stop()
	}
}
