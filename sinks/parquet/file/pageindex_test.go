package file

import (
	"bytes"
	"context"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/millrace/millrace/internal/vfs"
)

// TestLongValuesAreWrittenOnce writes rows of a megabyte: a batch of them ends by its
// bytes, and the file has each value once, none of them in its statistics.
func TestLongValuesAreWrittenOnce(t *testing.T) {
	const rows, size = 40, 1 << 20
	mem := vfs.NewMem()
	leaves := []Leaf{{Name: "id", Type: Type{Kind: Long}, Required: true}, {Name: "body", Type: Type{Kind: Binary}, Long: IsLong("longblob")}}
	fw, err := NewWriter(scratchIn(t, mem), NewSchema(leaves), leaves, Codec("none"))
	if err != nil {
		t.Fatal(err)
	}
	held, most := 0, 0
	for i := range rows {
		fw.Set(0, parquet.Int64Value(int64(i)))
		fw.Set(1, parquet.ByteArrayValue(bytes.Repeat([]byte{byte(i)}, size)))
		held++
		most = max(most, held)
		if fw.EndRow(size) {
			held = 0
			if err := fw.FlushBatch(); err != nil {
				t.Fatal(err)
			}
		}
	}
	written, err := fw.Finish(context.Background(), storeIn(mem), "file")
	if err != nil {
		t.Fatal(err)
	}
	if written > rows*size+64<<10 {
		t.Errorf("%d bytes of values take a file of %d", rows*size, written)
	}
	if most*size > batchBytes {
		t.Errorf("a batch held %d bytes", most*size)
	}
}

func TestTypesWithoutASmallBound(t *testing.T) {
	for native, want := range map[string]bool{"longtext": true, "TEXT": true, "blob(70000)": true, "json": true, "geometry": true, "mediumtext charset x": true,
		"": false, "tinytext": false, "varchar(200)": false, "varbinary(20)": false, "int(11)": false} {
		if IsLong(native) != want {
			t.Errorf("%q: %v", native, !want)
		}
	}
}

// TestReadersFindLongValuesByThePageIndex looks at the index that readers skip pages by: no
// page's bounds leave out a value of it.
func TestReadersFindLongValuesByThePageIndex(t *testing.T) {
	mem := vfs.NewMem()
	leaves := []Leaf{{Name: "text", Type: Type{Kind: String}, Long: true}, {Name: "bytes", Type: Type{Kind: Binary}, Long: true},
		{Name: "none", Type: Type{Kind: String}, Long: true}}
	fw, err := NewWriter(scratchIn(t, mem), NewSchema(leaves), leaves, Codec("zstd"))
	if err != nil {
		t.Fatal(err)
	}
	values := [][]string{{"", "a", "\U0010ffff\U0010ffff"}, {"", "\x00", "\xff\xff\xff"}}
	for group := range 2 {
		for i := range 3 {
			for c := range values {
				fw.Set(c, parquet.ByteArrayValue([]byte(values[c][i])))
			}
			fw.Set(2, parquet.NullValue())
			fw.EndRow(10)
		}
		fw.groupBytes = int64(1-group) * groupBytes // two row groups
		if err := fw.FlushBatch(); err != nil {
			t.Fatal(err)
		}
	}
	file := finished(t, mem, fw)
	indexes := file.ColumnIndexes()
	if len(indexes) != 2*len(leaves) {
		t.Fatalf("%d column indexes", len(indexes))
	}
	for i, index := range indexes {
		c := i % len(leaves)
		if len(index.NullPages) != 1 || index.NullPages[0] != (c == 2) {
			t.Fatalf("column %d: %+v", c, index)
		}
		for _, v := range append(values, nil)[c] {
			if bytes.Compare(index.MinValues[0], []byte(v)) > 0 || bytes.Compare(index.MaxValues[0], []byte(v)) < 0 {
				t.Errorf("column %d: %q is not from %q to %q", c, v, index.MinValues[0], index.MaxValues[0])
			}
		}
	}
	for _, g := range file.Metadata().RowGroups {
		for _, c := range g.Columns {
			if c.MetaData.Statistics.MaxValue != nil {
				t.Errorf("bounds of a long column: %+v", c.MetaData.Statistics)
			}
		}
	}
}
