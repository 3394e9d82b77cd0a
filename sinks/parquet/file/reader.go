package file

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"path"

	"github.com/parquet-go/parquet-go"

	"github.com/millrace/millrace/sinks/delta"
	"github.com/millrace/millrace/sinks/objects"
)

// Reader reads the rows of one of the sink's own files.
type Reader struct {
	name   string // in the store
	shown  string // as people know it
	file   objects.Object
	pq     *parquet.File
	Leaves []string
	groups []parquet.RowGroup
	rows   parquet.Rows
	buf    []parquet.Row
}

// Damage is what is wrong with a file's content.
type Damage struct {
	Name  string // in the store
	shown string // as people know it
	err   error
}

func (d *Damage) Error() string { return d.shown + " is damaged: " + d.err.Error() }
func (d *Damage) Unwrap() error { return d.err }

// PathOf is where a file of a table lies. Other programs escape its name in the log.
func PathOf(dir string, a *delta.Add) string {
	if plain, err := url.PathUnescape(a.Path); err == nil {
		return path.Join(dir, plain)
	}
	return path.Join(dir, a.Path)
}

// Open opens a file of the store for reading; shown is its name as people know it.
func Open(ctx context.Context, store objects.Store, name, shown string) (s *Reader, err error) {
	f, err := store.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer func() {
		if p := recover(); p != nil {
			err = &Damage{name, shown, fmt.Errorf("%v", p)}
		}
		if err != nil {
			f.Close()
		}
	}()
	pq, err := parquet.OpenFile(f, f.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.ReadBufferSize(128<<10))
	if err != nil {
		return nil, &Damage{name, shown, err}
	}
	s = &Reader{name: name, shown: shown, file: f, pq: pq, groups: pq.RowGroups(), buf: make([]parquet.Row, batchRows)}
	for _, p := range pq.Schema().Columns() {
		s.Leaves = append(s.Leaves, path.Join(p...))
	}
	return s, nil
}

// leaf is the place of a column, -1 when the file has none of the name.
func (s *Reader) leaf(name string) int {
	for i, l := range s.Leaves {
		if l == name {
			return i
		}
	}
	return -1
}

// Count is the number of rows.
func (s *Reader) Count() int64 { return s.pq.NumRows() }

// Bytes is the size of the rows without compression.
func (s *Reader) Bytes() int64 {
	n := int64(0)
	for _, g := range s.pq.Metadata().RowGroups {
		n += g.TotalByteSize
	}
	return n
}

// Each hands out all rows, some at a time, until ctx ends. They are valid during the call.
func (s *Reader) Each(ctx context.Context, do func(rows []parquet.Row) error) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		rows, err := s.Next()
		if err != nil || rows == nil {
			return err
		}
		if err := do(rows); err != nil {
			return err
		}
	}
}

// Next returns some rows, nil at the end. They are valid until the call that follows.
func (s *Reader) Next() (rows []parquet.Row, err error) {
	defer func() {
		if p := recover(); p != nil {
			rows, err = nil, &Damage{s.name, s.shown, fmt.Errorf("%v", p)}
		}
	}()
	for {
		if s.rows == nil {
			if len(s.groups) == 0 {
				return nil, nil
			}
			s.rows, s.groups = s.groups[0].Rows(), s.groups[1:]
		}
		n, err := s.rows.ReadRows(s.buf)
		if n > 0 {
			if err != nil && err != io.EOF {
				return nil, &Damage{s.name, s.shown, err}
			}
			return s.buf[:n], nil
		}
		if err != nil && err != io.EOF {
			return nil, &Damage{s.name, s.shown, err}
		}
		if err := s.rows.Close(); err != nil {
			return nil, err
		}
		s.rows = nil
	}
}

// Close ends the reading.
func (s *Reader) Close() {
	if s.rows != nil {
		s.rows.Close()
	}
	s.file.Close()
}
