package current

import (
	"context"
	"time"

	"github.com/millrace/millrace/sinks/delta"
	"github.com/millrace/millrace/sinks/parquet/lake"
)

// lookAfter keeps current/'s own log short and its directory clean.
func (c *Table) lookAfter(ctx context.Context) error {
	now := c.Now()
	// As in changes/, a successor's files must not be taken for orphans.
	if err := c.refresh(ctx); err != nil {
		return err
	}
	if err := c.fenced(); err != nil {
		return err
	}
	snap := c.log.Snapshot()
	if snap.Version < 0 {
		return nil
	}
	removed, crowded := c.RemovedBefore(snap)
	if now.Sub(c.vacuum) >= lake.VacuumEvery || c.Keep.Removed < 1 || crowded && now.Sub(c.vacuum) >= lake.LeastKept {
		c.vacuum = now
		if err := c.sweep(ctx, snap, removed); err != nil {
			return err
		}
	}
	if snap.Aged || snap.Version-max(snap.Checkpoint, 0) >= lake.CheckpointEvery {
		return c.shorten(ctx, snap, removed)
	}
	return nil
}

// sweep removes files that no reader needs any more. Only this goroutine writes into current/
// under this generation, and lower ones are closed, so what is the sink's and no commit names
// is of no use to anybody. Another program may be about to commit what it has written.
func (c *Table) sweep(ctx context.Context, snap *delta.Snapshot, removed time.Time) error {
	f, err := readMergeFact(snap)
	if err != nil || f == nil {
		return err
	}
	_, err = c.log.Vacuum(ctx, delta.VacuumOptions{RemovedBefore: removed, OrphansBefore: c.Now().Add(-c.Keep.Orphans.D()),
		Live: func(name string) bool { return name == f.Side }, Own: c.owns, OwnBefore: removed})
	return err
}

// shorten writes a checkpoint, and removes the entries before it that nobody looks at.
func (c *Table) shorten(ctx context.Context, snap *delta.Snapshot, removed time.Time) error {
	if err := c.log.Checkpoint(ctx, removed); err != nil {
		return err
	}
	f, err := readMergeFact(snap)
	if err != nil || f == nil {
		return err
	}
	keep := snap.Version
	if f.At >= 0 {
		keep = f.At + 1 // an opening looks at what came since
	}
	_, err = c.log.CleanLog(ctx, c.Now().Add(-c.Keep.Log.D()), keep)
	return err
}
