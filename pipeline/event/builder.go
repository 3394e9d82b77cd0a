package event

import (
	"encoding/binary"
	"fmt"
	"math"
)

// ImageBuilder encodes rows of one schema. The columns are appended in schema order,
// one call each; a call that does not fit the column's type is an error that Finish
// returns. One goroutine uses it; it allocates only when its buffer grows.
//
//	b.Start(buf)          // images can share one buffer: each goes behind what is there
//	b.AppendInt(7)
//	b.AppendNull()
//	buf, img, err := b.Finish()
type ImageBuilder struct {
	schema *Schema
	buf    []byte
	start  int
	col    int
	err    error
}

// NewImageBuilder returns a builder for rows of s.
func NewImageBuilder(s *Schema) *ImageBuilder { return &ImageBuilder{schema: s} }

// Start begins an image behind the bytes of dst, which may be nil or a buffer to reuse.
func (b *ImageBuilder) Start(dst []byte) {
	maps := 2 * ((len(b.schema.Columns) + 7) / 8)
	b.buf, b.start, b.col, b.err = dst, len(dst), 0, nil
	for range maps {
		b.buf = append(b.buf, 0)
	}
}

// Finish returns the whole buffer, and the image in it. It is an error when a column
// is missing, one too many was given, or one did not fit. The image is canonical.
func (b *ImageBuilder) Finish() (buf []byte, img Image, err error) {
	if b.err == nil && b.col != len(b.schema.Columns) {
		b.err = fmt.Errorf("image of %s: %d of %d columns given", b.schema.Name, b.col, len(b.schema.Columns))
	}
	buf, b.buf = b.buf, nil
	if b.err != nil {
		return buf[:b.start], nil, b.err
	}
	return buf, Image(buf[b.start:len(buf):len(buf)]), nil
}

// next claims the next column for a value that a column of one of the types may hold.
func (b *ImageBuilder) next(what string, types uint32) bool {
	if b.err != nil {
		return false
	}
	if b.col >= len(b.schema.Columns) {
		b.err = fmt.Errorf("image of %s: more than %d columns given", b.schema.Name, len(b.schema.Columns))
		return false
	}
	i := b.col
	if t := b.schema.Columns[i].Type; types&(1<<t) == 0 {
		b.err = fmt.Errorf("image of %s: column %s is not of a type that holds %s", b.schema.Name, b.schema.Columns[i].Name, what)
		return false
	}
	b.buf[b.start+i>>3] |= 1 << (i & 7)
	b.col++
	return true
}

const anyType = 1<<(TypeUnsupported+1) - 1

// AppendNull gives the next column NULL.
func (b *ImageBuilder) AppendNull() {
	i := b.col
	if b.next("NULL", anyType) {
		b.buf[b.start+(len(b.schema.Columns)+7)/8+i>>3] |= 1 << (i & 7)
	}
}

// AppendAbsent leaves the next column out (partial images).
func (b *ImageBuilder) AppendAbsent() {
	i := b.col
	if b.next("nothing", anyType) {
		b.buf[b.start+i>>3] &^= 1 << (i & 7)
	}
}

// AppendInt is for TypeInt.
func (b *ImageBuilder) AppendInt(v int64) {
	if b.next("a signed integer", 1<<TypeInt) {
		b.buf = binary.AppendVarint(b.buf, v)
	}
}

// AppendUint is for TypeUint, TypeYear, TypeEnum, TypeSet and TypeBit.
func (b *ImageBuilder) AppendUint(v uint64) {
	if b.next("an unsigned integer", 1<<TypeUint|1<<TypeYear|1<<TypeEnum|1<<TypeSet|1<<TypeBit) {
		b.buf = binary.AppendUvarint(b.buf, v)
	}
}

// AppendFloat is for TypeFloat.
func (b *ImageBuilder) AppendFloat(v float32) {
	if b.next("a float", 1<<TypeFloat) {
		b.buf = binary.LittleEndian.AppendUint32(b.buf, math.Float32bits(v))
	}
}

// AppendDouble is for TypeDouble.
func (b *ImageBuilder) AppendDouble(v float64) {
	if b.next("a double", 1<<TypeDouble) {
		b.buf = binary.LittleEndian.AppendUint64(b.buf, math.Float64bits(v))
	}
}

const bytesTypes = 1<<TypeDecimal | 1<<TypeText | 1<<TypeBinary | 1<<TypeJSON | 1<<TypeGeometry

// AppendBytes is for TypeBinary, and for TypeDecimal, TypeText and TypeJSON whose text
// is at hand as bytes. v is copied.
func (b *ImageBuilder) AppendBytes(v []byte) {
	if b.next("bytes", bytesTypes) {
		b.buf = binary.AppendUvarint(b.buf, uint64(len(v)))
		b.buf = append(b.buf, v...)
	}
}

// AppendText is for TypeText, TypeDecimal and TypeJSON.
func (b *ImageBuilder) AppendText(v string) {
	if b.next("text", bytesTypes) {
		b.buf = binary.AppendUvarint(b.buf, uint64(len(v)))
		b.buf = append(b.buf, v...)
	}
}

// AppendGeometry is for TypeGeometry.
func (b *ImageBuilder) AppendGeometry(srid uint32, wkb []byte) {
	if b.next("a geometry", 1<<TypeGeometry) {
		b.buf = binary.AppendUvarint(b.buf, uint64(len(wkb))+4)
		b.buf = binary.LittleEndian.AppendUint32(b.buf, srid)
		b.buf = append(b.buf, wkb...)
	}
}

// AppendDate is for TypeDate; parts may be zero.
func (b *ImageBuilder) AppendDate(year, month, day int) {
	if b.next("a date", 1<<TypeDate) && b.fits(year, 9999, "year") && b.fits(month, 12, "month") && b.fits(day, 31, "day") {
		b.buf = binary.AppendUvarint(b.buf, joinDate(year, month, day))
	}
}

// AppendDateTime is for TypeDateTime.
func (b *ImageBuilder) AppendDateTime(c Civil) {
	if b.next("a date and time", 1<<TypeDateTime) && b.fits(c.Year, 9999, "year") && b.fits(c.Month, 12, "month") &&
		b.fits(c.Day, 31, "day") && b.fits(c.Hour, 23, "hour") && b.fits(c.Minute, 59, "minute") &&
		b.fits(c.Second, 59, "second") && b.fits(c.Micro, 999999, "microsecond") {
		b.buf = binary.AppendUvarint(b.buf, joinDateTime(c))
	}
}

func (b *ImageBuilder) fits(v, max int, what string) bool {
	if v < 0 || v > max {
		b.err = fmt.Errorf("image of %s: column %s: %s %d is out of range", b.schema.Name, b.schema.Columns[b.col-1].Name, what, v)
		return false
	}
	return true
}

// AppendTimestamp is for TypeTimestamp, in microseconds UTC.
func (b *ImageBuilder) AppendTimestamp(micros int64) {
	if b.next("a timestamp", 1<<TypeTimestamp) {
		b.buf = binary.AppendVarint(b.buf, micros)
	}
}

// AppendZeroTimestamp is for MySQL's zero timestamp.
func (b *ImageBuilder) AppendZeroTimestamp() { b.AppendTimestamp(zeroTimestamp) }

// AppendTime is for TypeTime, in microseconds.
func (b *ImageBuilder) AppendTime(micros int64) {
	if b.next("a time", 1<<TypeTime) {
		b.buf = binary.AppendVarint(b.buf, micros)
	}
}

// AppendValue gives the next column v, which must be canonical for the column's type;
// nil is NULL. It is how rows are put together from values of other rows.
func (b *ImageBuilder) AppendValue(v Value) {
	if v == nil {
		b.AppendNull()
		return
	}
	if b.err != nil || !b.next("a value", anyType) {
		return
	}
	col := &b.schema.Columns[b.col-1]
	if err := checkValue(col.Type, v); err != nil {
		b.err = fmt.Errorf("image of %s: column %s: %w", b.schema.Name, col.Name, err)
		return
	}
	if col.Type.shape() == shapeBytes {
		b.buf = binary.AppendUvarint(b.buf, uint64(len(v)))
	}
	b.buf = append(b.buf, v...)
}
