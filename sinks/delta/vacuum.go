package delta

import (
	"context"
	"fmt"
	"path"
	"slices"
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
func (l *Log) Vacuum(ctx context.Context, o VacuumOptions) (int, error) {
	live := map[string]bool{}
	for p := range l.snap.Files {
		live[unescape(p)] = true
	}
	removed := map[string]int64{}
	for p, r := range l.snap.Removed {
		removed[unescape(p)] = r.DeletionTimestamp
	}
	gone := 0
	for info, err := range l.store.List(ctx, l.dir+"/", "") {
		if err != nil {
			return gone, fmt.Errorf("vacuum %s: %w", l.dir, err)
		}
		name := info.Name[len(l.dir)+1:]
		if live[name] || !o.swept(name) || o.Live != nil && o.Live(name) {
			continue
		}
		when, known := removed[name]
		if known && time.UnixMilli(when).Before(o.RemovedBefore) || !known && info.Modified.Before(o.orphaned(name)) {
			if err := l.store.Delete(ctx, info.Name); err != nil {
				return gone, fmt.Errorf("vacuum %s: %w", l.dir, err)
			}
			gone++
		}
	}
	return gone, nil
}

// swept says that a file lies where the table's data does: at its top, in a partition, or in
// one of the caller's directories; or that it is what a commit that was cut short has left.
func (o *VacuumOptions) swept(name string) bool {
	dir := path.Dir(name)
	return dir == "." || strings.Contains(dir, "=") && !strings.Contains(dir, "/") || slices.Contains(o.Dirs, dir) ||
		dir == Dir && strings.HasSuffix(name, ".tmp")
}

// orphaned is the time before which a file that no commit names may go.
func (o *VacuumOptions) orphaned(name string) time.Time {
	if o.Own != nil && o.Own(name) {
		return o.OwnBefore
	}
	return o.OrphansBefore
}
