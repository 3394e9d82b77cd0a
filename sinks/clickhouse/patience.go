package clickhouse

import (
	"context"
	"log/slog"
	"time"

	"github.com/millrace/millrace/internal/pause"
	"github.com/millrace/millrace/sinks/clickhouse/server"
)

// tooManyParts is the code of a server whose merges don't keep up with inserts. It says so before
// it takes anything.
const tooManyParts = 252

// The time between two tries of what a server with too many parts does not take.
const (
	firstWait = time.Second / 4
	lastWait  = 15 * time.Second
)

// patiently sends rows or marks until the server's merges have caught up. It is no failure: what
// comes meanwhile waits in the broker, and the table says why. What is sent may be sent twice.
func (t *Table) patiently(ctx context.Context, send func() error) error {
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		err := send()
		if server.Code(err) != tooManyParts {
			if wait > firstWait {
				t.held("")
			}
			return err
		}
		if wait == firstWait {
			t.log.Warn("the target has too many parts; rows wait until it has merged some", slog.Any("error", err))
		}
		t.held(err.Error())
		if err := pause.For(ctx, wait); err != nil {
			return err
		}
		t.sink.metrics.heldBack.WithLabelValues(t.labels()...).Add(wait.Seconds())
	}
}

func (t *Table) held(reason string) {
	if t.claim.Held != nil {
		t.claim.Held(reason)
	}
}
