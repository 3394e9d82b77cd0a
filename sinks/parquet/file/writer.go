package file

import (
	"context"
	"fmt"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/compress/zstd"

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

// Writer writes one Parquet file aside. When it is finished it is put under its own
// name, which must not be taken, so a name never stands for anything but the whole file.
type Writer struct {
	out    *objects.File
	w      *parquet.Writer
	cols   []*parquet.ColumnWriter
	Leaves []Leaf
	vals   [][]parquet.Value
	stats  []colStats

	Rows       int64
	groupRows  int64
	groupBytes int64
	batchBytes int
	ones       []*int // of long columns: see openLeaf
}

// fastest keeps encoders for the next page, as the library's own codecs do. A page is small: a
// higher level costs more and makes no smaller files.
var fastest = zstd.Codec{Level: zstd.SpeedFastest}

// Codec is the codec of a name in a pipeline file.
func Codec(name string) compress.Codec {
	switch name {
	case "snappy":
		return &parquet.Snappy
	case "none":
		return &parquet.Uncompressed
	}
	return &fastest
}

// NewWriter begins a file of these columns.
func NewWriter(scratch *objects.Scratch, schema *parquet.Schema, leaves []Leaf, codec compress.Codec) (*Writer, error) {
	out, err := scratch.Create()
	if err != nil {
		return nil, err
	}
	fw := &Writer{out: out, Leaves: leaves}
	options := []parquet.WriterOption{schema,
		parquet.Compression(codec),
		parquet.PageBufferSize(pageBytes),
		parquet.WriteBufferSize(64 << 10),
		parquet.DataPageStatistics(false),
		parquet.CreatedBy("millrace", "1", ""),
	}
	fw.ones = make([]*int, len(leaves))
	for i, l := range leaves {
		if l.Long {
			fw.ones[i] = new(int)
			options = append(options, parquet.SkipPageBounds(l.Name))
			options[0] = schemaOf(leaves, fw.ones)
		}
	}
	fw.w = parquet.NewWriter(fw.out, options...)
	fw.cols = fw.w.ColumnWriters()
	fw.vals = make([][]parquet.Value, len(leaves))
	fw.stats = make([]colStats, len(leaves))
	for i := range leaves {
		fw.vals[i] = make([]parquet.Value, 0, batchRows)
		fw.stats[i].typ = leaves[i].Type
	}
	return fw, nil
}

// Set gives column i of the present row its value. Every column is given once a row.
func (fw *Writer) Set(i int, v parquet.Value) {
	if !fw.Leaves[i].Required && !v.IsNull() {
		v = v.Level(0, 1, i) // the library looks at the levels of optional columns alone
	}
	fw.vals[i] = append(fw.vals[i], v)
}

// Undo forgets the values that the present row was given.
func (fw *Writer) Undo() {
	least := len(fw.vals[0])
	for i := range fw.vals {
		least = min(least, len(fw.vals[i]))
	}
	for i := range fw.vals {
		fw.vals[i] = fw.vals[i][:least]
	}
}

// EndRow ends the present row, whose images took so many bytes. The values given are the
// caller's again when flushBatch has been called, or here when full is reported.
func (fw *Writer) EndRow(bytes int) (full bool) {
	fw.Rows++
	fw.groupRows++
	fw.groupBytes += int64(bytes)
	fw.batchBytes += bytes
	return len(fw.vals[0]) >= batchRows || fw.batchBytes >= batchBytes
}

// FlushBatch hands the batch to the library, which copies it.
func (fw *Writer) FlushBatch() error {
	fw.batchBytes = 0
	if len(fw.vals[0]) == 0 {
		return nil
	}
	for i, c := range fw.cols {
		fw.stats[i].addAll(fw.vals[i])
		if fw.ones[i] != nil {
			noteOnes(fw.ones[i], fw.vals[i])
		}
		if n, err := c.WriteRowValues(fw.vals[i]); err != nil {
			return err
		} else if n != len(fw.vals[i]) {
			return fmt.Errorf("column %s took %d of %d values", fw.Leaves[i].Name, n, len(fw.vals[i]))
		}
		fw.vals[i] = fw.vals[i][:0]
	}
	if fw.groupRows >= groupRows || fw.groupBytes >= groupBytes {
		fw.groupRows, fw.groupBytes = 0, 0
		return fw.w.Flush()
	}
	return nil
}

// Finish completes the file and puts it under its name. On nil it is durable; errors are
// the store's.
func (fw *Writer) Finish(ctx context.Context, store objects.Store, name string) (size int64, err error) {
	if err := fw.FlushBatch(); err != nil {
		return 0, err
	}
	if err := fw.w.Close(); err != nil {
		return 0, err
	}
	if err := store.PutIfAbsent(ctx, name, fw.out); err != nil {
		return 0, err
	}
	fw.Discard() // what is left of it aside
	return fw.out.Size(), nil
}

// Discard drops an unfinished file. One that cannot be removed goes with the scratch.
func (fw *Writer) Discard() { _ = fw.out.Close() }

// Statistics is what the commit log says of the file.
func (fw *Writer) Statistics() string {
	names := make([]string, len(fw.Leaves))
	stats := make([]*colStats, len(fw.Leaves))
	for i := range fw.Leaves {
		names[i], stats[i] = fw.Leaves[i].Name, &fw.stats[i]
	}
	return statsText(fw.Rows, names, stats)
}

// RowBytes is about what a row's values take.
func RowBytes(vals []parquet.Value) int {
	n := 0
	for i := range vals {
		if k := vals[i].Kind(); k == parquet.ByteArray && !vals[i].IsNull() {
			n += len(vals[i].ByteArray())
		}
		n += 8
	}
	return n
}
