package parquet

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

// appendCell appends the cell of v.
func appendCell(dst []byte, t colType, v parquet.Value) []byte {
	if v.IsNull() {
		return append(dst, 0)
	}
	dst = append(dst, 1)
	switch t.kind {
	case kindLong, kindDec64, kindCivil, kindInstant:
		return binary.LittleEndian.AppendUint64(dst, uint64(v.Int64()))
	case kindInt, kindDec32, kindDate:
		return binary.LittleEndian.AppendUint64(dst, uint64(int64(v.Int32())))
	case kindFloat:
		return binary.LittleEndian.AppendUint64(dst, uint64(math.Float32bits(v.Float())))
	case kindDouble:
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v.Double()))
	case kindDec128:
		return append(dst, v.ByteArray()...)
	}
	b := v.ByteArray()
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

// cellLen is the length of the cell at the start of b, 0 when it is cut short.
func cellLen(t colType, b []byte) int {
	if len(b) == 0 {
		return 0
	}
	if b[0] == 0 {
		return 1
	}
	n := 0
	switch t.kind {
	case kindDec128:
		n = 17
	case kindString, kindBinary:
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

// cellValue is the value of a whole cell; it aliases the cell.
func cellValue(t colType, b []byte) parquet.Value {
	if b[0] == 0 {
		return parquet.NullValue()
	}
	b = b[1:]
	switch t.kind {
	case kindLong, kindDec64, kindCivil, kindInstant:
		return parquet.Int64Value(int64(binary.LittleEndian.Uint64(b)))
	case kindInt, kindDec32, kindDate:
		return parquet.Int32Value(int32(binary.LittleEndian.Uint64(b)))
	case kindFloat:
		return parquet.FloatValue(math.Float32frombits(uint32(binary.LittleEndian.Uint64(b))))
	case kindDouble:
		return parquet.DoubleValue(math.Float64frombits(binary.LittleEndian.Uint64(b)))
	case kindDec128:
		return parquet.FixedLenByteArrayValue(b)
	}
	_, k := binary.Uvarint(b)
	return parquet.ByteArrayValue(b[k:])
}

// nextCell cuts the first cell off b.
func nextCell(t colType, b []byte) (v parquet.Value, rest []byte, err error) {
	n := cellLen(t, b)
	if n == 0 {
		return v, nil, fmt.Errorf("a value of type %s is cut short", t.delta())
	}
	return cellValue(t, b[:n]), b[n:], nil
}

// convert is v, a value of type from, as one of type to: what a row written under an
// older schema shows under a newer one. What has no meaning in the new type becomes NULL;
// the source makes a new snapshot due after DDL that changes stored values, which brings
// what it has made of them.
func convert(from, to colType, v parquet.Value, a *arena) parquet.Value {
	if v.IsNull() || from == to {
		return v
	}
	switch {
	case to.kind == kindBinary && from.kind == kindString:
		return v
	case to.kind == kindString && from.kind == kindBinary && !utf8.Valid(v.ByteArray()):
		return parquet.NullValue()
	case to.kind == kindString:
		return parquet.ByteArrayValue(appendText(nil, from, v))
	case isDecimal(to) || to.kind == kindLong:
		return convertNumber(from, to, v, a)
	case to.kind == kindFloat || to.kind == kindDouble:
		f, err := strconv.ParseFloat(string(appendText(nil, from, v)), 64)
		if err != nil {
			return parquet.NullValue()
		}
		if to.kind == kindFloat {
			return parquet.FloatValue(float32(f))
		}
		return parquet.DoubleValue(f)
	}
	return convertTime(from, to, v)
}

func isDecimal(t colType) bool {
	return t.kind == kindDec32 || t.kind == kindDec64 || t.kind == kindDec128
}

// convertNumber rounds half away from zero, as MySQL does.
func convertNumber(from, to colType, v parquet.Value, a *arena) parquet.Value {
	text := appendText(nil, from, v)
	if from.kind == kindFloat || from.kind == kindDouble {
		f, _ := strconv.ParseFloat(string(text), 64)
		text = strconv.AppendFloat(nil, f, 'f', -1, 64)
	}
	scale := 0
	if isDecimal(to) {
		scale = to.scale
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
	if to.kind == kindLong {
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

func convertTime(from, to colType, v parquet.Value) parquet.Value {
	const day = 86400e6
	switch {
	case to.kind == kindDate && (from.kind == kindCivil || from.kind == kindInstant):
		n := v.Int64()
		d := n / day
		if n%day < 0 {
			d--
		}
		return parquet.Int32Value(int32(d))
	case (to.kind == kindCivil || to.kind == kindInstant) && from.kind == kindDate:
		return parquet.Int64Value(int64(v.Int32()) * day)
	case (to.kind == kindCivil || to.kind == kindInstant) && (from.kind == kindCivil || from.kind == kindInstant):
		return v
	}
	return parquet.NullValue()
}

// appendText is a value as MySQL prints it.
func appendText(dst []byte, t colType, v parquet.Value) []byte {
	switch t.kind {
	case kindLong:
		return strconv.AppendInt(dst, v.Int64(), 10)
	case kindInt:
		return strconv.AppendInt(dst, int64(v.Int32()), 10)
	case kindDec32:
		return append(dst, intDecimal(int64(v.Int32()), t.scale)...)
	case kindDec64:
		return append(dst, intDecimal(v.Int64(), t.scale)...)
	case kindDec128:
		return append(dst, fixedDecimal(v.ByteArray(), t.scale)...)
	case kindFloat:
		return strconv.AppendFloat(dst, float64(v.Float()), 'g', -1, 32)
	case kindDouble:
		return strconv.AppendFloat(dst, v.Double(), 'g', -1, 64)
	case kindDate:
		return time.Unix(int64(v.Int32())*86400, 0).UTC().AppendFormat(dst, "2006-01-02")
	case kindCivil, kindInstant:
		return time.UnixMicro(v.Int64()).UTC().AppendFormat(dst, "2006-01-02 15:04:05.999999")
	}
	return append(dst, v.ByteArray()...)
}
