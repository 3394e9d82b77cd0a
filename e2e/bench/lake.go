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
	grown   int64            // the last version that added rows
	merged  int64            // of current/: the version of changes/ that it is made of
}

// newDeltaTable follows one part of a table, which is named with its database.
func newDeltaTable(lake, table, part string) *deltaTable {
	return &deltaTable{dir: filepath.Join(lake, "bench", table, part), files: map[string]int64{}, merged: -1}
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
			Domain *struct{ Domain, Configuration string } `json:"domainMetadata"`
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
			t.grown = t.version
			added = append(added, a.Add.Path)
		case a.Remove != nil:
			t.rows -= t.files[a.Remove.Path]
			delete(t.files, a.Remove.Path)
		case a.Domain != nil && a.Domain.Domain == "millrace.merge":
			var fact struct{ Version int64 }
			if err := json.Unmarshal([]byte(a.Domain.Configuration), &fact); err != nil {
				return nil, fmt.Errorf("how far current/ is merged: %w", err)
			}
			t.merged = fact.Version
		}
	}
	return added, lines.Err()
}

// follow reads tables' new entries again and again until done.
func follow(ctx context.Context, what string, tables []*deltaTable, done func() bool) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, t := range tables {
			if _, err := t.advance(); err != nil {
				return err
			}
		}
		if done() {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, ctx.Err())
		}
	}
}

// target is both parts of some tables.
type target struct {
	names            []string
	changes, current []*deltaTable
}

func newTarget(lake string, names ...string) *target {
	t := &target{names: names}
	for _, n := range names {
		t.changes = append(t.changes, newDeltaTable(lake, n, "changes"))
		t.current = append(t.current, newDeltaTable(lake, n, "current"))
	}
	return t
}

// shown is how many rows changes/ has in all.
func (t *target) shown(ctx context.Context) (rows int64, err error) {
	err = follow(ctx, "read changes/", t.changes, func() bool { return true })
	for _, c := range t.changes {
		rows += c.rows
	}
	return rows, err
}

// awaitChanges waits until changes/ has n rows in all.
func (t *target) awaitChanges(ctx context.Context, n int64) error {
	return follow(ctx, fmt.Sprintf("wait for %d rows in changes/", n), t.changes, func() bool {
		rows := int64(0)
		for _, c := range t.changes {
			rows += c.rows
		}
		return rows >= n
	})
}

// awaitCurrent waits until each current/ is made of all rows that its changes/ held at the
// call.
func (t *target) awaitCurrent(ctx context.Context) error {
	goals := make([]int64, len(t.changes))
	for i, c := range t.changes {
		goals[i] = c.grown
	}
	return follow(ctx, "wait for current/", t.current, func() bool {
		for i, c := range t.current {
			if c.merged < goals[i] {
				return false
			}
		}
		return true
	})
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
