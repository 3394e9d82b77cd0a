package verify

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/millrace/millrace/pipeline"
)

// ErrChanged says that a side's columns are not those that the comparison began with.
var ErrChanged = errors.New("the table has changed meanwhile")

// rows turns the rows of both sides into keys and hashes.
type rows struct {
	columns []pipeline.ReadColumn // of the source
	keyed   bool
	// place[i] is where source column i stands in a target row, raw[i] where the text of
	// its unholdable values does (-1: nowhere).
	place, raw []int
	seen       []pipeline.ReadColumn // of the target, the last time
	scratch    []pipeline.Cell
	buffer     []byte
	blob       []byte
}

// source takes the source's columns, and refuses others than those of the first time.
func (r *rows) source(columns []pipeline.ReadColumn) error {
	if r.columns != nil {
		if !slices.Equal(columns, r.columns) {
			return ErrChanged
		}
		return nil
	}
	r.columns = slices.Clone(columns)
	for _, col := range columns {
		r.keyed = r.keyed || col.Key
	}
	r.scratch = make([]pipeline.Cell, len(columns))
	return nil
}

// target finds the source's columns in the target's, and returns those that it lacks and those
// that it has too many.
func (r *rows) target(columns []pipeline.ReadColumn) (missing, extra []string) {
	at := func(match func(pipeline.ReadColumn) bool) int { return slices.IndexFunc(columns, match) }
	r.place, r.raw, r.seen = r.place[:0], r.raw[:0], slices.Clone(columns)
	for _, want := range r.columns {
		place := at(func(col pipeline.ReadColumn) bool { return col.RawOf == "" && col.Name == want.Name })
		r.place = append(r.place, place)
		r.raw = append(r.raw, at(func(col pipeline.ReadColumn) bool { return col.RawOf == want.Name }))
		if place < 0 {
			missing = append(missing, want.Name)
		}
	}
	for _, have := range columns {
		of := have.Name
		if have.RawOf != "" {
			of = have.RawOf
		}
		if !have.Own && !slices.ContainsFunc(r.columns, func(col pipeline.ReadColumn) bool { return col.Name == of }) {
			extra = append(extra, have.Name)
		}
	}
	return missing, extra
}

// arrange puts a target row into the order of the source's columns. The result is valid
// until the next call.
func (r *rows) arrange(cells []pipeline.Cell) []pipeline.Cell {
	for i := range r.columns {
		switch {
		case r.raw[i] >= 0 && !cells[r.raw[i]].Null:
			r.scratch[i] = cells[r.raw[i]]
		case r.place[i] >= 0:
			r.scratch[i] = cells[r.place[i]]
		default:
			r.scratch[i] = pipeline.Cell{Null: true}
		}
	}
	return r.scratch
}

// hash is the key's and the row's hash; every cell is preceded by its length, and NULL
// by a length that none has. A row without a key is its own.
func (r *rows) hash(cells []pipeline.Cell) (key, uint64) {
	r.buffer = r.buffer[:0]
	for i, cell := range cells {
		if !r.keyed || r.columns[i].Key {
			r.buffer = appendCell(r.buffer, cell)
		}
	}
	k := hashKey(r.buffer)
	if !r.keyed {
		return k, k[0]
	}
	r.buffer = r.buffer[:0]
	for _, cell := range cells {
		r.buffer = appendCell(r.buffer, cell)
	}
	return k, xxhash.Sum64(r.buffer)
}

func hashKey(b []byte) key {
	d := xxhash.NewWithSeed(0x6d696c6c)
	_, _ = d.Write(b)
	return key{mix(xxhash.Sum64(b)), d.Sum64()}
}

// mix spreads a hash over its high bits, which choose the part.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	return h ^ h>>29
}

func appendCell(b []byte, cell pipeline.Cell) []byte {
	if cell.Null {
		return binary.AppendUvarint(b, 1<<63)
	}
	return append(binary.AppendUvarint(b, uint64(len(cell.Text))), cell.Text...)
}

// keyCells is the row's key, as it is kept on disk; nothing for a table without one. The
// result is valid until the next call.
func (r *rows) keyCells(cells []pipeline.Cell) []byte {
	r.blob = r.blob[:0]
	if r.keyed {
		for i, cell := range cells {
			if r.columns[i].Key {
				r.blob = appendCell(r.blob, cell)
			}
		}
	}
	return r.blob
}

// parseCells is the opposite of keyCells. The cells have b's bytes.
func parseCells(b []byte) ([]pipeline.Cell, error) {
	var out []pipeline.Cell
	for len(b) > 0 {
		n, m := binary.Uvarint(b)
		switch {
		case m <= 0:
			return nil, errors.New("a key on disk is cut short")
		case n == 1<<63:
			out, b = append(out, pipeline.Cell{Null: true}), b[m:]
		case n > uint64(len(b)-m):
			return nil, errors.New("a key on disk is cut short")
		default:
			out, b = append(out, pipeline.Cell{Text: b[m : m+int(n) : m+int(n)]}), b[m+int(n):]
		}
	}
	return out, nil
}

// show names a row: its key, or all of it where the table has none.
func (r *rows) show(cells []pipeline.Cell) string {
	var named []string
	for i, cell := range cells {
		if !r.keyed || r.columns[i].Key {
			named = append(named, r.columns[i].Name+"="+show(cell))
		}
	}
	return strings.Join(named, " ")
}

// showKey is show for a key alone.
func (r *rows) showKey(blob []byte) string {
	cells, err := parseCells(blob)
	if err != nil {
		return fmt.Sprintf("(%v)", err)
	}
	var named []string
	for _, col := range r.columns {
		if col.Key && len(cells) > 0 {
			named, cells = append(named, col.Name+"="+show(cells[0])), cells[1:]
		}
	}
	return strings.Join(named, " ")
}
