package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// aside is what is said of a row that the target lacks because it can't hold it.
const aside = "put aside: "

// readAside takes note of the rows that the target says are put aside. It is asked when the
// rows have been read and again when they were looked at for the last time: one that came or
// went meanwhile explains what was seen.
func (c *check) readAside(ctx context.Context) error {
	target, ok := c.target.(pipeline.LetterReader)
	if !ok || c.rows.columns == nil {
		return nil
	}
	now := map[key]unheld{}
	err := target.Letters(ctx, c.name, func(l pipeline.Letter) error {
		if cells, ok := c.rows.ofLetter(&l); ok {
			k, _ := c.rows.hash(cells)
			n := now[k]
			if l.Op == string(rune(event.OpDelete)) {
				n.deletions++
			} else {
				n.rows++
			}
			now[k] = n
		}
		return nil
	})
	if err != nil && !errors.Is(err, pipeline.ErrNoTable) {
		return fmt.Errorf("what is put aside of %s: %w", c.name, err)
	}
	if c.aside == nil {
		c.aside = map[key]unheld{}
	}
	for k, n := range now {
		was := c.aside[k]
		c.aside[k] = unheld{rows: max(was.rows, n.rows), deletions: max(was.deletions, n.deletions)}
	}
	return nil
}

// unheld is what is put aside of a key, or of equal rows: versions of the row, by which the target
// lacks it or has an older one, and deletions, by which it has one too many.
type unheld struct{ rows, deletions int64 }

// explains is how many rows of a difference are put aside.
func (u unheld) explains(keyed bool, source, target int64) int64 {
	switch {
	case keyed && max(source, target) > 1: // a letter is no reason for that
		return 0
	case keyed && source > 0:
		return min(u.rows, 1)
	case source > target:
		return min(u.rows, source-target)
	}
	return min(u.deletions, target-source)
}

// ofLetter is a letter's row in the order of the source's columns, of which it has those of the
// key alone where there is one; ok is false where one of them has another name by now.
func (r *rows) ofLetter(l *pipeline.Letter) (cells []pipeline.Cell, ok bool) {
	cells = make([]pipeline.Cell, len(r.columns))
	for i, col := range r.columns {
		cells[i].Null = true
		if r.keyed && !col.Key {
			continue
		}
		at := slices.IndexFunc(l.Row, func(c pipeline.LetterCell) bool { return c.Column == col.Name })
		if at < 0 {
			return nil, false
		}
		if v := l.Row[at].Value; v != nil {
			cells[i] = pipeline.Cell{Text: []byte(*v)}
		}
	}
	return cells, true
}

// setAside takes what is put aside out of a difference, and reports whether nothing is left
// of it.
func (f *found) setAside(c *check, k key, one *candidate) bool {
	rows := c.aside[k].explains(c.rows.keyed, one.source.n, one.target.n)
	if rows == 0 {
		return false
	}
	if !c.rows.keyed { // so many of the equal rows
		if one.source.n < one.target.n {
			one.target.n -= rows
		} else {
			one.target.n += rows
		}
	}
	c.out.Aside += rows
	if f.named[aside]++; f.named[aside] <= maxExamples && c.rows.keyed {
		c.out.Examples = append(c.out.Examples, aside+c.rows.showKey(one.blob))
	}
	return c.rows.keyed || one.source.n == one.target.n
}
