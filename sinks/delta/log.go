package delta

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/millrace/millrace/sinks/objects"
)

// Errors that steer.
var (
	// ErrConflict: another writer has taken the version. Refresh, look, build anew.
	ErrConflict = errors.New("another writer has committed")
	// ErrNotCommitted: the commit failed before it could become visible.
	ErrNotCommitted = errors.New("nothing was committed")
	// ErrCorrupt: the log is not whole.
	ErrCorrupt = errors.New("the commit log is damaged")
	// ErrUnsupported: the table uses something of Delta that this package does not keep to.
	ErrUnsupported = errors.New("the table uses a Delta feature that is not supported")
	// ErrGone: the entries asked for were cleaned away.
	ErrGone = errors.New("the log entries are gone")
)

// Log is one table's commit log. One goroutine uses it.
type Log struct {
	store objects.Store
	dir   string
	snap  *Snapshot
}

// Dir is where the log lies inside a table.
const Dir = "_delta_log"

// Open reads the log of the table at dir in a store, which need not exist.
func Open(ctx context.Context, store objects.Store, dir string) (*Log, error) {
	l := &Log{store: store, dir: dir}
	if err := l.load(ctx); err != nil {
		return nil, fmt.Errorf("read the log of %s: %w", dir, err)
	}
	return l, nil
}

// Table is the directory of the table.
func (l *Log) Table() string { return l.dir }

// Snapshot is the table at the version read or committed last.
func (l *Log) Snapshot() *Snapshot { return l.snap }

func (l *Log) logPath(name string) string { return path.Join(l.dir, Dir, name) }

func entryName(version int64) string      { return fmt.Sprintf("%020d.json", version) }
func checkpointName(version int64) string { return fmt.Sprintf("%020d.checkpoint.parquet", version) }

// listing is what the log directory holds, rising.
type listing struct{ entries, checkpoints []int64 }

func (l *Log) list(ctx context.Context) (listing, error) {
	var found listing
	for info, err := range l.store.List(ctx, l.logPath("")+"/", "") {
		if err != nil {
			return listing{}, err
		}
		v, checkpoint, ok := versionOf(path.Base(info.Name))
		switch {
		case !ok:
		case checkpoint:
			found.checkpoints = append(found.checkpoints, v)
		default:
			found.entries = append(found.entries, v)
		}
	}
	return found, nil
}

// versionOf is the version that the name of an entry or a checkpoint says.
func versionOf(name string) (v int64, checkpoint, ok bool) {
	digits, ext, _ := strings.Cut(name, ".")
	v, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || len(digits) != 20 || v < 0 {
		return 0, false, false
	}
	return v, ext == "checkpoint.parquet", ext == "json" || ext == "checkpoint.parquet"
}

// load reads the newest checkpoint that can be read and every entry behind it.
func (l *Log) load(ctx context.Context) error {
	found, err := l.list(ctx)
	if err != nil {
		return err
	}
	var broken error
	for i := len(found.checkpoints) - 1; ; i-- {
		snap := newSnapshot()
		if i >= 0 {
			v := found.checkpoints[i]
			actions, aged, err := readCheckpoint(ctx, l.store, l.logPath(checkpointName(v)))
			if err == nil {
				err = snap.apply(v, actions)
			}
			if err != nil {
				if errors.Is(err, ErrUnsupported) {
					return err
				}
				broken = errors.Join(broken, fmt.Errorf("checkpoint %d: %w", v, err))
				continue
			}
			snap.Checkpoint, snap.Aged = v, aged
		}
		l.snap = snap
		if _, err := l.Refresh(ctx); err != nil {
			return err
		}
		if n := len(found.entries); n > 0 && found.entries[n-1] > l.snap.Version {
			if i < 0 {
				err := fmt.Errorf("%w: entry %s is missing", ErrCorrupt, entryName(l.snap.Version+1))
				return errors.Join(err, broken)
			}
			broken = errors.Join(broken, fmt.Errorf("entry %s is missing", entryName(l.snap.Version+1)))
			continue
		}
		if l.snap.Version < 0 && len(found.checkpoints) > 0 {
			return errors.Join(ErrCorrupt, broken)
		}
		return nil
	}
}

// Refresh reads the entries that other writers have made since and returns them, oldest
// first.
func (l *Log) Refresh(ctx context.Context) ([]Entry, error) {
	var fresh []Entry
	for {
		if err := ctx.Err(); err != nil {
			return fresh, err
		}
		e, err := l.entry(ctx, l.snap.Version+1)
		if errors.Is(err, fs.ErrNotExist) {
			return fresh, nil
		}
		if err != nil {
			return fresh, err
		}
		if err := l.snap.apply(e.Version, e.Actions); err != nil {
			return fresh, fmt.Errorf("entry %s: %w", entryName(e.Version), err)
		}
		fresh = append(fresh, e)
	}
}

// Entry is one commit.
type Entry struct {
	Version int64
	Actions []Action
}

// maxEntry bounds what is read into memory for one commit.
const maxEntry = 1 << 30

func (l *Log) entry(ctx context.Context, version int64) (Entry, error) {
	name := l.logPath(entryName(version))
	data, err := objects.ReadAll(ctx, l.store, name, maxEntry)
	if err != nil {
		return Entry{}, err
	}
	actions, err := decode(data)
	if err != nil {
		return Entry{}, fmt.Errorf("%s: %w", name, err)
	}
	if len(actions) == 0 {
		return Entry{}, fmt.Errorf("%s: %w: no actions", name, ErrCorrupt)
	}
	return Entry{Version: version, Actions: actions}, nil
}

// Entries reads the commits from version from up to and including the snapshot's. ErrGone
// when one of them was cleaned away.
func (l *Log) Entries(ctx context.Context, from int64) ([]Entry, error) {
	var list []Entry
	for v := from; v <= l.snap.Version; v++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		e, err := l.entry(ctx, v)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %s of %s", ErrGone, entryName(v), l.dir)
		}
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}

// Back hands over the commits from the snapshot's downwards until one is gone or more says no.
func (l *Log) Back(ctx context.Context, more func(*Entry) bool) error {
	for v := l.snap.Version; v >= 0; v-- {
		if err := ctx.Err(); err != nil {
			return err
		}
		e, err := l.entry(ctx, v)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if !more(&e) {
			return nil
		}
	}
	return nil
}
