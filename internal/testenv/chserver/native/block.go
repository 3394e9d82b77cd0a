package native

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Column is the head of a column.
type Column struct{ Name, Type string }

// Block is a block in one of the dialects.
type Block struct {
	Columns []Column
	Rows    uint64
	Data    []byte // the whole block
}

// blockInfo is the one that says nothing: no overflow, no bucket.
var blockInfo = []byte{1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0}

// FromWire reads a block as it comes over a connection of revision 54454 or later, and
// leaves it in the format of the engine. It appends to buf and reads no byte too many.
func FromWire(r *bufio.Reader, buf []byte) (Block, error) {
	s := &source{r: r, out: buf}
	if err := s.skipBlockInfo(); err != nil {
		return Block{}, err
	}
	return s.block(func(s *source) error {
		custom, err := s.r.ReadByte()
		if err != nil {
			return eof(err)
		}
		if custom != 0 {
			return errors.New("a custom serialization: the format of revision 54460 has one, that is not known here")
		}
		return nil
	})
}

// skipBlockInfo reads the fields in front of a block.
func (s *source) skipBlockInfo() error {
	for {
		field, err := s.skipNumber()
		if err != nil {
			return err
		}
		width := 0
		switch field {
		case 0:
			return nil
		case 1:
			width = 1
		case 2:
			width = 4
		default:
			return fmt.Errorf("field %d of a block's info is not known", field)
		}
		if _, err := s.r.Discard(width); err != nil {
			return eof(err)
		}
	}
}

// ToWire takes the blocks out of what the engine wrote, one after the other, as a connection
// of revision 54454 or later carries them.
func ToWire(data []byte, use func(Block) error) error {
	r := bufio.NewReaderSize(bytes.NewReader(data), min(len(data), 256<<10))
	for {
		if _, err := r.Peek(1); errors.Is(err, io.EOF) {
			return nil
		}
		s := &source{r: r, out: append(make([]byte, 0, len(data)+4096), blockInfo...)}
		b, err := s.block(func(s *source) error {
			s.out = append(s.out, 0)
			return nil
		})
		if err != nil {
			return err
		}
		if err := use(b); err != nil {
			return err
		}
	}
}

// Empty is a block of no rows for a connection: the head of an answer or of an insert.
func Empty(columns []Column) []byte {
	b := append([]byte(nil), blockInfo...)
	b = appendNumber(b, uint64(len(columns)))
	b = appendNumber(b, 0)
	for _, c := range columns {
		b = appendText(b, c.Name)
		b = append(appendText(b, c.Type), 0)
	}
	return b
}

// Texts is a block of String columns for a connection.
func Texts(names []string, rows [][]string) []byte {
	b := append([]byte(nil), blockInfo...)
	b = appendNumber(appendNumber(b, uint64(len(names))), uint64(len(rows)))
	for i, name := range names {
		b = append(appendText(appendText(b, name), "String"), 0)
		for _, row := range rows {
			b = appendText(b, row[i])
		}
	}
	return b
}

func appendNumber(b []byte, v uint64) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

func appendText(b []byte, s string) []byte {
	return append(appendNumber(b, uint64(len(s))), s...)
}

// block copies a block; between stands between a type and the values.
func (s *source) block(between func(*source) error) (Block, error) {
	columns, err := s.number()
	if err != nil {
		return Block{}, err
	}
	if columns > maxColumns {
		return Block{}, fmt.Errorf("a block of %d columns: %d are the limit", columns, maxColumns)
	}
	rows, err := s.number()
	if err != nil {
		return Block{}, err
	}
	b := Block{Rows: rows}
	for range columns {
		c, err := s.column(rows, between)
		if err != nil {
			if c.Name != "" {
				err = fmt.Errorf("column %.200q: %w", c.Name, err)
			}
			return Block{}, err
		}
		b.Columns = append(b.Columns, c)
	}
	b.Data = s.out
	return b, nil
}

// column copies one; a column of no rows is its head alone.
func (s *source) column(rows uint64, between func(*source) error) (c Column, err error) {
	if c.Name, err = s.name(); err != nil {
		return c, err
	}
	if c.Type, err = s.name(); err != nil {
		return c, err
	}
	if err := between(s); err != nil || rows == 0 {
		return c, err
	}
	walker, err := newColumn(c.Type, 0)
	if err != nil {
		return c, err
	}
	if err := walker.prefix(s); err != nil {
		return c, err
	}
	return c, walker.values(s, rows)
}
