package parquet

import (
	"context"
	"time"

	"github.com/millrace/millrace/sinks/delta"
)

// maintain does one step that is due: a log checkpoint, a vacuum, or the packing of small
// files. Entries of the log from version keepFrom on are still needed.
func (t *changesTable) maintain(ctx context.Context, keepFrom int64) error {
	if snap := t.log.Snapshot(); snap.Aged || snap.Version-max(snap.Checkpoint, 0) >= checkpointEvery {
		return t.checkpoint(ctx, keepFrom)
	}
	if t.now().Sub(t.vacuumed) >= vacuumEvery {
		return t.vacuum(ctx)
	}
	if t.pack.due() {
		_, err := t.pack.step(ctx)
		return err
	}
	return nil
}

func (t *changesTable) checkpoint(ctx context.Context, keepFrom int64) error {
	now := t.now()
	removed, _ := t.removedBefore(t.log.Snapshot())
	if err := t.log.Checkpoint(ctx, removed); err != nil {
		return err
	}
	_, err := t.log.CleanLog(ctx, now.Add(-t.keep.Log.D()), keepFrom)
	return err
}

// vacuum removes orphans of changes/. The generation was committed at the opening, so no
// older owner can still commit one of them. An owner that was replaced itself must not
// take what its successor has written for orphans: the log is read to its end first, and
// what counts as old is reckoned from before that.
func (t *changesTable) vacuum(ctx context.Context) error {
	now := t.now()
	t.vacuumed = now
	if _, err := t.log.Refresh(ctx); err != nil {
		return err
	}
	if err := t.stillOurs(); err != nil {
		return t.fail(err)
	}
	ours := map[string]bool{}
	for _, n := range t.batch.names {
		ours[n[len(t.log.Table())+1:]] = true
	}
	removed, _ := t.removedBefore(t.log.Snapshot())
	n, err := t.log.Vacuum(ctx, delta.VacuumOptions{
		RemovedBefore: removed, OrphansBefore: now.Add(-t.keep.Orphans.D()),
		Live: func(name string) bool { return ours[name] },
	})
	if n > 0 {
		t.slog.Info("files that no commit names were removed", "files", n)
	}
	if err != nil {
		return err
	}
	t.tidyUploads(ctx, now)
	return nil
}

// uploader is a store where an object in the making may be left behind in parts.
type uploader interface {
	AbortUploads(ctx context.Context, before time.Time) (int, error)
}

// uploadsEvery is how often a sink looks for such.
const uploadsEvery = time.Hour

// tidyUploads removes what was begun so long ago that nobody can be about to complete it. It
// takes room and does no harm otherwise: what goes wrong is said, and no more.
func (l *shared) tidyUploads(ctx context.Context, now time.Time) {
	store, ok := l.store.(uploader)
	last := l.uploadsSeen.Load()
	if !ok || now.UnixNano()-last < int64(uploadsEvery) || !l.uploadsSeen.CompareAndSwap(last, now.UnixNano()) {
		return
	}
	n, err := store.AbortUploads(ctx, now.Add(-l.keep.Orphans.D()))
	if err != nil {
		l.log.Info("unfinished uploads can't be removed here; a lifecycle rule of the bucket can", "err", err)
	} else if n > 0 {
		l.log.Info("unfinished uploads were removed", "uploads", n)
	}
}
