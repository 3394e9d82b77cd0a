package broker

import (
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/remoting/protocol"
)

// TestAFullDiskRefusesAndRecovers fills the disk under a broker and makes space again.
func TestAFullDiskRefusesAndRecovers(t *testing.T) {
	var full atomic.Bool
	fsys := errorfs.Wrap(vfs.OS(), errorfs.Func(func(op errorfs.Op) errorfs.Action {
		if full.Load() && (op.Kind == errorfs.WriteAt || op.Kind == errorfs.Create) {
			return errorfs.Action{Err: syscall.ENOSPC}
		}
		return errorfs.Action{}
	}))
	r := newRigOn(t, fsys, func(c *Config) { c.SyncFlushTimeout = 50 })
	r.send("orders", 0, "before", nil)

	full.Store(true)
	var codes []int
	waitFor(t, "code 14", func() bool {
		ans := r.call(protocol.SendMessageV2, sendHeader("orders", 0, nil), []byte("refused"))
		codes = append(codes, ans.Code)
		return ans.Code == protocol.ServiceNotAvailable && strings.Contains(ans.Remark, "disk is full")
	})
	for _, code := range codes {
		// Who came just before it was noticed hears that the outcome is unknown.
		if code != protocol.FlushDiskTimeout && code != protocol.ServiceNotAvailable {
			t.Errorf("codes %v", codes)
		}
	}
	if ans := r.call(protocol.SendMessageV2, sendHeader("fresh", 0, nil), nil); ans.Code != protocol.ServiceNotAvailable {
		t.Errorf("a topic that cannot be created: %v", protocol.AsError(ans))
	}
	waitFor(t, "what was stored before", func() bool { return strings.HasPrefix(r.pull(pullHeader("orders", 0, 0)).bodies, "before") })

	full.Store(false)
	waitFor(t, "recovery", func() bool {
		return r.call(protocol.SendMessageV2, sendHeader("orders", 0, nil), []byte("after")).Code == protocol.Success
	})
	waitFor(t, "the message after", func() bool { return strings.HasSuffix(r.pull(pullHeader("orders", 0, 0)).bodies, "after") })
}
