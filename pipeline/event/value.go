package event

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Value is the canonical encoding of one column's value without the length that
// precedes variable ones in an Image. nil is NULL; an empty text is not nil. A Value
// aliases the image it was read from.
//
// The accessors do not check the column's type: the caller reads Schema.Columns. A
// value that came out of a Cursor or Values is well formed for its type, so they
// return no error; on anything else they return zero.
type Value []byte

// ErrMalformed says that bytes do not follow the format they are read as.
var ErrMalformed = errors.New("malformed event data")

// malformed makes an error that names what was being read.
func malformed(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, a...))
}

// zeroTimestamp is MySQL's '0000-00-00 00:00:00' in a TIMESTAMP column.
const zeroTimestamp = math.MinInt64

// IsNull reports whether v is NULL.
func (v Value) IsNull() bool { return v == nil }

// Int is the value of TypeInt, TypeTime and TypeTimestamp.
func (v Value) Int() int64 {
	n, _ := binary.Varint(v)
	return n
}

// Uint is the value of TypeUint, TypeYear, TypeEnum, TypeSet and TypeBit.
func (v Value) Uint() uint64 {
	n, _ := binary.Uvarint(v)
	return n
}

// Float is the value of TypeFloat.
func (v Value) Float() float32 {
	if len(v) != 4 {
		return 0
	}
	return math.Float32frombits(binary.LittleEndian.Uint32(v))
}

// Double is the value of TypeDouble.
func (v Value) Double() float64 {
	if len(v) != 8 {
		return 0
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(v))
}

// Text is the value of TypeDecimal, TypeText and TypeJSON, copied.
func (v Value) Text() string { return string(v) }

// Bytes is the value of TypeBinary, and the payload of every "bytes" type, aliased.
func (v Value) Bytes() []byte { return v }

// Geometry is the value of TypeGeometry: its SRID and its WKB, aliased; 0 and nil for the
// empty value.
func (v Value) Geometry() (srid uint32, wkb []byte) {
	if len(v) < 4 {
		return 0, nil
	}
	return binary.LittleEndian.Uint32(v), v[4:]
}

// Date is the value of TypeDate; parts may be zero.
func (v Value) Date() (year, month, day int) { return splitDate(v.Uint()) }

// Civil is a date and time of day without a zone, as MySQL shows it. Any part may be
// zero where the server permits it.
type Civil struct {
	Year, Month, Day     int
	Hour, Minute, Second int
	Micro                int
}

// IsZeroOrPartial reports whether the date is not a day of the calendar.
func (c Civil) IsZeroOrPartial() bool { return c.Month == 0 || c.Day == 0 || c.Year == 0 }

// DateTime is the value of TypeDateTime.
func (v Value) DateTime() Civil {
	n := v.Uint()
	c := Civil{Micro: int(n & (1<<20 - 1))}
	t := n >> 20
	c.Hour, c.Minute, c.Second = int(t>>12&31), int(t>>6&63), int(t&63)
	c.Year, c.Month, c.Day = splitDate(t >> 17)
	return c
}

// Timestamp is the value of TypeTimestamp in microseconds UTC; zero reports MySQL's
// zero timestamp, which is no moment.
func (v Value) Timestamp() (micros int64, zero bool) {
	n := v.Int()
	if n == zeroTimestamp {
		return 0, true
	}
	return n, false
}

// Time is the value of TypeTime in microseconds.
func (v Value) Time() int64 { return v.Int() }

func splitDate(n uint64) (year, month, day int) {
	return int(n >> 9), int(n >> 5 & 15), int(n & 31)
}

func joinDate(year, month, day int) uint64 {
	return uint64(year)<<9 | uint64(month)<<5 | uint64(day)
}

func joinDateTime(c Civil) uint64 {
	t := joinDate(c.Year, c.Month, c.Day)<<17 | uint64(c.Hour)<<12 | uint64(c.Minute)<<6 | uint64(c.Second)
	return t<<20 | uint64(c.Micro)
}

// shape says how a type's value lies in an image.
type shape uint8

const (
	shapeNone shape = iota
	shapeVarint
	shapeBytes
	shape4
	shape8
)

var shapes = [...]shape{
	TypeInt: shapeVarint, TypeUint: shapeVarint, TypeDecimal: shapeBytes, TypeFloat: shape4,
	TypeDouble: shape8, TypeDate: shapeVarint, TypeDateTime: shapeVarint, TypeTimestamp: shapeVarint,
	TypeTime: shapeVarint, TypeYear: shapeVarint, TypeText: shapeBytes, TypeBinary: shapeBytes,
	TypeEnum: shapeVarint, TypeSet: shapeVarint, TypeBit: shapeVarint, TypeJSON: shapeBytes,
	TypeGeometry: shapeBytes, TypeUnsupported: shapeNone,
}

func (t Type) shape() shape {
	if int(t) >= len(shapes) {
		return shapeNone
	}
	return shapes[t]
}

// uvarintLen is the length of the uvarint at the start of b, 0 when there is none, it
// is longer than it need be, or it does not fit 64 bits. Only the shortest form is
// canonical.
func uvarintLen(b []byte) int {
	for i := 0; i < len(b) && i < binary.MaxVarintLen64; i++ {
		if b[i] < 0x80 {
			if i > 0 && b[i] == 0 || i == binary.MaxVarintLen64-1 && b[i] > 1 {
				return 0
			}
			return i + 1
		}
	}
	return 0
}

// readUvarint is binary.Uvarint for canonical forms only; n is 0 otherwise.
func readUvarint(b []byte) (v uint64, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	if n = uvarintLen(b); n == 0 {
		return 0, 0
	}
	v, _ = binary.Uvarint(b)
	return v, n
}
