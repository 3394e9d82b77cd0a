package column

import (
	"bytes"
	"fmt"
	"io"

	"github.com/ClickHouse/ch-go/proto"
	driver "github.com/ClickHouse/clickhouse-go/v2/lib/column"
)

// Into gives the values to a column of a block that the driver sends. The driver's columns
// take bytes of the Native format by Decode: this way no value becomes an interface, and
// dates go as numbers (as times, the driver shortens them to what 64 bits of nanoseconds
// hold, 1677 to 2262).
func (b *Buffer) Into(col driver.Interface) error {
	if got := string(col.Type()); got != b.typ.Text() {
		return fmt.Errorf("column %s is %s in the target and not %s", col.Name(), got, b.typ.Text())
	}
	if b.typ.dictionary() {
		return b.enumInto(col)
	}
	if b.typ.kind == kindVector {
		return Fill(col, b.rows, b.ends, b.raw)
	}
	return Fill(col, b.rows, b.nulls, b.raw)
}

// Fill gives values in the bytes of the Native format to a column of the driver.
func Fill(col driver.Interface, rows int, raw ...[]byte) error {
	if rows == 0 {
		return nil
	}
	readers := make([]io.Reader, len(raw))
	for i := range raw {
		readers[i] = bytes.NewReader(raw[i])
	}
	return col.Decode(proto.NewReader(io.MultiReader(readers...)), rows)
}

func (b *Buffer) enumInto(col driver.Interface) error {
	if b.typ.Nullable {
		_, err := col.Append(b.names)
		return err
	}
	texts := make([]string, len(b.names))
	for i, n := range b.names {
		texts[i] = *n
	}
	_, err := col.Append(texts)
	return err
}
