package file

import (
	"bytes"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// boundedBytes is the type of a column of short bytes. The library cuts a page's largest
// value to sixteen bytes and counts the last of them up, which bytes of 0xFF alone do not
// allow: it leaves a bound below the value, and readers that skip pages by it miss rows.
type boundedBytes struct{ parquet.Type }

func (t boundedBytes) NewColumnIndexer(limit int) parquet.ColumnIndexer {
	return &boundedIndex{ColumnIndexer: t.Type.NewColumnIndexer(limit), limit: limit}
}

// boundedIndex is the library's page index with the bounds put right that it cannot make.
type boundedIndex struct {
	parquet.ColumnIndexer
	limit int
	pages int
	above map[int][]byte // by page
}

func (x *boundedIndex) Reset() {
	x.ColumnIndexer.Reset()
	x.pages, x.above = 0, nil
}

func (x *boundedIndex) IndexPage(values, nulls int64, least, most parquet.Value) {
	x.ColumnIndexer.IndexPage(values, nulls, least, most)
	if !most.IsNull() {
		if n := leadingOnes(most.ByteArray()); n >= x.limit && len(most.ByteArray()) > x.limit {
			if x.above == nil {
				x.above = map[int][]byte{}
			}
			x.above[x.pages] = bytes.Repeat([]byte{0xFF}, n+1)
		}
	}
	x.pages++
}

func (x *boundedIndex) ColumnIndex() format.ColumnIndex {
	index := x.ColumnIndexer.ColumnIndex()
	for page, bound := range x.above {
		index.MaxValues[page] = bound
		index.BoundaryOrder = format.Unordered // it was told of the bounds that were cut
	}
	return index
}

// leadingOnes is how many bytes 0xFF b begins with.
func leadingOnes(b []byte) int {
	n := 0
	for n < len(b) && b[n] == 0xFF {
		n++
	}
	return n
}
