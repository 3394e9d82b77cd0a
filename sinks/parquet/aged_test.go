package parquet

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/parquet/current"
	"github.com/millrace/millrace/sinks/parquet/file"
)

// oldLake unpacks a table that version 0.1.0 has written: rows 0 to 109, whose text is NULL
// in every third one.
func oldLake(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	packed := must[[]byte](t)(os.ReadFile("testdata/lake-0.1.0.tgz"))
	files := tar.NewReader(must[*gzip.Reader](t)(gzip.NewReader(bytes.NewReader(packed))))
	for {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, filepath.Clean(h.Name))
		if h.Typeflag == tar.TypeDir {
			must[int](t)(0, os.MkdirAll(name, 0o755))
			continue
		}
		must[int](t)(0, os.WriteFile(name, must[[]byte](t)(io.ReadAll(files)), 0o600))
	}
}

// encodingsOf are the encodings of a file's columns.
func encodingsOf(t *testing.T, fsys vfs.FS, name string) map[string][]format.Encoding {
	t.Helper()
	data := must[[]byte](t)(vfs.ReadFile(fsys, name))
	f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	found := map[string][]format.Encoding{}
	for i := range f.Metadata().RowGroups {
		for _, c := range f.Metadata().RowGroups[i].Columns {
			at := strings.Join(c.MetaData.PathInSchema, ".")
			found[at] = append(found[at], c.MetaData.Encoding...)
		}
	}
	return found
}

// plainlyEncoded fails where a file holds an encoding that some reader of the table of
// readers takes for something else.
func plainlyEncoded(t *testing.T, fsys vfs.FS, name string) {
	t.Helper()
	for column, encodings := range encodingsOf(t, fsys, name) {
		for _, e := range encodings {
			switch e {
			case format.Plain, format.RLE, format.RLEDictionary:
			default:
				t.Errorf("%s: column %s is encoded as %s", name, column, e)
			}
		}
	}
}

// TestEveryKindIsPlainlyEncoded looks at files of every type and at a log checkpoint.
func TestEveryKindIsPlainlyEncoded(t *testing.T) {
	dir := writeCases(t, append(typeCases(), binaryCases()...))
	for _, f := range liveFiles(t, vfs.OS(), dir) {
		plainlyEncoded(t, vfs.OS(), path.Join(dir, f))
	}
	leaves := []file.Leaf{{Name: "long", Type: file.Type{Kind: file.String}, Long: true},
		{Name: "blob", Type: file.Type{Kind: file.Binary}, Long: true},
		{Name: "needed", Type: file.Type{Kind: file.String}, Required: true}, {Name: "named", Type: file.Type{Kind: file.String}, Dictionary: true}}
	mem := vfs.NewMem()
	fw, err := file.NewWriter(scratchOf(t, mem), file.NewSchema(leaves), leaves, file.Codec("zstd"))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		for i := range leaves {
			fw.Set(i, parquet.ByteArrayValue([]byte("x")))
		}
		fw.EndRow(4)
	}
	must[int64](t)(fw.Finish(context.Background(), storeOf(mem), "file"))
	plainlyEncoded(t, mem, "files/file")
}

// TestATableOfAnOlderFormatIsRenewed opens a table of version 0.1.0, which Spark refuses for
// its protocol and misreads for its encodings. The opening puts the protocol right; the files
// and the logs' checkpoints follow without a single new row.
func TestATableOfAnOlderFormatIsRenewed(t *testing.T) {
	cfg := testConfig(oldLake(t))
	cfg.Current.Interval = current.Interval(time.Nanosecond)
	m := schemas{}
	s := m.add(t, event.Schema{Name: tableName, PrimaryKey: []int{0}, Columns: []event.Column{
		{ID: 1, Name: "id", Type: event.TypeInt, Precision: 4, Native: "int"}, {ID: 2, Name: "v", Type: event.TypeText, Native: "varchar(20)", Nullable: true},
		{ID: 3, Name: "day", Type: event.TypeDate, Native: "date", Nullable: true}}})
	table := open(t, testSink(t, vfs.OS(), cfg), claim(m, 2))
	for _, snap := range []any{table.changes.Log().Snapshot().Protocol.WriterFeatures, table.current.Log().Snapshot().Protocol.WriterFeatures} {
		if !slices.Contains(snap.([]string), "invariants") {
			t.Errorf("writer features %v", snap)
		}
	}
	if !file.HasAged(table.changes.Log().Snapshot()) || !file.HasAged(table.current.Log().Snapshot()) ||
		!table.changes.Log().Snapshot().Aged || !table.current.Log().Snapshot().Aged {
		t.Fatal("nothing of the table is of an older format")
	}
	must[int](t)(0, table.current.MergeNow())
	for range 50 {
		must[int](t)(0, table.Maintain(context.Background()))
		table.changes.AwaitPack() // one that runs beside the table is waited for
	}
	for _, dir := range []string{table.Dir + "/changes", table.Dir + "/current"} {
		files := liveFiles(t, vfs.OS(), dir)
		if len(files) == 0 {
			t.Errorf("%s has no files", dir)
		}
		for _, f := range files {
			plainlyEncoded(t, vfs.OS(), path.Join(dir, f))
		}
	}
	for _, snap := range []int64{table.changes.Log().Snapshot().Checkpoint, table.current.Log().Snapshot().Checkpoint} {
		if snap < 0 {
			t.Error("a log has no checkpoint")
		}
	}
	plainlyEncoded(t, vfs.OS(), path.Join(table.Dir+"/changes", "_delta_log", fmt.Sprintf("%020d.checkpoint.parquet", table.changes.Log().Snapshot().Checkpoint)))
	plainlyEncoded(t, vfs.OS(), path.Join(table.Dir+"/current", "_delta_log", fmt.Sprintf("%020d.checkpoint.parquet", table.current.Log().Snapshot().Checkpoint)))

	write(t, table, 0, rows(s, 220, "new", create(222, 0, image(t, s, 110, "text 110", nil))))
	flush(t, table)
	must[int](t)(0, table.current.MergeNow())
	for _, part := range []string{"changes", "current"} {
		byID := map[string]string{}
		for _, r := range readTable(t, vfs.OS(), path.Join(table.Dir, part)) {
			byID[r["id"]] = "NULL"
			if v, ok := r["v"]; ok {
				byID[r["id"]] = v
			}
		}
		for id := range 111 {
			want := fmt.Sprintf("text %d", id)
			if id%3 == 0 {
				want = "NULL"
			}
			if got := byID[fmt.Sprint(id)]; got != want {
				t.Errorf("%s: row %d is %q, not %q", part, id, got, want)
			}
		}
		if len(byID) != 111 {
			t.Errorf("%s has %d rows", part, len(byID))
		}
	}
}
