package clickhouse

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/millrace/millrace/internal/pause"
	"github.com/millrace/millrace/sinks/clickhouse/ddl"
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

// outlast waits, where the server has refused a block because of too many parts, until it takes
// inserts into the table again, and says then what was refused: the block is given up while it
// is sent, and the next claim reads its rows again. What comes meanwhile waits in the broker.
func (t *Table) outlast(ctx context.Context, table ddl.Name, refused error) error {
	t.held(refused.Error())
	defer t.held("")
	none := fmt.Sprintf("INSERT INTO %s SELECT * FROM %[1]s WHERE 0", table)
	if err := t.patiently(ctx, func() error { return t.exec(ctx, none) }); err != nil {
		return err
	}
	return refused
}

// patiently does what the server is to do until its merges have caught up. It is no failure, and
// the table says why it waits. What is done may be done twice.
func (t *Table) patiently(ctx context.Context, do func() error) error {
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		err := do()
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
