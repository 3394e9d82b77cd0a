package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/millrace/millrace/pipeline"
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
	now := map[key]int64{}
	err := target.Letters(ctx, c.name, func(l pipeline.Letter) error {
		if cells, ok := c.rows.ofLetter(&l); ok {
			k, _ := c.rows.hash(cells)
			now[k]++
		}
		return nil
	})
	if err != nil && !errors.Is(err, pipeline.ErrNoTable) {
		return fmt.Errorf("what is put aside of %s: %w", c.name, err)
	}
	if c.aside == nil {
		c.aside = map[key]int64{}
	}
	for k, n := range now {
		c.aside[k] = max(c.aside[k], n)
	}
	return nil
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
	n := c.aside[k]
	if n == 0 {
		return false
	}
	rows := int64(1)
	if !c.rows.keyed { // so many of the equal rows
		rows = one.source.n - one.target.n
		if rows < 0 {
			rows = min(-rows, n)
			one.target.n -= rows
		} else {
			rows = min(rows, n)
			one.target.n += rows
		}
	}
	c.out.Aside += rows
	if f.named[aside]++; f.named[aside] <= maxExamples && c.rows.keyed {
		c.out.Examples = append(c.out.Examples, aside+c.rows.showKey(one.blob))
	}
	return c.rows.keyed || one.source.n == one.target.n
}
