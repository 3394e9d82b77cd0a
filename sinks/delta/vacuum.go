package delta

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"
)

// VacuumOptions says what may go.
type VacuumOptions struct {
	// RemovedBefore: files taken out of the table before it. OrphansBefore: files that no
	// commit names and that were last written before it.
	RemovedBefore, OrphansBefore time.Time
	// Own says that no other program can have written a file of that name (path relative to
	// the table), nor anybody be about to commit it: it may go when it was last written before
	// OwnBefore.
	Own       func(name string) bool
	OwnBefore time.Time
	// Dirs are directories below the table that hold side files of the caller.
	Dirs []string
	// Live says that a file (path relative to the table) is still needed though no commit
	// names it as data.
	Live func(name string) bool
}

// Vacuum removes files that the table no longer consists of. The snapshot must be
// fresh, and the caller must have fenced every writer that could still commit a file
// older than OrphansBefore. It returns how many files went.
func (l *Log) Vacuum(o VacuumOptions) (int, error) {
	live := map[string]bool{}
	for p := range l.snap.Files {
		live[unescape(p)] = true
	}
	removed := map[string]int64{}
	for p, r := range l.snap.Removed {
		removed[unescape(p)] = r.DeletionTimestamp
	}
	names, err := l.fs.ReadDir(l.dir)
	if err != nil {
		return 0, err
	}
	gone := 0
	sweep := func(dir string) error {
		files, err := l.fs.ReadDir(path.Join(l.dir, dir))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, f := range files {
			name := path.Join(dir, f)
			if live[name] || o.Live != nil && o.Live(name) {
				continue
			}
			info, err := l.fs.Stat(path.Join(l.dir, name))
			if err != nil {
				return err
			}
			if info.IsDir() {
				continue
			}
			when, known := removed[name]
			if known && time.UnixMilli(when).Before(o.RemovedBefore) || !known && info.ModTime().Before(o.orphaned(name)) {
				if err := l.fs.Remove(path.Join(l.dir, name)); err != nil {
					return err
				}
				gone++
			}
		}
		return nil
	}
	dirs := append([]string{"."}, o.Dirs...)
	for _, n := range names {
		if strings.Contains(n, "=") {
			dirs = append(dirs, n)
		}
	}
	for _, d := range dirs {
		if err := sweep(d); err != nil {
			return gone, fmt.Errorf("vacuum %s: %w", path.Join(l.dir, d), err)
		}
	}
	n, err := l.sweepTemps(o.OrphansBefore)
	return gone + n, err
}

// orphaned is the time before which a file that no commit names may go.
func (o *VacuumOptions) orphaned(name string) time.Time {
	if o.Own != nil && o.Own(name) {
		return o.OwnBefore
	}
	return o.OrphansBefore
}

// sweepTemps removes what commits that were cut short left in the log directory.
func (l *Log) sweepTemps(before time.Time) (int, error) {
	names, err := l.fs.ReadDir(path.Join(l.dir, Dir))
	if err != nil {
		return 0, err
	}
	gone := 0
	for _, n := range names {
		if !strings.HasSuffix(n, ".tmp") {
			continue
		}
		info, err := l.fs.Stat(l.logPath(n))
		if err != nil || !info.ModTime().Before(before) {
			continue
		}
		if err := l.fs.Remove(l.logPath(n)); err != nil {
			return gone, err
		}
		gone++
	}
	return gone, nil
}
