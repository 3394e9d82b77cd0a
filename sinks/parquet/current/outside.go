package current

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/millrace/millrace/sinks/delta"
	"github.com/millrace/millrace/sinks/parquet/lake"
)

// What other programs have done to current/. A program that has changed its rows, and not
// only how they lie, has made it differ from changes/, of which it is made anew.

// refresh reads what others have committed to current/.
func (c *Table) refresh(ctx context.Context) error {
	entries, err := c.log.Refresh(ctx)
	if c.changed(entries) {
		c.altered.Store(true)
	}
	return err
}

// reopen reads the log of current/ anew after a commit whose outcome is unknown.
func (c *Table) reopen(ctx context.Context) error {
	known := c.log.Snapshot().Version
	log, err := delta.Open(ctx, c.Store, c.log.Table())
	if err != nil {
		return err
	}
	c.log = log
	if changed, err := c.changedSince(ctx, known); err != nil {
		return err
	} else if changed {
		c.altered.Store(true)
	}
	return nil
}

// changedBehind reports whether another program has changed rows of current/ since the merge
// that f is of, or may have. A merge of an older version does not say where it is: it is
// looked for in the entries there are.
func (c *Table) changedBehind(ctx context.Context, f *mergeFact) (bool, error) {
	if f.At >= 0 {
		return c.changedSince(ctx, f.At)
	}
	var behind []delta.Entry
	err := c.log.Back(ctx, func(e *delta.Entry) bool {
		if isMerge(e) {
			return false
		}
		behind = append(behind, *e)
		return true
	})
	return c.changed(behind), err
}

// changedSince is changedBehind for a version of current/.
func (c *Table) changedSince(ctx context.Context, version int64) (bool, error) {
	entries, err := c.log.Entries(ctx, version+1)
	if errors.Is(err, delta.ErrGone) {
		c.Logger.Warn("whether another program has changed current/ cannot be seen any more; it is made anew from changes/",
			slog.Any("error", err))
		return true, nil
	}
	return c.changed(entries), err
}

// changed reports whether one of the entries is another program's that changes rows, and logs
// each.
func (c *Table) changed(entries []delta.Entry) (yes bool) {
	for i := range entries {
		if changesRows(&entries[i]) {
			yes = true
			c.Logger.Warn("another program has changed rows of current/, which is made anew from changes/",
				slog.Int64("version", entries[i].Version))
		}
	}
	return yes
}

// isMerge reports whether an entry is a merge of the sink's.
func isMerge(e *delta.Entry) bool {
	for i := range e.Actions {
		if d := e.Actions[i].Domain; d != nil && d.Domain == domainMerge {
			return true
		}
	}
	return false
}

// changesRows reports whether an entry that the sink did not write changes rows.
func changesRows(e *delta.Entry) bool {
	changed := false
	for i := range e.Actions {
		a := &e.Actions[i]
		if a.CommitInfo["engineInfo"] == lake.Engine {
			return false
		}
		changed = changed || a.Add != nil && a.Add.DataChange || a.Remove != nil && a.Remove.DataChange
	}
	return changed
}

// owns reports whether the name of a file in current/ is one that the sink gives, under this
// generation or a lower one.
func (c *Table) owns(name string) bool {
	var token string
	if _, err := fmt.Sscanf(name, ".%36s", &token); err == nil && len(token) == 36 && strings.HasSuffix(name, ".tmp") {
		return true
	}
	form, first, last := "%d-%d-%d%s", "-b", ".parquet"
	if strings.HasPrefix(name, "_side-") {
		form, first, last = "_side-"+form, ".", "bin"
	}
	var gen, version, n uint64
	var rest string
	_, err := fmt.Sscanf(name, form, &gen, &version, &n, &rest)
	return err == nil && gen <= c.Claim.Generation && strings.HasPrefix(rest, first) && strings.HasSuffix(rest, last)
}
