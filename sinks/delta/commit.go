package delta

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/millrace/millrace/sinks/objects"
)

// Commit appends one entry behind the snapshot and, when that succeeded, moves the
// snapshot. On nil the entry is durable. ErrConflict: another writer was first and the
// snapshot is as before. ErrNotCommitted: it failed and certainly is not visible. After
// any other error the outcome is unknown and the log must be opened again.
func (l *Log) Commit(ctx context.Context, actions []Action) (int64, error) {
	version := l.snap.Version + 1
	data, err := encode(actions)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNotCommitted, err)
	}
	if err := l.put(ctx, entryName(version), data); err != nil {
		return 0, fmt.Errorf("commit: %w", err)
	}
	if err := l.snap.apply(version, actions); err != nil {
		panic("BUG: a commit of our own cannot be read: " + err.Error())
	}
	return version, nil
}

// Anywhere is the base of a commit that may follow any version.
const Anywhere int64 = -2

// CommitWhile commits what build makes of the snapshot, while check allows it. Where another
// writer was first it reads what that one has committed and tries again; with a base it does
// not, for its commit must follow that version, and says ErrConflict. check is asked before
// each try, and before ErrConflict is said, with what others have committed since it was
// asked last; its error, or build's, ends it with nothing committed. So does build by making
// no actions, which is version -1 and no error. Other errors are Commit's.
func (l *Log) CommitWhile(ctx context.Context, base int64, check func(fresh []Entry) error,
	build func(*Snapshot) ([]Action, error)) (int64, error) {
	var fresh []Entry
	for {
		if err := check(fresh); err != nil {
			return 0, err
		}
		if base != Anywhere && l.snap.Version != base {
			return 0, fmt.Errorf("%w: %s is at version %d and not at %d", ErrConflict, l.dir, l.snap.Version, base)
		}
		actions, err := build(l.snap)
		if err != nil || len(actions) == 0 {
			return -1, err
		}
		version, err := l.Commit(ctx, actions)
		if !errors.Is(err, ErrConflict) {
			return version, err
		}
		if fresh, err = l.Refresh(ctx); err != nil {
			return 0, err
		}
	}
}

// put makes an object of the log appear whole, or not at all.
func (l *Log) put(ctx context.Context, name string, data []byte) error {
	err := l.store.PutIfAbsent(ctx, l.logPath(name), bytes.NewReader(data))
	switch {
	case errors.Is(err, objects.ErrExists):
		return fmt.Errorf("%w: %w", ErrConflict, err)
	case err != nil && !errors.Is(err, objects.ErrUnknown):
		return fmt.Errorf("%w: %w", ErrNotCommitted, err)
	}
	return err
}
