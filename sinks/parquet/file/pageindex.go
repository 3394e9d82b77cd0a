package file

import (
	"bytes"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// openLeaf is the type of a column whose values may take megabytes. The library holds the
// smallest and the largest value of each page whole, and writes those of a row group so:
// with rows of megabytes, more than the rows. Told to leave them out (SkipPageBounds) it
// writes a page index all the same, in which every page holds the empty text alone, and
// readers that skip pages by it pass over all rows. So the index says what is true of
// whatever the pages hold.
type openLeaf struct {
	parquet.Type
	// ones is how many bytes 0xFF a value begins with, at most, of those that were written.
	ones *int
}

func (t *openLeaf) NewColumnIndexer(int) parquet.ColumnIndexer { return &openIndex{ones: t.ones} }

// openIndex makes a page index whose bounds hold for all values: from the empty one to one
// byte 0xFF more than any of them begins with. In UTF-8 that byte does not exist.
type openIndex struct {
	ones  *int
	nulls []int64
	empty []bool
}

func (x *openIndex) Reset() { x.nulls, x.empty = nil, nil }

func (x *openIndex) IndexPage(values, nulls int64, _, _ parquet.Value) {
	x.nulls, x.empty = append(x.nulls, nulls), append(x.empty, values == nulls)
}

func (x *openIndex) ColumnIndex() format.ColumnIndex {
	above := bytes.Repeat([]byte{0xFF}, *x.ones+1)
	index := format.ColumnIndex{NullPages: x.empty, NullCounts: x.nulls, MinValues: make([][]byte, len(x.empty)),
		MaxValues: make([][]byte, len(x.empty))}
	for i, empty := range x.empty {
		if !empty {
			index.MaxValues[i] = above
		}
	}
	return index
}

// openNode is the node of a long column of one file.
func (l Leaf) openNode(ones *int) parquet.Node {
	n := parquet.Encoded(parquet.Leaf(&openLeaf{Type: l.Type.leaf(true, false).Type(), ones: ones}), &parquet.Plain)
	if !l.Required {
		n = parquet.Optional(n)
	}
	return n
}

// noteOnes looks at values that are about to be written.
func noteOnes(most *int, vals []parquet.Value) {
	for i := range vals {
		if vals[i].IsNull() {
			continue
		}
		*most = max(*most, leadingOnes(vals[i].ByteArray()))
	}
}
