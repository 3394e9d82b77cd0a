package mysql

import (
	"testing"
	"time"

	"github.com/millrace/millrace/pipeline/event"
)

// TestATimeAheadIsNotBelievedBehindTheLogsEnd has a session give its transactions a time
// that has come, while the reader is before the place where the log ended earlier.
func TestATimeAheadIsNotBelievedBehindTheLogsEnd(t *testing.T) {
	ts, _ := stillTables(t, true)
	source, err := New(*ts.cfg, ts.log, nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UnixMicro()
	for _, c := range []struct{ pos, want uint64 }{{10, uint64(now) - 9}, {20, uint64(now) - 1}, {30, uint64(now) - 1}} {
		r := reader{pulse: newPulse(t.Context(), source, ts.db), boundary: event.Position{File: "f", Pos: c.pos}}
		r.pulse.pending.Store(&proof{end: place{file: "f", pos: 20}, at: now - 9})
		if r.passTime(now - 1); r.boundary.Time != int64(c.want) {
			t.Errorf("at %d the time is %d, want %d", c.pos, r.boundary.Time, c.want)
		}
	}
}
