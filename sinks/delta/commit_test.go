package delta

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/millrace/millrace/internal/vfs"
)

// TestACommitWhileIsBuiltAnew: each try is checked on all that others have committed, and
// built of the snapshot that it is to follow.
func TestACommitWhileIsBuiltAnew(t *testing.T) {
	ctx := context.Background()
	stop := errors.New("no longer allowed")
	for name, c := range map[string]struct {
		others  int // commits between the snapshot and the first try, and between tries
		tries   int // after which no other commits any more
		base    int64
		refuse  int // the check at which it says no, 0 for never
		nothing bool
		want    int64
		err     error
		seen    []int64 // versions that checks were shown
	}{
		"alone":                   {base: Anywhere, want: 1},
		"others are first":        {others: 2, tries: 2, base: Anywhere, want: 5, seen: []int64{1, 2, 3, 4}},
		"it is no longer allowed": {others: 1, tries: 2, base: Anywhere, refuse: 2, err: stop, seen: []int64{1}},
		"never allowed":           {base: Anywhere, refuse: 1, err: stop},
		"on its base":             {base: 0, want: 1},
		"on a base that moved":    {others: 1, tries: 1, base: 0, err: ErrConflict, seen: []int64{1}},
		"on another base":         {base: 7, err: ErrConflict},
		"there is nothing to do":  {others: 1, tries: 1, base: Anywhere, nothing: true, want: -1},
	} {
		mem := vfs.NewMem()
		l := openLog(t, mem)
		commit(t, l, begin()...)
		other := openLog(t, mem)
		checks, tries, n := 0, 0, 100
		var seen []int64
		got, err := l.CommitWhile(ctx, c.base, func(fresh []Entry) error {
			for _, e := range fresh {
				seen = append(seen, e.Version)
			}
			if checks++; checks == c.refuse {
				return stop
			}
			return nil
		}, func(s *Snapshot) ([]Action, error) {
			if c.nothing {
				return nil, nil
			}
			if want := len(seen); len(s.Files) != want {
				t.Errorf("%s: built of %d files where others have added %d", name, len(s.Files), want)
			}
			if tries++; tries <= c.tries {
				for range c.others {
					n++
					commit(t, other, add(n))
				}
			}
			return []Action{add(1)}, nil
		})
		if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) || err == nil && got != c.want || !slices.Equal(seen, c.seen) {
			t.Errorf("%s: version %d, %v, checks were shown %v", name, got, err, seen)
		}
		if err == nil && !c.nothing {
			if s := openLog(t, mem).Snapshot(); s.Version != c.want || s.Files["f1.parquet"] == nil {
				t.Errorf("%s: the log is at %d", name, s.Version)
			}
		}
	}
	l := openLog(t, vfs.NewMem())
	failed := fmt.Errorf("cannot be built")
	if _, err := l.CommitWhile(ctx, Anywhere, func([]Entry) error { return nil }, func(*Snapshot) ([]Action, error) { return nil, failed }); !errors.Is(err, failed) {
		t.Errorf("what cannot be built: %v", err)
	}
}
