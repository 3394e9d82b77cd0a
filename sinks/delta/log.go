package delta

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/millrace/millrace/internal/vfs"
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
	fs    vfs.FS
	dir   string
	token string // makes our temporary names ours
	temps int
	snap  *Snapshot
}

// Dir is where the log lies inside a table.
const Dir = "_delta_log"

// Open reads the log of the table at dir, which need not exist.
func Open(ctx context.Context, fsys vfs.FS, dir string) (*Log, error) {
	var token [8]byte
	rand.Read(token[:])
	l := &Log{fs: fsys, dir: dir, token: hex.EncodeToString(token[:])}
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

// listing is what the log directory holds.
type listing struct{ entries, checkpoints []int64 }

func (l *Log) list() (listing, error) {
	names, err := l.fs.ReadDir(path.Join(l.dir, Dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return listing{}, err
	}
	var found listing
	for _, n := range names {
		digits, ext, _ := strings.Cut(n, ".")
		v, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || len(digits) != 20 || v < 0 {
			continue
		}
		switch ext {
		case "json":
			found.entries = append(found.entries, v)
		case "checkpoint.parquet":
			found.checkpoints = append(found.checkpoints, v)
		}
	}
	slices.Sort(found.entries)
	slices.Sort(found.checkpoints)
	return found, nil
}

// load reads the newest checkpoint that can be read and every entry behind it.
func (l *Log) load(ctx context.Context) error {
	found, err := l.list()
	if err != nil {
		return err
	}
	var broken error
	for i := len(found.checkpoints) - 1; ; i-- {
		snap := newSnapshot()
		if i >= 0 {
			v := found.checkpoints[i]
			actions, aged, err := readCheckpoint(l.fs, l.logPath(checkpointName(v)))
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
		e, err := l.entry(l.snap.Version + 1)
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

func (l *Log) entry(version int64) (Entry, error) {
	name := l.logPath(entryName(version))
	data, err := vfs.ReadFile(l.fs, name)
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
		e, err := l.entry(v)
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
		e, err := l.entry(v)
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

// Commit appends one entry behind the snapshot and, when that succeeded, moves the
// snapshot. On nil the entry is durable. ErrConflict: somebody else was first and the
// snapshot is as before. ErrNotCommitted: it failed and certainly is not visible. After
// any other error the outcome is unknown and the log must be opened again.
func (l *Log) Commit(actions []Action) (int64, error) {
	version := l.snap.Version + 1
	data, err := encode(actions)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNotCommitted, err)
	}
	if version == 0 {
		if err := vfs.MkdirAllSync(l.fs, path.Join(l.dir, Dir)); err != nil {
			return 0, fmt.Errorf("%w: make %s: %w", ErrNotCommitted, path.Join(l.dir, Dir), err)
		}
	}
	if err := l.put(entryName(version), data); err != nil {
		return 0, fmt.Errorf("commit %s: %w", l.logPath(entryName(version)), err)
	}
	if err := l.snap.apply(version, actions); err != nil {
		panic("BUG: a commit of our own cannot be read: " + err.Error())
	}
	return version, nil
}

// put makes a file of the log directory appear whole, or not at all.
func (l *Log) put(name string, data []byte) error {
	l.temps++
	tmp := l.logPath(fmt.Sprintf("_commit_%s-%d.tmp", l.token, l.temps))
	if err := writeSynced(l.fs, tmp, data); err != nil {
		l.fs.Remove(tmp)
		return fmt.Errorf("%w: %w", ErrNotCommitted, err)
	}
	err := l.fs.Link(tmp, l.logPath(name))
	switch {
	case errors.Is(err, fs.ErrExist):
		l.fs.Remove(tmp)
		return ErrConflict
	case refused(err):
		l.fs.Remove(tmp)
		return fmt.Errorf("%w: %w", ErrNotCommitted, err)
	case err != nil:
		return err
	}
	if err := l.fs.SyncDir(path.Join(l.dir, Dir)); err != nil {
		return err
	}
	// A temporary name that stays is removed by vacuum.
	l.fs.Remove(tmp)
	return nil
}

// refused says that a link was certainly not made.
func refused(err error) bool {
	for _, e := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EACCES, syscall.EPERM, syscall.EROFS, syscall.EMLINK, syscall.ENOTSUP, fs.ErrNotExist} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func writeSynced(fsys vfs.FS, name string, data []byte) error {
	f, err := fsys.Create(name)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(data, 0); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}
