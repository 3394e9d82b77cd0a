package parquet

import (
	"fmt"
	"io"
	"net/url"
	"path"

	"github.com/parquet-go/parquet-go"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/sinks/delta"
)

// scanner reads the rows of one of the sink's own files.
type scanner struct {
	name   string
	file   vfs.File
	pq     *parquet.File
	leaves []string
	groups []parquet.RowGroup
	rows   parquet.Rows
	buf    []parquet.Row
}

// damage is what is wrong with a file's content.
type damage struct {
	name string
	err  error
}

func (d *damage) Error() string { return d.name + " is damaged: " + d.err.Error() }
func (d *damage) Unwrap() error { return d.err }

// fileOf is where a file of a table lies. Other programs escape its name in the log.
func fileOf(dir string, a *delta.Add) string {
	if plain, err := url.PathUnescape(a.Path); err == nil {
		return path.Join(dir, plain)
	}
	return path.Join(dir, a.Path)
}

func openScanner(fsys vfs.FS, name string) (s *scanner, err error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() {
		if p := recover(); p != nil {
			err = &damage{name, fmt.Errorf("%v", p)}
		}
		if err != nil {
			f.Close()
		}
	}()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	pq, err := parquet.OpenFile(f, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.ReadBufferSize(128<<10))
	if err != nil {
		return nil, &damage{name, err}
	}
	s = &scanner{name: name, file: f, pq: pq, groups: pq.RowGroups(), buf: make([]parquet.Row, batchRows)}
	for _, p := range pq.Schema().Columns() {
		s.leaves = append(s.leaves, path.Join(p...))
	}
	return s, nil
}

// leaf is the place of a column, -1 when the file has none of the name.
func (s *scanner) leaf(name string) int {
	for i, l := range s.leaves {
		if l == name {
			return i
		}
	}
	return -1
}

// bytes is the size of the rows without compression.
func (s *scanner) bytes() int64 {
	n := int64(0)
	for _, g := range s.pq.Metadata().RowGroups {
		n += g.TotalByteSize
	}
	return n
}

// next returns some rows, nil at the end. They are valid until the call that follows.
func (s *scanner) next() (rows []parquet.Row, err error) {
	defer func() {
		if p := recover(); p != nil {
			rows, err = nil, &damage{s.name, fmt.Errorf("%v", p)}
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
				return nil, &damage{s.name, err}
			}
			return s.buf[:n], nil
		}
		if err != nil && err != io.EOF {
			return nil, &damage{s.name, err}
		}
		if err := s.rows.Close(); err != nil {
			return nil, err
		}
		s.rows = nil
	}
}

func (s *scanner) close() {
	if s.rows != nil {
		s.rows.Close()
	}
	s.file.Close()
}
