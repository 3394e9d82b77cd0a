package parquet

import (
	"fmt"
	"path"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"

	"github.com/millrace/millrace/internal/vfs"
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

// fileWriter writes one Parquet file under a temporary name. When it is finished the file
// is linked under its own name, which must not be taken, so a name never stands for
// anything but the whole file.
type fileWriter struct {
	fs     vfs.FS
	tmp    string
	out    *fileOutput
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

// fileOutput appends to a file.
type fileOutput struct {
	f  vfs.File
	at int64
}

func (o *fileOutput) Write(p []byte) (int, error) {
	n, err := o.f.WriteAt(p, o.at)
	o.at += int64(n)
	return n, err
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

func newFileWriter(fsys vfs.FS, tmp string, schema *parquet.Schema, leaves []leafSpec, codec compress.Codec) (*fileWriter, error) {
	f, err := fsys.Create(tmp)
	if err != nil {
		return nil, err
	}
	fw := &fileWriter{fs: fsys, tmp: tmp, out: &fileOutput{f: f}, leaves: leaves}
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

// finish completes the file, makes its bytes durable, and gives it its name. The caller
// syncs the directory.
func (fw *fileWriter) finish(name string) (size int64, err error) {
	if err := fw.flushBatch(); err != nil {
		return 0, err
	}
	if err := fw.w.Close(); err != nil {
		return 0, err
	}
	err = fw.out.f.Sync()
	if cerr := fw.out.f.Close(); err == nil {
		err = cerr
	}
	fw.out.f = nil
	if err != nil {
		return 0, err
	}
	if err := fw.fs.Link(fw.tmp, name); err != nil {
		return 0, err
	}
	fw.fs.Remove(fw.tmp) // one that stays is removed by vacuum
	return fw.out.at, nil
}

// discard drops an unfinished file.
func (fw *fileWriter) discard() {
	if fw.out.f != nil {
		fw.out.f.Close()
		fw.out.f = nil
	}
	fw.fs.Remove(fw.tmp)
}

// statistics is what the commit log says of the file.
func (fw *fileWriter) statistics() string {
	names := make([]string, len(fw.leaves))
	stats := make([]*colStats, len(fw.leaves))
	for i := range fw.leaves {
		names[i], stats[i] = fw.leaves[i].name, &fw.stats[i]
	}
	return statsText(fw.rows, names, stats)
}

// tempName is the name of a file that is being written into dir. token is the claim's own:
// two owners must never write one file. Delta's readers, and those that expand patterns,
// pass over names that begin with a dot.
func tempName(dir, token string, n int64) string {
	return path.Join(dir, fmt.Sprintf(".%s-%d.tmp", token, n))
}
