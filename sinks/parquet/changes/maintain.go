package changes

import (
	"context"

	"github.com/millrace/millrace/sinks/delta"
	"github.com/millrace/millrace/sinks/parquet/lake"
)

// Maintain does one step that is due: a log checkpoint, a vacuum, or the packing of small
// files. Entries of the log from version keepFrom on are still needed.
func (t *Table) Maintain(ctx context.Context, keepFrom int64) error {
	if snap := t.log.Snapshot(); snap.Aged || snap.Version-max(snap.Checkpoint, 0) >= lake.CheckpointEvery {
		return t.Checkpoint(ctx, keepFrom)
	}
	if t.Now().Sub(t.vacuumed) >= lake.VacuumEvery {
		return t.Vacuum(ctx)
	}
	if t.pack.due() {
		_, err := t.pack.step(ctx)
		return err
	}
	return nil
}

// Checkpoint writes a log checkpoint and removes entries that it covers, those below keepFrom
// alone.
func (t *Table) Checkpoint(ctx context.Context, keepFrom int64) error {
	now := t.Now()
	removed, _ := t.RemovedBefore(t.log.Snapshot())
	if err := t.log.Checkpoint(ctx, removed); err != nil {
		return err
	}
	_, err := t.log.CleanLog(ctx, now.Add(-t.Keep.Log.D()), keepFrom)
	return err
}

// Vacuum removes orphans of changes/. The generation was committed at the opening, so no
// older owner can still commit one of them. An owner that was replaced itself must not
// take what its successor has written for orphans: the log is read to its end first, and
// what counts as old is reckoned from before that.
func (t *Table) Vacuum(ctx context.Context) error {
	now := t.Now()
	t.vacuumed = now
	if _, err := t.log.Refresh(ctx); err != nil {
		return err
	}
	if err := t.stillOurs(); err != nil {
		return t.Fail(err)
	}
	ours := map[string]bool{}
	for _, n := range t.batch.names {
		ours[n[len(t.log.Table())+1:]] = true
	}
	removed, _ := t.RemovedBefore(t.log.Snapshot())
	n, err := t.log.Vacuum(ctx, delta.VacuumOptions{
		RemovedBefore: removed, OrphansBefore: now.Add(-t.Keep.Orphans.D()),
		Live: func(name string) bool { return ours[name] },
	})
	if n > 0 {
		t.Logger.Info("files that no commit names were removed", "files", n)
	}
	if err != nil {
		return err
	}
	t.TidyUploads(ctx, now)
	return t.tidyLetters(ctx, now.Add(-t.Keep.Orphans.D()))
}
