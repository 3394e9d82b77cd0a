package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// lake reads a pipeline's tables with arrow-go and a few lines of its own for the list of
// live files. It implements pipeline.Reader.
type lake struct{ dir string }

func (l lake) Tables(context.Context) ([]event.TableName, error) {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return nil, err
	}
	var names []event.TableName
	for _, e := range entries {
		if db, table, ok := strings.Cut(e.Name(), "."); ok {
			names = append(names, event.TableName{DB: db, Table: table})
		}
	}
	return names, nil
}

func (l lake) Close() error { return nil }

func (l lake) table(name event.TableName, part string) string {
	return filepath.Join(l.dir, name.String(), part)
}

type deltaField struct {
	Name     string         `json:"name"`
	Metadata map[string]any `json:"metadata"`
}

// live replays a Delta log from its first entry (the demo's logs are short enough that
// none has been cleaned away) up to a version, -1 = the newest. It returns the version.
func live(table string, upTo int64) (files []string, fields []deltaField, version int64, err error) {
	present := map[string]bool{}
	for version = 0; upTo < 0 || version <= upTo; version++ {
		entry, err := os.Open(filepath.Join(table, "_delta_log", fmt.Sprintf("%020d.json", version)))
		if errors.Is(err, os.ErrNotExist) {
			break
		}
		if err != nil {
			return nil, nil, 0, err
		}
		lines := bufio.NewScanner(entry)
		lines.Buffer(nil, 16<<20)
		for lines.Scan() {
			var a struct {
				Add, Remove *struct{ Path string }
				MetaData    *struct{ SchemaString string }
			}
			if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
				return nil, nil, 0, errors.Join(fmt.Errorf("%s: %w", entry.Name(), err), entry.Close())
			}
			switch {
			case a.Add != nil:
				present[a.Add.Path] = true
			case a.Remove != nil:
				delete(present, a.Remove.Path)
			case a.MetaData != nil:
				var schema struct{ Fields []deltaField }
				if err := json.Unmarshal([]byte(a.MetaData.SchemaString), &schema); err != nil {
					return nil, nil, 0, errors.Join(err, entry.Close())
				}
				fields = schema.Fields
			}
		}
		if err := errors.Join(lines.Err(), entry.Close()); err != nil {
			return nil, nil, 0, err
		}
	}
	if version == 0 {
		return nil, nil, 0, fmt.Errorf("%s has no log", table)
	}
	for path := range present {
		plain, err := url.PathUnescape(path)
		if err != nil {
			return nil, nil, 0, err
		}
		files = append(files, filepath.Join(table, plain))
	}
	sort.Strings(files)
	return files, fields, version - 1, nil
}

// Read reads current/ of a table.
func (l lake) Read(ctx context.Context, name event.TableName, columns func([]pipeline.ReadColumn) error,
	row func([]pipeline.Cell) error) error {
	files, fields, _, err := live(l.table(name, "current"), -1)
	if err != nil {
		return err
	}
	shown := make([]pipeline.ReadColumn, len(fields))
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i], shown[i].Name = f.Name, f.Name
		if original, ok := f.Metadata["millrace.name"].(string); ok {
			shown[i].Name = original
		}
		shown[i].RawOf, _ = f.Metadata["millrace.rawOf"].(string)
		shown[i].Own = f.Metadata["millrace.id"] == nil && shown[i].RawOf == ""
	}
	if err := columns(shown); err != nil {
		return err
	}
	for _, path := range files {
		if err := readParquet(ctx, path, names, row); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// readParquet calls row for every row of a file with the named columns; one that the file
// lacks is NULL.
func readParquet(ctx context.Context, path string, names []string, row func([]pipeline.Cell) error) error {
	opened, err := file.OpenParquetFile(path, false)
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
		for _, n := range names {
			if opened.MetaData().Schema.Column(i).Name() == n {
				wanted = append(wanted, i)
			}
		}
	}
	records, err := reader.GetRecordReader(ctx, wanted, nil)
	if err != nil {
		return err
	}
	defer records.Release()
	cells := make([]pipeline.Cell, len(names))
	for records.Next() {
		record := records.RecordBatch()
		place := make([]arrow.Array, len(names))
		for i, n := range names {
			if at := record.Schema().FieldIndices(n); len(at) > 0 {
				place[i] = record.Column(at[0])
			}
		}
		for r := range int(record.NumRows()) {
			for i, column := range place {
				if cells[i], err = arrowCell(column, r); err != nil {
					return err
				}
			}
			if err := row(cells); err != nil {
				return err
			}
		}
	}
	if err := records.Err(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

const civil = "2006-01-02 15:04:05.000000"

func arrowCell(column arrow.Array, row int) (pipeline.Cell, error) {
	if column == nil || column.IsNull(row) {
		return pipeline.Cell{Null: true}, nil
	}
	var s string
	switch c := column.(type) {
	case *array.String:
		s = c.Value(row)
	case *array.Binary:
		s = hex.EncodeToString(c.Value(row))
	case *array.Boolean:
		s = strconv.FormatBool(c.Value(row))
	case *array.Int8:
		s = strconv.FormatInt(int64(c.Value(row)), 10)
	case *array.Int16:
		s = strconv.FormatInt(int64(c.Value(row)), 10)
	case *array.Int32:
		s = strconv.FormatInt(int64(c.Value(row)), 10)
	case *array.Int64:
		s = strconv.FormatInt(c.Value(row), 10)
	case *array.Float32:
		s = strconv.FormatFloat(float64(c.Value(row)), 'g', -1, 32)
	case *array.Float64:
		s = strconv.FormatFloat(c.Value(row), 'g', -1, 64)
	case *array.Date32:
		s = c.Value(row).ToTime().Format("2006-01-02")
	case *array.Timestamp:
		s = c.Value(row).ToTime(c.DataType().(*arrow.TimestampType).Unit).UTC().Format(civil)
	case *array.Decimal128:
		s = decimalText(c.Value(row).BigInt(), c.DataType().(*arrow.Decimal128Type).Scale)
	case *array.Decimal256:
		s = decimalText(c.Value(row).BigInt(), c.DataType().(*arrow.Decimal256Type).Scale)
	default:
		return pipeline.Cell{}, fmt.Errorf("no rendering for %s", column.DataType())
	}
	return pipeline.Cell{Text: []byte(s)}, nil
}

func decimalText(unscaled *big.Int, scale int32) string {
	digits, sign := new(big.Int).Abs(unscaled).String(), ""
	if unscaled.Sign() < 0 {
		sign = "-"
	}
	if scale == 0 {
		return sign + digits
	}
	for len(digits) <= int(scale) {
		digits = "0" + digits
	}
	point := len(digits) - int(scale)
	return sign + digits[:point] + "." + digits[point:]
}
