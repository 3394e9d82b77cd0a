package clickhouse

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/clickhouse/ddl"
)

// Deleted rows go from the disk, a part of them at a time. A deletion hides the versions of its
// row, which may lie in other parts, so it can't go before they are gone for certain:
//
//  1. the ledger has from which number down is looked, and that a mark proves nothing there;
//  2. the server removes the versions that a deletion hides, which no reader sees;
//  3. the ledger has when that was done;
//  4. when the rewind has passed, so that a server that loses what it did last still has
//     done that, the server removes the deletions under which nothing is left.
//
// The statements look for themselves at what is there, so that each can come late, twice or
// never. Rows can't come back: below the number nothing is sent again, but for a queue that
// goes back to where its rows begin, and that one brings the deletion behind the row.

// sweep is such a removal.
type sweep struct {
	Store int       `json:"store"` // its number
	Below event.Seq `json:"below"`
	// One of Parts parts is swept, by the hash of the key.
	Parts uint64 `json:"parts"`
	Part  uint64 `json:"part"`
	// Emptied is when the versions under deletions were gone, in microseconds by the server's
	// clock; 0 while they are not.
	Emptied int64 `json:"emptied,omitempty"`
}

// sweeping is what a claim knows of its sweep.
type sweeping struct {
	asked   bool      // the statement of the present step was sent
	began   time.Time // when that was
	took    time.Duration
	next    time.Time // the next look
	deleted uint64    // deletions below the number when it began
}

// sweepShare is the share of deletions from which on they are removed: the work is that of
// writing the parts anew which have some.
const sweepShare = 0.05

// sweepRows bounds the deletions of one sweep, and so its memory at the server.
const sweepRows = 1_000_000

// sweepPause is the least time between two looks, in multiples of what the last sweep took: so
// it takes a twentieth of the server's time at most.
const sweepPause = 20

// sweep takes the next step, if one is due. It waits for nothing.
func (t *Table) sweep(ctx context.Context) error {
	s := shown(t.rec.Stores, t.whole())
	if s == nil || len(s.Key) == 0 || t.rec.Again != nil || len(t.led.Open) > 0 || t.sink.cfg.CleanUp.Every == 0 {
		return nil
	}
	busy, err := t.mutating(ctx, s.name(t.target))
	if err != nil || busy {
		return err
	}
	w := t.rec.Sweep
	switch now := t.sink.now(); {
	case w == nil || w.Store != s.Number:
		if now.Before(t.sweeping.next) && t.sweeping.next.Sub(now) <= maxPause {
			return nil
		}
		return t.beginSweep(ctx, s)
	case !t.sweeping.asked && w.Emptied == 0:
		return t.ask(ctx, s, "_del = 0", "argMax(_del, _seq) = 1")
	case w.Emptied == 0:
		return t.emptied(ctx)
	case !t.sweeping.asked:
		server, err := t.serverNow(ctx)
		if gone := server.Sub(time.UnixMicro(w.Emptied)); err != nil || gone >= 0 && gone < t.sink.cfg.Rewind.D() {
			return err
		}
		return t.ask(ctx, s, "_del = 1", "min(_del) = 1")
	}
	return t.endSweep(ctx, s)
}

// maxPause bounds what a clock that jumps can do.
const maxPause = 24 * time.Hour

// mutating says that the server still changes parts of the table. What fails again and again
// is given up, with its reason.
func (t *Table) mutating(ctx context.Context, name ddl.Name) (bool, error) {
	var n uint64
	var reason string
	err := t.sink.conn.Query(ctx, t.comment(), "SELECT count(), anyIf(latest_fail_reason, latest_fail_reason != '') FROM system.mutations "+
		"WHERE database = ? AND table = ? AND is_done = 0",
		func(scan func(...any) error) error { return scan(&n, &reason) }, name.Database, name.Table)
	if err != nil || reason == "" {
		return n > 0, err
	}
	t.sweeping.asked = false
	err = t.exec(ctx, "KILL MUTATION WHERE database = ? AND table = ? AND latest_fail_reason != '' AND position(command, '_del') > 0",
		name.Database, name.Table)
	if err != nil {
		return true, err
	}
	return true, fmt.Errorf("the server can't remove deleted rows of %s, it is asked again later: %s", name.Plain(), reason)
}

// horizon is the number from which on queues may be sent again after a restart of the server,
// 0 where the ledger does not reach back so far.
func (t *Table) horizon(ctx context.Context) (event.Seq, error) {
	entries, err := t.entries(ctx)
	if err != nil || len(entries) == 0 {
		return 0, err
	}
	before := entries[0].at.Add(-t.sink.cfg.Rewind.D())
	for _, e := range entries {
		if e.at.After(before) {
			continue
		}
		if e.rec.Again != nil || len(e.rec.Queues) < len(t.led.Queues) || len(e.rec.Queues) < t.led.Route {
			return 0, nil
		}
		least := e.rec.Queues[0].Seq
		for _, q := range e.rec.Queues {
			least = min(least, q.Seq)
		}
		return least, nil
	}
	return 0, nil
}

// beginSweep looks whether enough is there to be removed, and notes it in the ledger.
func (t *Table) beginSweep(ctx context.Context, s *store) error {
	t.sweeping = sweeping{next: t.sink.now().Add(max(t.sink.cfg.CleanUp.Every.D(), min(maxPause, sweepPause*t.sweeping.took)))}
	below, err := t.horizon(ctx)
	if err != nil {
		return err
	}
	rows, deleted, err := t.countDeleted(ctx, s, below)
	if err != nil {
		return err
	}
	t.sink.metrics.deleted.WithLabelValues(t.labels()...).Set(float64(deleted))
	if deleted == 0 || float64(deleted) < sweepShare*float64(rows) {
		return nil
	}
	rec := *t.rec
	parts := (deleted + sweepRows - 1) / sweepRows
	rec.Sweep, rec.Swept = &sweep{Store: s.Number, Below: below, Parts: parts, Part: rand.Uint64N(parts)}, max(rec.Swept, below)
	if err := t.writeRecord(ctx, &rec); err != nil {
		return err
	}
	t.keep(&rec)
	t.sweeping.deleted = deleted
	return t.sweep(ctx)
}

// countDeleted counts the table's rows, and of them the deletions below a number.
func (t *Table) countDeleted(ctx context.Context, s *store, below event.Seq) (rows, deleted uint64, err error) {
	err = t.sink.conn.Query(ctx, t.comment(), fmt.Sprintf("SELECT count(), countIf(_del = 1 AND _seq < ?) FROM %s", s.name(t.target)),
		func(scan func(...any) error) error { return scan(&rows, &deleted) }, uint64(below))
	return rows, deleted, err
}

// ask has the server remove rows of keys of which what is below the number is so.
func (t *Table) ask(ctx context.Context, s *store, which, having string) error {
	w, name, key := t.rec.Sweep, s.name(t.target), ddl.Idents(s.keyNames())
	deleted := fmt.Sprintf("SELECT %[2]s FROM %[1]s WHERE _del = 1 AND _seq < %[3]d AND cityHash64(%[2]s) %% %[4]d = %[5]d", name, key,
		w.Below, w.Parts, w.Part)
	keys := fmt.Sprintf("SELECT %[2]s FROM %[1]s WHERE _seq < %[3]d AND (%[2]s) IN (%[4]s) GROUP BY %[2]s HAVING %[5]s", name, key,
		w.Below, deleted, having)
	t.sweeping.began = t.sink.now()
	err := t.exec(ctx, fmt.Sprintf("ALTER TABLE %s DELETE WHERE %s AND _seq < %d AND (%s) IN (%s) SETTINGS mutations_sync = 0", name,
		which, w.Below, key, keys))
	t.sweeping.asked = err == nil
	return err
}

func (t *Table) emptied(ctx context.Context) error {
	now, err := t.serverNow(ctx)
	if err != nil {
		return err
	}
	rec, w := *t.rec, *t.rec.Sweep
	w.Emptied = now.UnixMicro()
	rec.Sweep = &w
	if err := t.writeRecord(ctx, &rec); err != nil {
		return err
	}
	t.keep(&rec)
	t.stepDone()
	return nil
}

// stepDone counts what a step took, to the next look at it.
func (t *Table) stepDone() {
	took := max(0, t.sink.now().Sub(t.sweeping.began))
	t.sweeping.took, t.sweeping.asked = t.sweeping.took+took, false
	t.sink.metrics.sweeping.WithLabelValues(t.labels()...).Add(took.Seconds())
}

func (t *Table) endSweep(ctx context.Context, s *store) error {
	_, left, err := t.countDeleted(ctx, s, t.rec.Sweep.Below)
	if err != nil {
		return err
	}
	rec := *t.rec
	rec.Sweep = nil
	if err := t.writeRecord(ctx, &rec); err != nil {
		return err
	}
	t.keep(&rec)
	t.stepDone()
	t.sink.metrics.deleted.WithLabelValues(t.labels()...).Set(float64(left))
	if before := t.sweeping.deleted; before > left {
		t.sink.metrics.removed.WithLabelValues(t.labels()...).Add(float64(before - left))
		t.log.Info("deleted rows were removed from the target's disk", slog.Uint64("removed", before-left), slog.Uint64("left", left))
	}
	t.sweeping.next = t.sink.now().Add(max(t.sink.cfg.CleanUp.Every.D(), min(maxPause, sweepPause*t.sweeping.took)))
	return nil
}
