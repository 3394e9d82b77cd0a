package parquet

import (
	"bytes"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/millrace/millrace/internal/vfs"
)

// TestLongValuesAreWrittenOnce writes rows of a megabyte: a batch of them ends by its
// bytes, and the file has each value once, none of them in its statistics.
func TestLongValuesAreWrittenOnce(t *testing.T) {
	const rows, size = 40, 1 << 20
	fs := vfs.NewMem()
	leaves := []leafSpec{{name: "id", typ: colType{kind: kindLong}, required: true}, {name: "body", typ: colType{kind: kindBinary}, long: isLong("longblob")}}
	fw, err := newFileWriter(fs, "tmp", newSchema(leaves), leaves, codecOf("none"))
	if err != nil {
		t.Fatal(err)
	}
	held, most := 0, 0
	for i := range rows {
		fw.set(0, parquet.Int64Value(int64(i)))
		fw.set(1, parquet.ByteArrayValue(bytes.Repeat([]byte{byte(i)}, size)))
		held++
		most = max(most, held)
		if fw.endRow(size) {
			held = 0
			if err := fw.flushBatch(); err != nil {
				t.Fatal(err)
			}
		}
	}
	written, err := fw.finish("file")
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
		if isLong(native) != want {
			t.Errorf("%q: %v", native, !want)
		}
	}
}
