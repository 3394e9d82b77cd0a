package file

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
)

// Cells are target values as bytes: one byte (0 NULL, 1 a value), then 8 bytes little
// endian for numbers and times, 16 for long decimals, uvarint length and bytes for the
// rest. Equal values have equal cells, so rows and keys are compared as bytes. They stand
// in merges, in the tombstone file and for defaults in the table's state.

// AppendCell appends the cell of v.
func AppendCell(dst []byte, t Type, v parquet.Value) []byte {
	if v.IsNull() {
		return append(dst, 0)
	}
	dst = append(dst, 1)
	switch t.Kind {
	case Long, Dec64, Civil, Instant:
		return binary.LittleEndian.AppendUint64(dst, uint64(v.Int64()))
	case Int, Dec32, Date:
		return binary.LittleEndian.AppendUint64(dst, uint64(int64(v.Int32())))
	case Float:
		return binary.LittleEndian.AppendUint64(dst, uint64(math.Float32bits(v.Float())))
	case Double:
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v.Double()))
	case Dec128:
		return append(dst, v.ByteArray()...)
	}
	b := v.ByteArray()
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

// cellLen is the length of the cell at the start of b, 0 when it is cut short.
func cellLen(t Type, b []byte) int {
	if len(b) == 0 {
		return 0
	}
	if b[0] == 0 {
		return 1
	}
	n := 0
	switch t.Kind {
	case Dec128:
		n = 17
	case String, Binary:
		l, k := binary.Uvarint(b[1:])
		if k <= 0 || l > uint64(len(b)) {
			return 0
		}
		n = 1 + k + int(l)
	default:
		n = 9
	}
	if n > len(b) {
		return 0
	}
	return n
}

// CellValue is the value of a whole cell; it aliases the cell.
func CellValue(t Type, b []byte) parquet.Value {
	if b[0] == 0 {
		return parquet.NullValue()
	}
	b = b[1:]
	switch t.Kind {
	case Long, Dec64, Civil, Instant:
		return parquet.Int64Value(int64(binary.LittleEndian.Uint64(b)))
	case Int, Dec32, Date:
		return parquet.Int32Value(int32(binary.LittleEndian.Uint64(b)))
	case Float:
		return parquet.FloatValue(math.Float32frombits(uint32(binary.LittleEndian.Uint64(b))))
	case Double:
		return parquet.DoubleValue(math.Float64frombits(binary.LittleEndian.Uint64(b)))
	case Dec128:
		return parquet.FixedLenByteArrayValue(b)
	}
	_, k := binary.Uvarint(b)
	return parquet.ByteArrayValue(b[k:])
}

// NextCell cuts the first cell off b.
func NextCell(t Type, b []byte) (v parquet.Value, rest []byte, err error) {
	n := cellLen(t, b)
	if n == 0 {
		return v, nil, fmt.Errorf("a value of type %s is cut short", t.Delta())
	}
	return CellValue(t, b[:n]), b[n:], nil
}

// Convert is v, a value of type from, as one of type to: what a row written under an
// older schema shows under a newer one. What has no meaning in the new type becomes NULL;
// the source makes a new snapshot due after DDL that changes stored values, which brings
// what it has made of them.
func Convert(from, to Type, v parquet.Value, a *Arena) parquet.Value {
	if v.IsNull() || from == to {
		return v
	}
	switch {
	case to.Kind == Binary && from.Kind == String:
		return v
	case to.Kind == String && from.Kind == Binary && !utf8.Valid(v.ByteArray()):
		return parquet.NullValue()
	case to.Kind == String:
		return parquet.ByteArrayValue(AppendText(nil, from, v))
	case isDecimal(to) || to.Kind == Long:
		return convertNumber(from, to, v, a)
	case to.Kind == Float || to.Kind == Double:
		f, err := strconv.ParseFloat(string(AppendText(nil, from, v)), 64)
		if err != nil {
			return parquet.NullValue()
		}
		if to.Kind == Float {
			return parquet.FloatValue(float32(f))
		}
		return parquet.DoubleValue(f)
	}
	return convertTime(from, to, v)
}

func isDecimal(t Type) bool {
	return t.Kind == Dec32 || t.Kind == Dec64 || t.Kind == Dec128
}

// convertNumber rounds half away from zero, as MySQL does.
func convertNumber(from, to Type, v parquet.Value, a *Arena) parquet.Value {
	text := AppendText(nil, from, v)
	if from.Kind == Float || from.Kind == Double {
		f, _ := strconv.ParseFloat(string(text), 64)
		text = strconv.AppendFloat(nil, f, 'f', -1, 64)
	}
	scale := 0
	if isDecimal(to) {
		scale = to.Scale
	}
	text, up := roundText(text, scale)
	neg := len(text) > 0 && text[0] == '-'
	hi, lo, _, err := parseDecimal(text, scale)
	if err != nil {
		return parquet.NullValue()
	}
	if up {
		if lo++; lo == 0 {
			hi++
		}
	}
	if to.Kind == Long {
		if hi != 0 || lo > math.MaxInt64 {
			return parquet.NullValue()
		}
		n := int64(lo)
		if neg {
			n = -n
		}
		return parquet.Int64Value(n)
	}
	out, err := decimalValue(to, hi, lo, neg, a)
	if err != nil {
		return parquet.NullValue()
	}
	return out
}

// roundText cuts decimal text to scale digits behind the point; up says that the
// magnitude's last digit is to be raised.
func roundText(text []byte, scale int) (cut []byte, up bool) {
	for i, c := range text {
		if c == '.' {
			if end := i + 1 + scale; end < len(text) {
				return text[:end], text[end] >= '5'
			}
		}
	}
	return text, false
}

func convertTime(from, to Type, v parquet.Value) parquet.Value {
	const day = 86400e6
	switch {
	case to.Kind == Date && (from.Kind == Civil || from.Kind == Instant):
		n := v.Int64()
		d := n / day
		if n%day < 0 {
			d--
		}
		return parquet.Int32Value(int32(d))
	case (to.Kind == Civil || to.Kind == Instant) && from.Kind == Date:
		return parquet.Int64Value(int64(v.Int32()) * day)
	case (to.Kind == Civil || to.Kind == Instant) && (from.Kind == Civil || from.Kind == Instant):
		return v
	}
	return parquet.NullValue()
}

// AppendText is a value as MySQL prints it.
func AppendText(dst []byte, t Type, v parquet.Value) []byte {
	switch t.Kind {
	case Long:
		return strconv.AppendInt(dst, v.Int64(), 10)
	case Int:
		return strconv.AppendInt(dst, int64(v.Int32()), 10)
	case Dec32:
		return append(dst, intDecimal(int64(v.Int32()), t.Scale)...)
	case Dec64:
		return append(dst, intDecimal(v.Int64(), t.Scale)...)
	case Dec128:
		return append(dst, fixedDecimal(v.ByteArray(), t.Scale)...)
	case Float:
		return strconv.AppendFloat(dst, float64(v.Float()), 'g', -1, 32)
	case Double:
		return strconv.AppendFloat(dst, v.Double(), 'g', -1, 64)
	case Date:
		return time.Unix(int64(v.Int32())*86400, 0).UTC().AppendFormat(dst, "2006-01-02")
	case Civil, Instant:
		return time.UnixMicro(v.Int64()).UTC().AppendFormat(dst, "2006-01-02 15:04:05.999999")
	}
	return append(dst, v.ByteArray()...)
}
