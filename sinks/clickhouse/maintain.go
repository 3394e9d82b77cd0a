package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/sinks/clickhouse/ddl"
	"github.com/millrace/millrace/sinks/clickhouse/server"
)

// fenceEvery is how often the fence is looked at.
const fenceEvery = time.Minute

// Maintain does what is due beside the stream, where nothing waits for a Flush: it sees that the
// fence is closed and the view is as it should be, and removes what no reader sees any more.
func (t *Table) Maintain(ctx context.Context) error {
	if t.broken != nil {
		return t.broken
	}
	if !t.batch.empty() {
		return nil
	}
	if now := t.sink.now(); now.Sub(t.fenced) >= fenceEvery || now.Before(t.fenced) {
		t.fenced = now
		if err := t.checkFence(ctx); err != nil {
			return t.later("look at the fence", err)
		}
		if err := t.checkViews(ctx); err != nil {
			return t.later("look at the view", err)
		}
		if err := t.retire(ctx); err != nil {
			return t.later("remove a table that no view shows", err)
		}
		if err := t.sweep(ctx); err != nil {
			return t.later("remove deleted rows", err)
		}
	}
	if t.led.Floor > t.rec.Cleaned && t.shape.Mode != Changelog {
		if err := t.clean(ctx); err != nil {
			return t.later("remove rows below the floor", err)
		}
	}
	if err := t.ensureSigns(ctx); err != nil {
		return t.later("make the table of signs", err)
	}
	if err := t.settle(ctx); err != nil {
		return t.fail(err) // a statement of it may still run
	}
	t.trouble = ""
	return nil
}

// later notes what failed beside the stream and is tried again.
func (t *Table) later(what string, err error) error {
	if errors.Is(err, pipeline.ErrSuperseded) || errors.Is(err, server.ErrRestarted) {
		return t.fail(err)
	}
	t.trouble = fmt.Sprintf("%s: %v", what, err)
	t.log.Warn("background work on the target will be tried again", slog.String("work", what), slog.Any("error", err))
	return nil
}

// Trouble is what fails beside the stream.
func (t *Table) Trouble() string { return t.trouble }

// checkFence closes lower generations again where somebody has emptied the fence.
func (t *Table) checkFence(ctx context.Context) error {
	open, err := t.stillOpen(ctx)
	if err != nil || len(open) == 0 {
		return err
	}
	t.log.Error("the fence was opened by another program: let nobody change the control database", slog.Int("generations", len(open)))
	return t.closeLower(ctx)
}

// clean has the server remove what no reader sees any more. The marks do not count on these
// rows: the entry of the ledger that raised the floor said so.
func (t *Table) clean(ctx context.Context) error {
	shown := shownAt(t.rec.Stores, t.whole())
	for i := range t.rec.Stores {
		if i < shown && t.shape.Deletes.keeps() {
			continue // what was kept in it may have to be copied again, and the table goes as a whole
		}
		err := t.exec(ctx, fmt.Sprintf("DELETE FROM %s WHERE %s < ? SETTINGS lightweight_deletes_sync = 0", t.rec.Stores[i].name(t.target),
			ddl.Ident(ddl.Seq)), uint64(t.led.Floor))
		if err != nil && !isMissing(err) {
			return err
		}
	}
	rec := *t.rec
	rec.Cleaned = t.led.Floor
	if err := t.writeRecord(ctx, &rec); err != nil {
		return err
	}
	t.keep(&rec)
	return nil
}
