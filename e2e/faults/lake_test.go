package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

// duplicates counts the rows of changes/ of a table and those whose identity, _src, was
// there before. It reads the log from its first entry, with code of its own.
func duplicates(ctx context.Context, changes string) (rows int, twice []string, err error) {
	files, err := liveFiles(changes)
	if err != nil {
		return 0, nil, err
	}
	seen := map[string]bool{}
	for _, path := range files {
		err := identities(ctx, path, func(id string) {
			rows++
			if seen[id] {
				twice = append(twice, id)
			}
			seen[id] = true
		})
		if err != nil {
			return 0, nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return rows, twice, nil
}

func liveFiles(table string) ([]string, error) {
	present := map[string]bool{}
	for version := 0; ; version++ {
		entry, err := os.Open(filepath.Join(table, "_delta_log", fmt.Sprintf("%020d.json", version)))
		if errors.Is(err, os.ErrNotExist) {
			break
		}
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(entry)
		lines.Buffer(nil, 16<<20)
		for lines.Scan() {
			var a struct{ Add, Remove *struct{ Path string } }
			if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
				return nil, errors.Join(err, entry.Close())
			}
			if a.Add != nil {
				present[a.Add.Path] = true
			}
			if a.Remove != nil {
				delete(present, a.Remove.Path)
			}
		}
		if err := errors.Join(lines.Err(), entry.Close()); err != nil {
			return nil, err
		}
	}
	files := make([]string, 0, len(present))
	for path := range present {
		plain, err := url.PathUnescape(path)
		if err != nil {
			return nil, err
		}
		files = append(files, filepath.Join(table, plain))
	}
	return files, nil
}

// identities calls each with the column _src of every row of a file.
func identities(ctx context.Context, path string, each func(string)) error {
	opened, err := file.OpenParquetFile(path, false)
	if err != nil {
		return err
	}
	defer opened.Close()
	reader, err := pqarrow.NewFileReader(opened, pqarrow.ArrowReadProperties{BatchSize: 8192}, memory.DefaultAllocator)
	if err != nil {
		return err
	}
	column := opened.MetaData().Schema.ColumnIndexByName("_src")
	if column < 0 {
		return errors.New("no column _src")
	}
	records, err := reader.GetRecordReader(ctx, []int{column}, nil)
	if err != nil {
		return err
	}
	defer records.Release()
	for records.Next() {
		ids, ok := records.RecordBatch().Column(0).(*array.String)
		if !ok {
			return fmt.Errorf("_src is %s", records.RecordBatch().Column(0).DataType())
		}
		for i := range ids.Len() {
			if !ids.IsNull(i) {
				each(ids.Value(i))
			}
		}
	}
	if err := records.Err(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}
