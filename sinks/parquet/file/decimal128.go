package file

import (
	"bytes"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// signedFixed is the type of decimals of 19 to 38 digits: 16 bytes, big endian, two's
// complement. The library orders such bytes without sign, which would put wrong bounds
// on pages and chunks and make readers skip rows; this type orders them as numbers.
type signedFixed struct{ decimalLeaf }

func (t *signedFixed) Compare(a, b parquet.Value) int {
	return compareSigned(a.ByteArray(), b.ByteArray())
}

func compareSigned(a, b []byte) int {
	if d := int(int8(a[0])) - int(int8(b[0])); d != 0 {
		return d
	}
	return bytes.Compare(a, b)
}

func (t *signedFixed) NewColumnBuffer(columnIndex, numValues int) parquet.ColumnBuffer {
	return &signedBuffer{t.Type.NewColumnBuffer(columnIndex, numValues)}
}

func (t *signedFixed) NewColumnIndexer(int) parquet.ColumnIndexer { return &signedIndexer{} }

type signedBuffer struct{ parquet.ColumnBuffer }

func (b *signedBuffer) Page() parquet.Page { return signedPage{b.ColumnBuffer.Page()} }

func (b *signedBuffer) Clone() parquet.ColumnBuffer { return &signedBuffer{b.ColumnBuffer.Clone()} }

func (b *signedBuffer) Pages() parquet.Pages { panic("BUG: a column buffer read as a row group") }

type signedPage struct{ parquet.Page }

func (p signedPage) Bounds() (minValue, maxValue parquet.Value, ok bool) {
	values := p.Data()
	data, size := values.FixedLenByteArray()
	if len(data) == 0 {
		return
	}
	lo, hi := data[:size], data[:size]
	for rest := data[size:]; len(rest) >= size; rest = rest[size:] {
		v := rest[:size]
		if compareSigned(v, lo) < 0 {
			lo = v
		} else if compareSigned(v, hi) > 0 {
			hi = v
		}
	}
	return parquet.FixedLenByteArrayValue(lo), parquet.FixedLenByteArrayValue(hi), true
}

// signedIndexer collects page bounds in the order of numbers.
type signedIndexer struct {
	nulls      []bool
	nullCounts []int64
	lo, hi     [][]byte
}

func (i *signedIndexer) Reset() { *i = signedIndexer{} }

func (i *signedIndexer) IndexPage(numValues, numNulls int64, lo, hi parquet.Value) {
	i.nulls = append(i.nulls, numValues == numNulls)
	i.nullCounts = append(i.nullCounts, numNulls)
	if numValues == numNulls {
		i.lo, i.hi = append(i.lo, []byte{}), append(i.hi, []byte{})
		return
	}
	i.lo = append(i.lo, bytes.Clone(lo.ByteArray()))
	i.hi = append(i.hi, bytes.Clone(hi.ByteArray()))
}

func (i *signedIndexer) ColumnIndex() format.ColumnIndex {
	return format.ColumnIndex{
		NullPages: i.nulls, NullCounts: i.nullCounts, MinValues: i.lo, MaxValues: i.hi,
		BoundaryOrder: i.order(),
	}
}

func (i *signedIndexer) order() format.BoundaryOrder {
	up, down := true, true
	last := -1
	for n := range i.lo {
		if i.nulls[n] {
			continue
		}
		if last >= 0 {
			up = up && compareSigned(i.lo[last], i.lo[n]) <= 0 && compareSigned(i.hi[last], i.hi[n]) <= 0
			down = down && compareSigned(i.lo[last], i.lo[n]) >= 0 && compareSigned(i.hi[last], i.hi[n]) >= 0
		}
		last = n
	}
	switch {
	case up:
		return format.Ascending
	case down:
		return format.Descending
	}
	return format.Unordered
}
