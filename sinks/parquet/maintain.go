package parquet

import (
	"context"
	"math"
	"time"

	"github.com/millrace/millrace/sinks/delta"
)

// vacuumEvery is how often a table is looked through for files that no longer count.
const vacuumEvery = 5 * time.Minute

// Maintain does one step that is due: a merge into current/ (which runs beside the
// caller), a log checkpoint, a vacuum, or the packing of small files (which also runs beside
// the caller).
func (t *Table) Maintain(ctx context.Context) error {
	if t.broken != nil {
		return t.broken
	}
	if t.current != nil {
		if err := t.current.step(); err != nil {
			return err
		}
	}
	if snap := t.changes.Snapshot(); snap.Aged || snap.Version-max(snap.Checkpoint, 0) >= checkpointEvery {
		return t.checkpoint(ctx)
	}
	if t.sink.now().Sub(t.vacuumed) >= vacuumEvery {
		return t.vacuum(ctx)
	}
	if t.pack.due() {
		_, err := t.pack.step(ctx)
		return err
	}
	return nil
}

// Trouble says why current/ stands still or falls behind while changes/ goes on, "" while it
// does not.
func (t *Table) Trouble() string {
	switch {
	case t.current == nil:
		return ""
	case t.current.trouble != nil:
		return t.current.trouble.Error()
	}
	return t.current.lagging()
}

func (t *Table) checkpoint(ctx context.Context) error {
	now := t.sink.now()
	removed, _ := t.sink.removedBefore(t.changes.Snapshot())
	if err := t.changes.Checkpoint(ctx, removed); err != nil {
		return err
	}
	keepFrom := int64(math.MaxInt64)
	if t.current != nil {
		keepFrom = t.current.merged() + 1
	}
	_, err := t.changes.CleanLog(ctx, now.Add(-t.sink.cfg.Keep.Log.D()), keepFrom)
	return err
}

// vacuum removes orphans of changes/. The generation was committed at the opening, so no
// older owner can still commit one of them. An owner that was replaced itself must not
// take what its successor has written for orphans: the log is read to its end first, and
// what counts as old is reckoned from before that.
func (t *Table) vacuum(ctx context.Context) error {
	now := t.sink.now()
	t.vacuumed = now
	if _, err := t.changes.Refresh(ctx); err != nil {
		return err
	}
	if err := t.stillOurs(); err != nil {
		return t.fail(err)
	}
	ours := map[string]bool{}
	for _, n := range t.batch.names {
		ours[n[len(t.changes.Table())+1:]] = true
	}
	removed, _ := t.sink.removedBefore(t.changes.Snapshot())
	n, err := t.changes.Vacuum(ctx, delta.VacuumOptions{
		RemovedBefore: removed, OrphansBefore: now.Add(-t.sink.cfg.Keep.Orphans.D()),
		Live: func(name string) bool { return ours[name] },
	})
	if n > 0 {
		t.log.Info("files that no commit names were removed", "files", n)
	}
	return err
}
