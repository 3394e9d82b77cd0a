package clickhouse

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/millrace/millrace/sinks/clickhouse/ddl"
)

// leastLeft is how long a table that the view no longer shows stays at least: queries that
// began before the view was changed still read it.
const leastLeft = time.Minute

// retire removes the tables that the view has ceased to show, once the ledger can't go back to
// the time when it did: a server that starts anew may have lost what it acknowledged within the
// rewind. The table goes first, then its entry: what dies between the two is done again.
func (t *Table) retire(ctx context.Context) error {
	shown := shownAt(t.rec.Stores, t.whole())
	if shown <= 0 {
		return nil
	}
	now, err := t.serverNow(ctx)
	if err != nil {
		return err
	}
	rec, kept, changed := *t.rec, []store(nil), false
	for i := range rec.Stores {
		s := rec.Stores[i].clone()
		switch {
		case i >= shown:
		case s.Left == 0 || now.Before(time.UnixMicro(s.Left)):
			s.Left, changed = now.UnixMicro(), true
		case now.Sub(time.UnixMicro(s.Left)) >= max(t.sink.cfg.Rewind.D(), leastLeft):
			name := s.name(t.target)
			if err := t.exec(ctx, fmt.Sprintf("DROP TABLE IF EXISTS %s SETTINGS max_table_size_to_drop = 0", name)); err != nil {
				return fmt.Errorf("drop %s, which no view shows any more: %w", name.Plain(), err)
			}
			t.log.Info("a table that the view no longer shows was removed", slog.String("removed", name.Plain()))
			changed = true
			continue
		}
		kept = append(kept, s)
	}
	if !changed {
		return nil
	}
	rec.Stores = kept
	if err := t.writeRecord(ctx, &rec); err != nil {
		return err
	}
	t.keep(&rec)
	return nil
}

// keep takes over what was written to the ledger beside the stream, while the batch is empty.
func (t *Table) keep(rec *record) {
	t.rec = rec
	t.reset()
}

// serverNow is the time by the server's clock, as its entries of the ledger have it.
func (t *Table) serverNow(ctx context.Context) (now time.Time, err error) {
	micros := int64(0)
	err = t.sink.conn.Query(ctx, t.comment(), "SELECT toUnixTimestamp64Micro(now64(6))",
		func(scan func(...any) error) error { return scan(&micros) })
	return time.UnixMicro(micros), err
}

// checkViews puts a view right that another program, or a late statement of an owner that was
// replaced, has defined otherwise.
func (t *Table) checkViews(ctx context.Context) error {
	for name := range t.shown {
		text, err := t.definition(ctx, name)
		if err != nil {
			return err
		}
		if text != t.defined[name] {
			t.log.Warn("the view was defined otherwise than this sink does; it is put right", slog.String("view", name.Plain()))
			delete(t.shown, name)
		}
	}
	return t.showNow(ctx)
}

// definition is a view's query as the server has it.
func (t *Table) definition(ctx context.Context, view ddl.Name) (text string, err error) {
	err = t.sink.conn.Query(ctx, t.comment(), "SELECT as_select FROM system.tables WHERE database = ? AND name = ?",
		func(scan func(...any) error) error { return scan(&text) }, view.Database, view.Table)
	return text, err
}
