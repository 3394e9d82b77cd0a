package parquet

import (
	"bytes"
	"context"
	"path"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/sinks/delta"
	"github.com/millrace/millrace/sinks/objects"
)

// readTable reads the live files of a Delta table with arrow-go: rows as text by column name, absent columns and NULL left out.
func readTable(t testing.TB, fsys vfs.FS, dir string) []map[string]string {
	t.Helper()
	var rows []map[string]string
	for _, p := range liveFiles(t, fsys, dir) {
		rows = append(rows, readFile(t, fsys, path.Join(dir, p))...)
	}
	return rows
}

func liveFiles(t testing.TB, fsys vfs.FS, dir string) []string {
	t.Helper()
	return must[*delta.Log](t)(delta.Open(context.Background(), objects.NewLocal(fsys, path.Dir(dir)), path.Base(dir))).Snapshot().Paths()
}

func readFile(t testing.TB, fsys vfs.FS, name string) []map[string]string {
	t.Helper()
	data := must[[]byte](t)(vfs.ReadFile(fsys, name))
	r, err := file.NewParquetReader(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	defer r.Close()
	ar := must[*pqarrow.FileReader](t)(pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{BatchSize: 1 << 16}, memory.DefaultAllocator))
	tbl, err := ar.ReadTable(context.Background())
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	defer tbl.Release()
	rows := make([]map[string]string, tbl.NumRows())
	for i := range rows {
		rows[i] = map[string]string{}
	}
	for c := range int(tbl.NumCols()) {
		col, n := tbl.Column(c), 0
		for _, chunk := range col.Data().Chunks() {
			for i := range chunk.Len() {
				if chunk.IsValid(i) {
					rows[n][col.Name()] = chunk.ValueStr(i)
				}
				n++
			}
		}
	}
	return rows
}
