package verify

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// Table is the outcome for one table.
type Table struct {
	Name           string   `json:"name"`
	SourceRows     int64    `json:"source_rows"`
	TargetRows     int64    `json:"target_rows"`
	SourceChecksum string   `json:"source_checksum"`
	TargetChecksum string   `json:"target_checksum"`
	Missing        int64    `json:"missing"`            // in the source only
	Extra          int64    `json:"extra"`              // in the target only
	Different      int64    `json:"different"`          // same key, other values
	Duplicates     int64    `json:"duplicates"`         // further rows of a key that the source has too
	Examples       []string `json:"examples,omitempty"` // five of each kind at most
	Problem        string   `json:"problem,omitempty"`  // columns that don't match
}

// Equal reports whether both sides hold the same rows.
func (t Table) Equal() bool {
	return t.Problem == "" && t.Missing+t.Extra+t.Different+t.Duplicates == 0
}

// maxExamples is how many rows of each kind are named.
const maxExamples = 5

// Compare reads a table on both sides. An error means that a side could not be read; a
// difference is no error, nor is a table that the target does not have (fs.ErrNotExist).
func Compare(ctx context.Context, source, target pipeline.Reader, name event.TableName) (Table, error) {
	c := comparison{out: Table{Name: name.String()}, rows: map[key]entry{}, counts: map[key]int32{}, differing: map[key][]pipeline.Cell{}}
	if err := source.Read(ctx, name, c.sourceColumns, c.sourceRow); err != nil {
		return c.out, fmt.Errorf("read %s from the source: %w", name, err)
	}
	err := target.Read(ctx, name, c.targetColumns, c.targetRow)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !c.opened:
		c.out.Problem = "the target does not have the table: see its state with millrace pipeline status"
	case err != nil:
		return c.out, fmt.Errorf("read %s from the target: %w", name, err)
	}
	c.finish()
	c.explain(ctx, source, target, name)
	return c.out, nil
}

// key is a 128-bit hash: of the key columns, or of the whole row in a keyless table.
type key [2]uint64

// entry is a source row of a keyed table.
type entry struct {
	hash  uint64
	there bool // the target has a row with this key
}

type comparison struct {
	out     Table
	columns []pipeline.ReadColumn // of the source
	target  []pipeline.ReadColumn // the target's own
	keyed   bool
	opened  bool // the target told its columns
	// place[i] is where source column i stands in a target row, raw[i] where the text of
	// its unholdable values does (-1: nowhere).
	place, raw []int
	rows       map[key]entry // keyed tables
	counts     map[key]int32 // keyless tables: source rows minus target rows
	sums       [2]uint64
	differing  map[key][]pipeline.Cell // what the target says of some keys
	named      int                     // examples of what the target lacks
	shown      int                     // examples of what only the target has, without keys
	scratch    []pipeline.Cell
	buffer     []byte
}

func (c *comparison) sourceColumns(columns []pipeline.ReadColumn) error {
	c.columns = columns
	for _, col := range columns {
		c.keyed = c.keyed || col.Key
	}
	c.scratch = make([]pipeline.Cell, len(columns))
	return nil
}

func (c *comparison) sourceRow(cells []pipeline.Cell) error {
	c.out.SourceRows++
	k, h := c.hash(cells)
	c.sums[0] += h
	if !c.keyed {
		c.counts[k]++
		return nil
	}
	if _, twice := c.rows[k]; twice {
		return fmt.Errorf("the source returned the key %s twice", c.keyOf(cells))
	}
	c.rows[k] = entry{hash: h}
	return nil
}

func (c *comparison) targetColumns(columns []pipeline.ReadColumn) error {
	at := func(match func(pipeline.ReadColumn) bool) int {
		for i, col := range columns {
			if match(col) {
				return i
			}
		}
		return -1
	}
	c.opened, c.target = true, columns
	var missing []string
	for _, want := range c.columns {
		place := at(func(col pipeline.ReadColumn) bool { return col.RawOf == "" && col.Name == want.Name })
		c.place = append(c.place, place)
		c.raw = append(c.raw, at(func(col pipeline.ReadColumn) bool { return col.RawOf == want.Name }))
		if place < 0 {
			missing = append(missing, want.Name)
		}
	}
	if len(missing) > 0 {
		c.out.Problem = "the target lacks the columns " + strings.Join(missing, ", ")
	}
	return nil
}

func (c *comparison) targetRow(cells []pipeline.Cell) error {
	c.out.TargetRows++
	c.arrange(cells)
	k, h := c.hash(c.scratch)
	c.sums[1] += h
	if !c.keyed {
		c.counts[k]--
		return nil
	}
	have, ok := c.rows[k]
	switch {
	case !ok:
		if c.out.Extra++; c.out.Extra <= maxExamples {
			c.example("only in the target: ", c.scratch)
		}
		return nil
	case have.there:
		if c.out.Duplicates++; c.out.Duplicates <= maxExamples {
			c.example("twice in the target: ", c.scratch)
		}
	case have.hash != h:
		if c.out.Different++; c.out.Different <= maxExamples {
			c.differing[k] = clone(c.scratch)
		}
	}
	have.there = true
	c.rows[k] = have
	return nil
}

// arrange puts a target row into scratch, in the order of the source's columns.
func (c *comparison) arrange(cells []pipeline.Cell) {
	for i := range c.columns {
		switch {
		case c.raw[i] >= 0 && !cells[c.raw[i]].Null:
			c.scratch[i] = cells[c.raw[i]]
		case c.place[i] >= 0:
			c.scratch[i] = cells[c.place[i]]
		default:
			c.scratch[i] = pipeline.Cell{Null: true}
		}
	}
}

func (c *comparison) finish() {
	for _, e := range c.rows {
		if !e.there {
			c.out.Missing++
		}
	}
	for _, n := range c.counts {
		if n > 0 {
			c.out.Missing += int64(n)
		} else {
			c.out.Extra -= int64(n)
		}
	}
	c.out.SourceChecksum = fmt.Sprintf("%016x", c.sums[0])
	c.out.TargetChecksum = fmt.Sprintf("%016x", c.sums[1])
}

// hash is the key's and the row's hash; every cell is preceded by its length, and NULL
// by a length that none has.
func (c *comparison) hash(cells []pipeline.Cell) (key, uint64) {
	c.buffer = c.buffer[:0]
	for i, cell := range cells {
		if c.keyed && !c.columns[i].Key {
			continue
		}
		c.buffer = appendCell(c.buffer, cell)
	}
	low := xxhash.Sum64(c.buffer)
	high := xxhash.Sum64(append(c.buffer, 1))
	if !c.keyed {
		return key{low, high}, low
	}
	c.buffer = c.buffer[:0]
	for _, cell := range cells {
		c.buffer = appendCell(c.buffer, cell)
	}
	return key{low, high}, xxhash.Sum64(c.buffer)
}

func appendCell(b []byte, cell pipeline.Cell) []byte {
	if cell.Null {
		return binary.AppendUvarint(b, 1<<63)
	}
	return append(binary.AppendUvarint(b, uint64(len(cell.Text))), cell.Text...)
}
