package parquet

import (
	"context"
	"fmt"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"

	"github.com/millrace/millrace/sinks/objects"
)

const (
	// pageBytes keeps what many open files hold small.
	pageBytes = 64 << 10
	// groupRows and groupBytes end a row group, so that a writer's memory is bounded.
	groupRows  = 128 << 10
	groupBytes = 32 << 20
	// batchRows are handed to the library's column writers at a time, or as many as take
	// batchBytes.
	batchRows  = 512
	batchBytes = 4 << 20
)

// fileWriter writes one Parquet file aside. When it is finished it is put under its own
// name, which must not be taken, so a name never stands for anything but the whole file.
type fileWriter struct {
	out    *objects.File
	w      *parquet.Writer
	cols   []*parquet.ColumnWriter
	leaves []leafSpec
	vals   [][]parquet.Value
	stats  []colStats

	rows       int64
	groupRows  int64
	groupBytes int64
	batchBytes int
	ones       []*int // of long columns: see openLeaf
}

func codecOf(name string) compress.Codec {
	switch name {
	case "snappy":
		return &parquet.Snappy
	case "none":
		return &parquet.Uncompressed
	}
	return &parquet.Zstd
}

func newFileWriter(scratch *objects.Scratch, schema *parquet.Schema, leaves []leafSpec, codec compress.Codec) (*fileWriter, error) {
	out, err := scratch.Create()
	if err != nil {
		return nil, err
	}
	fw := &fileWriter{out: out, leaves: leaves}
	options := []parquet.WriterOption{schema,
		parquet.Compression(codec),
		parquet.PageBufferSize(pageBytes),
		parquet.WriteBufferSize(64 << 10),
		parquet.DataPageStatistics(false),
		parquet.CreatedBy("millrace", "1", ""),
	}
	fw.ones = make([]*int, len(leaves))
	for i, l := range leaves {
		if l.long {
			fw.ones[i] = new(int)
			options = append(options, parquet.SkipPageBounds(l.name))
			options[0] = schemaOf(leaves, fw.ones)
		}
	}
	fw.w = parquet.NewWriter(fw.out, options...)
	fw.cols = fw.w.ColumnWriters()
	fw.vals = make([][]parquet.Value, len(leaves))
	fw.stats = make([]colStats, len(leaves))
	for i := range leaves {
		fw.vals[i] = make([]parquet.Value, 0, batchRows)
		fw.stats[i].typ = leaves[i].typ
	}
	return fw, nil
}

// set gives column i of the present row its value. Every column is given once a row.
func (fw *fileWriter) set(i int, v parquet.Value) {
	fw.vals[i] = append(fw.vals[i], v)
}

// endRow ends the present row, whose images took so many bytes. The values given are the
// caller's again when flushBatch has been called, or here when full is reported.
func (fw *fileWriter) endRow(bytes int) (full bool) {
	fw.rows++
	fw.groupRows++
	fw.groupBytes += int64(bytes)
	fw.batchBytes += bytes
	return len(fw.vals[0]) >= batchRows || fw.batchBytes >= batchBytes
}

// flushBatch hands the batch to the library, which copies it.
func (fw *fileWriter) flushBatch() error {
	fw.batchBytes = 0
	if len(fw.vals[0]) == 0 {
		return nil
	}
	for i, c := range fw.cols {
		fw.stats[i].addAll(fw.vals[i])
		if fw.ones[i] != nil {
			noteOnes(fw.ones[i], fw.vals[i])
		}
		if !fw.leaves[i].required {
			setLevels(fw.vals[i], i)
		}
		if n, err := c.WriteRowValues(fw.vals[i]); err != nil {
			return err
		} else if n != len(fw.vals[i]) {
			return fmt.Errorf("column %s took %d of %d values", fw.leaves[i].name, n, len(fw.vals[i]))
		}
		fw.vals[i] = fw.vals[i][:0]
	}
	if fw.groupRows >= groupRows || fw.groupBytes >= groupBytes {
		fw.groupRows, fw.groupBytes = 0, 0
		return fw.w.Flush()
	}
	return nil
}

// setLevels says which values of an optional column are there. The library looks at the
// levels of those alone.
func setLevels(vals []parquet.Value, column int) {
	for i := range vals {
		if v := &vals[i]; !v.IsNull() && v.DefinitionLevel() != 1 {
			*v = v.Level(0, 1, column)
		}
	}
}

// finish completes the file and puts it under its name. On nil it is durable; errors are
// the store's.
func (fw *fileWriter) finish(ctx context.Context, store objects.Store, name string) (size int64, err error) {
	if err := fw.flushBatch(); err != nil {
		return 0, err
	}
	if err := fw.w.Close(); err != nil {
		return 0, err
	}
	if err := store.PutIfAbsent(ctx, name, fw.out); err != nil {
		return 0, err
	}
	fw.discard() // what is left of it aside
	return fw.out.Size(), nil
}

// discard drops an unfinished file. One that cannot be removed goes with the scratch.
func (fw *fileWriter) discard() { _ = fw.out.Close() }

// statistics is what the commit log says of the file.
func (fw *fileWriter) statistics() string {
	names := make([]string, len(fw.leaves))
	stats := make([]*colStats, len(fw.leaves))
	for i := range fw.leaves {
		names[i], stats[i] = fw.leaves[i].name, &fw.stats[i]
	}
	return statsText(fw.rows, names, stats)
}
