package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

const civil = "2006-01-02 15:04:05.000000"

// deltaTable follows a Delta table's log with code that shares nothing with the sink's.
type deltaTable struct {
	dir     string
	version int64            // of the next entry
	files   map[string]int64 // rows of the live files
	rows    int64            // of all of them
}

func newDeltaTable(lake, table, part string) *deltaTable {
	return &deltaTable{dir: filepath.Join(lake, "bench", "shop."+table, part), files: map[string]int64{}}
}

// advance reads the entries that are new and returns the files that they added.
func (t *deltaTable) advance() (added []string, err error) {
	for {
		f, err := os.Open(filepath.Join(t.dir, "_delta_log", fmt.Sprintf("%020d.json", t.version)))
		if errors.Is(err, os.ErrNotExist) {
			return added, nil
		}
		if err != nil {
			return added, err
		}
		more, err := t.entry(f)
		if err = errors.Join(err, f.Close()); err != nil {
			return added, fmt.Errorf("%s: %w", f.Name(), err)
		}
		added = append(added, more...)
		t.version++
	}
}

func (t *deltaTable) entry(f *os.File) (added []string, err error) {
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var a struct {
			Add    *struct{ Path, Stats string }
			Remove *struct{ Path string }
		}
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			return nil, err
		}
		switch {
		case a.Add != nil:
			var stats struct{ NumRecords int64 }
			if err := json.Unmarshal([]byte(a.Add.Stats), &stats); err != nil {
				return nil, fmt.Errorf("the statistics of %s: %w", a.Add.Path, err)
			}
			t.rows += stats.NumRecords - t.files[a.Add.Path]
			t.files[a.Add.Path] = stats.NumRecords
			added = append(added, a.Add.Path)
		case a.Remove != nil:
			t.rows -= t.files[a.Remove.Path]
			delete(t.files, a.Remove.Path)
		}
	}
	return added, lines.Err()
}

// await follows the table until it shows n rows.
func (t *deltaTable) await(ctx context.Context, n int64) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := t.advance(); err != nil {
			return err
		}
		if t.rows >= n {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s shows %d of %d rows: %w", t.dir, t.rows, n, ctx.Err())
		}
	}
}

// readOrders calls row with id and placed_at of every row of a data file. Entries of
// changes/ that are no rows have neither.
func (t *deltaTable) readOrders(ctx context.Context, path string, row func(id int64, placed time.Time)) error {
	plain, err := url.PathUnescape(path)
	if err != nil {
		return err
	}
	opened, err := file.OpenParquetFile(filepath.Join(t.dir, plain), false)
	if errors.Is(err, os.ErrNotExist) {
		return nil // a later version replaced it meanwhile
	}
	if err != nil {
		return err
	}
	defer opened.Close()
	reader, err := pqarrow.NewFileReader(opened, pqarrow.ArrowReadProperties{BatchSize: 8192}, memory.DefaultAllocator)
	if err != nil {
		return err
	}
	var wanted []int
	for i := range opened.MetaData().Schema.NumColumns() {
		if name := opened.MetaData().Schema.Column(i).Name(); name == "id" || name == "placed_at" {
			wanted = append(wanted, i)
		}
	}
	records, err := reader.GetRecordReader(ctx, wanted, nil)
	if err != nil {
		return err
	}
	defer records.Release()
	for records.Next() {
		batch := records.RecordBatch()
		ids, placed := batch.Schema().FieldIndices("id"), batch.Schema().FieldIndices("placed_at")
		if len(ids) == 0 || len(placed) == 0 {
			return fmt.Errorf("%s has no id or placed_at", path)
		}
		id, ok := batch.Column(ids[0]).(*array.Int64)
		at, ok2 := batch.Column(placed[0]).(*array.Timestamp)
		if !ok || !ok2 {
			return fmt.Errorf("%s: id is %s and placed_at %s", path, batch.Column(ids[0]).DataType(), batch.Column(placed[0]).DataType())
		}
		unit := at.DataType().(*arrow.TimestampType).Unit
		for i := range int(batch.NumRows()) {
			if id.IsValid(i) && at.IsValid(i) {
				row(id.Value(i), at.Value(i).ToTime(unit))
			}
		}
	}
	return records.Err()
}
