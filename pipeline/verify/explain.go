package verify

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// errEnough ends a reading that has found what it looked for.
var errEnough = errors.New("enough examples")

// explain reads again what differs, to name rows of which only the hash was kept, and the
// columns in which rows differ. A side may have changed since: what it does not say any
// more stays unnamed.
func (c *comparison) explain(ctx context.Context, source, target pipeline.Reader, name event.TableName) {
	var err error
	if c.out.Missing > 0 || len(c.differing) > 0 {
		err = source.Read(ctx, name, same(c.columns), c.explainSource)
	}
	if !c.keyed && c.out.Extra > 0 && (err == nil || errors.Is(err, errEnough)) {
		err = target.Read(ctx, name, same(c.target), c.explainTarget)
	}
	for _, cells := range c.differing {
		c.example("differs: ", cells)
	}
	slices.Sort(c.out.Examples)
	if err != nil && !errors.Is(err, errEnough) {
		c.out.Examples = append(c.out.Examples, "the rows could not be read again to be named: "+err.Error())
	}
}

// same refuses columns that are not those of the first reading.
func same(first []pipeline.ReadColumn) func([]pipeline.ReadColumn) error {
	return func(columns []pipeline.ReadColumn) error {
		if !slices.Equal(columns, first) {
			return errors.New("the table has changed meanwhile")
		}
		return nil
	}
}

// explainSource looks at a row of the source: does the target lack it, or differ?
func (c *comparison) explainSource(cells []pipeline.Cell) error {
	k, _ := c.hash(cells)
	e, known := c.rows[k]
	if other, ok := c.differing[k]; ok {
		c.example("differs: ", cells, c.columnsThatDiffer(cells, other)...)
		delete(c.differing, k)
	}
	if c.named < maxExamples && (known && !e.there || c.counts[k] > 0) {
		c.example("only in the source: ", cells)
		c.counts[k]--
		c.named++
	}
	if len(c.differing) == 0 && int64(c.named) == min(c.out.Missing, maxExamples) {
		return errEnough
	}
	return nil
}

// explainTarget looks at a row of a target without a key.
func (c *comparison) explainTarget(cells []pipeline.Cell) error {
	c.arrange(cells)
	if k, _ := c.hash(c.scratch); c.counts[k] < 0 {
		c.example("only in the target: ", c.scratch)
		c.counts[k]++
		if c.shown++; int64(c.shown) == min(c.out.Extra, maxExamples) {
			return errEnough
		}
	}
	return nil
}

func (c *comparison) columnsThatDiffer(source, target []pipeline.Cell) (out []string) {
	for i := range source {
		if a, b := source[i], target[i]; a.Null != b.Null || !bytes.Equal(a.Text, b.Text) {
			out = append(out, c.columns[i].Name+" is "+show(a)+" in the source, "+show(b)+" in the target")
		}
	}
	return out
}

// example names a row.
func (c *comparison) example(what string, cells []pipeline.Cell, details ...string) {
	text := what + c.keyOf(cells)
	if len(details) > 0 {
		text += ": " + strings.Join(details, "; ")
	}
	c.out.Examples = append(c.out.Examples, text)
}

// keyOf shows a row's key, or all of it where the table has none.
func (c *comparison) keyOf(cells []pipeline.Cell) string {
	var parts []string
	for i, cell := range cells {
		if !c.keyed || c.columns[i].Key {
			parts = append(parts, c.columns[i].Name+"="+show(cell))
		}
	}
	return strings.Join(parts, " ")
}

// shownBytes is how much of a value is shown.
const shownBytes = 64

func show(cell pipeline.Cell) string {
	if cell.Null {
		return "NULL"
	}
	text, more := string(cell.Text), ""
	if len(text) > shownBytes {
		text, more = strings.ToValidUTF8(text[:shownBytes], ""), "…"
	}
	if strings.ContainsFunc(text, unicode.IsControl) { // it must not move the reader's cursor
		text = strconv.Quote(text)
	}
	return text + more
}

// clone copies a row whose cells are valid during a call only.
func clone(cells []pipeline.Cell) []pipeline.Cell {
	out := slices.Clone(cells)
	for i := range out {
		out[i].Text = bytes.Clone(out[i].Text)
	}
	return out
}
