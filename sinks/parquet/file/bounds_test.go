package file

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/millrace/millrace/internal/vfs"
)

// A reader may skip a page whose bounds leave out what it looks for.
func TestBoundsOfBytesHoldEveryValue(t *testing.T) {
	ones := func(n int, rest string) string { return strings.Repeat("\xff", n) + rest }
	pages := [][]string{
		{"", "\x00", ones(15, "")},
		{ones(15, "\xfe\xff\xff\xff")},
		{ones(16, "")},
		{ones(16, "\x00")},
		{"a", ones(17, "")},
		{ones(16, "\xfe\xff")},
		{ones(300, "z")},
		{ones(15, "\x01 and more")},
	}
	for _, required := range []bool{true, false} {
		leaves := []Leaf{{Name: "bytes", Type: Type{Kind: Binary}, Required: required}}
		f := writeRowGroups(t, leaves, pages)
		for i, index := range f.ColumnIndexes() {
			for _, v := range pages[i] {
				if bytes.Compare(index.MinValues[0], []byte(v)) > 0 || bytes.Compare(index.MaxValues[0], []byte(v)) < 0 {
					t.Errorf("required %v: %q is not from %q to %q", required, v, index.MinValues[0], index.MaxValues[0])
				}
			}
		}
	}
}

// writeRowGroups writes a file of one column, a row group of one page for each list.
func writeRowGroups(t *testing.T, leaves []Leaf, groups [][]string) *parquet.File {
	t.Helper()
	mem := vfs.NewMem()
	fw, err := NewWriter(scratchIn(t, mem), NewSchema(leaves), leaves, Codec("zstd"))
	if err != nil {
		t.Fatal(err)
	}
	for _, values := range groups {
		for _, v := range values {
			fw.Set(0, parquet.ByteArrayValue([]byte(v)))
			fw.EndRow(10)
		}
		fw.groupBytes = groupBytes
		if err := fw.FlushBatch(); err != nil {
			t.Fatal(err)
		}
	}
	file := finished(t, mem, fw)
	if n := len(file.ColumnIndexes()); n != len(groups) {
		t.Fatalf("%d row groups, want %d", n, len(groups))
	}
	return file
}

// finished ends a file and opens it with the library.
func finished(t *testing.T, mem vfs.FS, fw *Writer) *parquet.File {
	t.Helper()
	size, err := fw.Finish(context.Background(), storeIn(mem), "file")
	if err != nil {
		t.Fatal(err)
	}
	f, err := mem.Open("files/file")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	file, err := parquet.OpenFile(f, size)
	if err != nil {
		t.Fatal(err)
	}
	return file
}
