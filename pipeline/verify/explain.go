package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/millrace/millrace/pipeline"
)

// What is said of a row.
const (
	onlySource = "only in the source: "
	onlyTarget = "only in the target: "
	twice      = "twice in the target: "
	differs    = "differs: "
)

// found is the differences of which something is to be said.
type found struct {
	named   map[string]int // how many of each kind
	missing map[key]int64  // of a table without a key: rows to name
	extra   map[key]int64
	differ  map[key]*differing
}

// differing is a row whose columns are to be named.
type differing struct {
	key            []byte
	source, target []pipeline.Cell
}

// take counts the differences and chooses those that are named.
func (f *found) take(c *check, wrong *spill) error {
	*f = found{named: map[string]int{}, missing: map[key]int64{}, extra: map[key]int64{}, differ: map[key]*differing{}}
	err := wrong.all(func(k key, payload []byte) error {
		one, err := parseCandidate(payload)
		if err != nil {
			return err
		}
		if one.proven >= steady {
			c.out.Proven++
		}
		if f.setAside(c, k, &one) {
			return nil
		}
		if !c.rows.keyed {
			f.takeRow(c, k, one)
			return nil
		}
		return f.takeKey(c, k, one)
	})
	if c.out.Proven == wrong.n && c.out.Problem == "" && c.out.Unsettled == 0 {
		c.out.Behind = ""
	}
	return err
}

func (f *found) takeKey(c *check, k key, one candidate) error {
	if one.source.n > 1 {
		return fmt.Errorf("read %s from the source: the source returned the key %s twice", c.name, c.rows.showKey(one.blob))
	}
	kind := differs
	switch {
	case one.target.n == 0:
		kind, c.out.Missing = onlySource, c.out.Missing+1
	case one.source.n == 0:
		kind, c.out.Extra = onlyTarget, c.out.Extra+one.target.n
	case one.target.n > 1:
		kind, c.out.Duplicates = twice, c.out.Duplicates+one.target.n-1
	default:
		c.out.Different++
	}
	if f.named[kind]++; f.named[kind] > maxExamples {
		return nil
	}
	if kind == differs {
		f.differ[k] = &differing{key: bytes.Clone(one.blob)}
		return nil
	}
	c.out.Examples = append(c.out.Examples, kind+c.rows.showKey(one.blob))
	return nil
}

func (f *found) takeRow(c *check, k key, one candidate) {
	kind, n := onlySource, one.source.n-one.target.n
	if n < 0 {
		kind, n = onlyTarget, -n
	}
	room := min(n, int64(maxExamples-f.named[kind]))
	f.named[kind] += int(room)
	if kind == onlySource {
		c.out.Missing += n
	} else {
		c.out.Extra += n
	}
	switch {
	case room <= 0:
	case kind == onlySource:
		f.missing[k] = room
	default:
		f.extra[k] = room
	}
}

// errEnough ends a reading that has found what it looked for.
var errEnough = errors.New("enough examples")

// explain reads again what differs, to name rows of which only the hash was kept, and the
// columns in which rows differ. A side may have changed since: what it does not say any
// more stays unnamed.
func (f *found) explain(ctx context.Context, c *check) error {
	err := f.explainSource(ctx, c)
	if (len(f.extra) > 0 || len(f.differ) > 0) && err == nil {
		err = c.target.Read(ctx, c.name, func(columns []pipeline.ReadColumn) error {
			if !slices.Equal(columns, c.rows.seen) {
				return ErrChanged
			}
			return nil
		}, func(cells []pipeline.Cell) error { return f.row(c, f.target(), c.rows.arrange(cells)) })
	}
	for _, d := range f.differ {
		text := differs + c.rows.showKey(d.key)
		if columns := c.rows.columnsThatDiffer(d.source, d.target); len(columns) > 0 {
			text += ": " + strings.Join(columns, "; ")
		}
		c.out.Examples = append(c.out.Examples, text)
	}
	slices.Sort(c.out.Examples)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && !errors.Is(err, errEnough) {
		c.out.Examples = append(c.out.Examples, "the rows could not be read again to be named: "+err.Error())
	}
	return nil
}

func (f *found) explainSource(ctx context.Context, c *check) error {
	row := func(cells []pipeline.Cell) error { return f.row(c, f.source(), cells) }
	var err error
	ranges, ok := c.source.(pipeline.RangeReader)
	switch {
	case len(f.missing) == 0 && len(f.differ) == 0:
		return nil
	case ok && c.rows.keyed:
		var keys [][]pipeline.Cell
		for _, d := range f.differ {
			cells, err := parseCells(d.key)
			if err != nil {
				return err
			}
			keys = append(keys, cells)
		}
		if err = ranges.ReadKeys(ctx, c.name, keys, c.rows.source, row); errors.Is(err, errors.ErrUnsupported) {
			err = c.source.Read(ctx, c.name, c.rows.source, row)
		}
	default:
		err = c.source.Read(ctx, c.name, c.rows.source, row)
	}
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// oneSide is one of the two whose rows are looked at once more: the rows that it alone has and
// that are to be named, and where a row that differs is kept.
type oneSide struct {
	only string
	left map[key]int64
	of   func(*differing) *[]pipeline.Cell
}

func (f *found) source() oneSide {
	return oneSide{onlySource, f.missing, func(d *differing) *[]pipeline.Cell { return &d.source }}
}

func (f *found) target() oneSide {
	return oneSide{onlyTarget, f.extra, func(d *differing) *[]pipeline.Cell { return &d.target }}
}

// row looks at a row of a side: is it the only one that has it, or does it differ? It ends
// the reading when nothing more is looked for.
func (f *found) row(c *check, at oneSide, cells []pipeline.Cell) error {
	k, _ := c.rows.hash(cells)
	if d := f.differ[k]; d != nil {
		*at.of(d) = clone(cells)
	}
	if at.left[k] > 0 {
		c.out.Examples = append(c.out.Examples, at.only+c.rows.show(cells))
		if at.left[k]--; at.left[k] == 0 {
			delete(at.left, k)
		}
	}
	for _, d := range f.differ {
		if *at.of(d) == nil {
			return nil
		}
	}
	if len(at.left) == 0 {
		return errEnough
	}
	return nil
}

func (r *rows) columnsThatDiffer(source, target []pipeline.Cell) (out []string) {
	if source == nil || target == nil {
		return nil
	}
	for i := range source {
		if a, b := source[i], target[i]; a.Null != b.Null || !bytes.Equal(a.Text, b.Text) {
			out = append(out, r.columns[i].Name+" is "+show(a)+" in the source, "+show(b)+" in the target")
		}
	}
	return out
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
