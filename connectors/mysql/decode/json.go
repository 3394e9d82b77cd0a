package decode

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
)

// The types of values in MySQL's binary JSON.
const (
	jsonSmallObject = 0
	jsonLargeObject = 1
	jsonSmallArray  = 2
	jsonLargeArray  = 3
	jsonLiteral     = 4
	jsonInt16       = 5
	jsonUint16      = 6
	jsonInt32       = 7
	jsonUint32      = 8
	jsonInt64       = 9
	jsonUint64      = 10
	jsonDouble      = 11
	jsonString      = 12
	jsonOpaque      = 15
)

// maxJSONDepth is the servers' own limit, which guards the stack.
const maxJSONDepth = 101

// maxJSONText bounds the text of one value. Entries may point at the same bytes, so a
// hostile document could unfold without end.
const maxJSONText = 1 << 30

// appendJSONColumn appends the text of a binary JSON value as the server prints it,
// behind its length.
func appendJSONColumn(dst, b []byte) ([]byte, error) {
	start := len(dst)
	// The text is written first and moved when its length's own length is known.
	dst = append(dst, 0)
	var err error
	if len(b) == 0 {
		// What a column holds that was never given a value prints as null.
		dst = append(dst, "null"...)
	} else if dst, err = appendJSON(dst, b[0], b[1:], 0); err != nil {
		return dst, err
	}
	n := len(dst) - start - 1
	if n < 0x80 {
		dst[start] = byte(n)
		return dst, nil
	}
	var prefix [binary.MaxVarintLen64]byte
	k := binary.PutUvarint(prefix[:], uint64(n))
	dst = append(dst, prefix[:k-1]...) // room
	copy(dst[start+k:], dst[start+1:start+1+n])
	copy(dst[start:], prefix[:k])
	return dst, nil
}

func appendJSON(dst []byte, typ byte, b []byte, depth int) ([]byte, error) {
	if depth > maxJSONDepth {
		return dst, malformed("JSON nested deeper than %d", maxJSONDepth)
	}
	if len(dst) > maxJSONText {
		return dst, malformed("JSON text of more than %d bytes", maxJSONText)
	}
	switch typ {
	case jsonSmallObject, jsonLargeObject, jsonSmallArray, jsonLargeArray:
		return appendContainer(dst, typ, b, depth)
	case jsonString:
		n, k := varlen(b)
		if k == 0 || n > uint64(len(b)-k) {
			return dst, malformed("JSON string is cut short")
		}
		return appendQuoted(dst, b[k:k+int(n)]), nil
	case jsonOpaque:
		return appendOpaque(dst, b)
	}
	size := scalarSize(typ)
	if size == 0 {
		return dst, malformed("JSON value of type %d", typ)
	}
	if len(b) < size {
		return dst, malformed("JSON number is cut short")
	}
	switch typ {
	case jsonLiteral:
		return appendLiteral(dst, b[0])
	case jsonInt16:
		return strconv.AppendInt(dst, int64(int16(binary.LittleEndian.Uint16(b))), 10), nil
	case jsonUint16:
		return strconv.AppendUint(dst, uint64(binary.LittleEndian.Uint16(b)), 10), nil
	case jsonInt32:
		return strconv.AppendInt(dst, int64(int32(binary.LittleEndian.Uint32(b))), 10), nil
	case jsonUint32:
		return strconv.AppendUint(dst, uint64(binary.LittleEndian.Uint32(b)), 10), nil
	case jsonInt64:
		return strconv.AppendInt(dst, int64(binary.LittleEndian.Uint64(b)), 10), nil
	case jsonUint64:
		return strconv.AppendUint(dst, binary.LittleEndian.Uint64(b), 10), nil
	}
	return appendJSONDouble(dst, math.Float64frombits(binary.LittleEndian.Uint64(b))), nil
}

func scalarSize(typ byte) int {
	switch typ {
	case jsonLiteral:
		return 1
	case jsonInt16, jsonUint16:
		return 2
	case jsonInt32, jsonUint32:
		return 4
	case jsonInt64, jsonUint64, jsonDouble:
		return 8
	}
	return 0
}

func appendLiteral(dst []byte, v byte) ([]byte, error) {
	switch v {
	case 0:
		return append(dst, "null"...), nil
	case 1:
		return append(dst, "true"...), nil
	case 2:
		return append(dst, "false"...), nil
	}
	return dst, malformed("JSON literal %d", v)
}

// container is an object or array: a count, a size, the entries of keys and values, and
// what they point to. Numbers in it have 2 bytes in the small form and 4 in the large.
type container struct {
	b     []byte
	width int
}

func (c container) number(at int) int {
	if c.width == 2 {
		return int(binary.LittleEndian.Uint16(c.b[at:]))
	}
	return int(binary.LittleEndian.Uint32(c.b[at:]))
}

func appendContainer(dst []byte, typ byte, b []byte, depth int) ([]byte, error) {
	c := container{b: b, width: 2}
	if typ == jsonLargeObject || typ == jsonLargeArray {
		c.width = 4
	}
	object := typ == jsonSmallObject || typ == jsonLargeObject
	if len(b) < 2*c.width {
		return dst, malformed("JSON container is cut short")
	}
	count, size := c.number(0), c.number(c.width)
	entry := 1 + c.width
	keys, head := 0, 2*c.width
	if object {
		keys = c.width + 2
	}
	if size > len(b) || count > len(b) || head+count*(keys+entry) > size {
		return dst, malformed("JSON container of %d bytes with %d entries is cut short", size, count)
	}
	c.b = b[:size]
	open, shut := byte('['), byte(']')
	if object {
		open, shut = '{', '}'
	}
	dst = append(dst, open)
	for i := range count {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		if object {
			at := head + i*keys
			off, n := c.number(at), int(binary.LittleEndian.Uint16(c.b[at+c.width:]))
			if off+n > size {
				return dst, malformed("JSON key is cut short")
			}
			dst = appendQuoted(dst, c.b[off:off+n])
			dst = append(dst, ": "...)
		}
		var err error
		if dst, err = c.appendEntry(dst, head+count*keys+i*entry, depth); err != nil {
			return dst, err
		}
	}
	return append(dst, shut), nil
}

func (c container) appendEntry(dst []byte, at, depth int) ([]byte, error) {
	typ := c.b[at]
	if n := scalarSize(typ); n > 0 && (n <= 2 || n <= 4 && c.width == 4) {
		return appendJSON(dst, typ, c.b[at+1:], depth+1)
	}
	off := c.number(at + 1)
	if off < 2*c.width || off >= len(c.b) {
		return dst, malformed("JSON value lies outside of its container")
	}
	return appendJSON(dst, typ, c.b[off:], depth+1)
}

// varlen reads a length of up to five bytes, seven bits each; n is 0 when it is none.
func varlen(b []byte) (v uint64, n int) {
	for i := 0; i < len(b) && i < 5; i++ {
		v |= uint64(b[i]&0x7f) << (7 * i)
		if b[i]&0x80 == 0 {
			if v > math.MaxUint32 {
				return 0, 0
			}
			return v, i + 1
		}
	}
	return 0, 0
}

// appendQuoted appends s as the servers quote a JSON string: bytes from space on as
// they are, except quote and backslash.
func appendQuoted(dst, s []byte) []byte {
	dst = append(dst, '"')
	from := 0
	for i, c := range s {
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, `\b`...)
		case '\f':
			dst = append(dst, `\f`...)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			dst = fmt.Appendf(dst, `\u%04x`, c)
		}
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

// appendOpaque appends a value that JSON has no type for.
func appendOpaque(dst, b []byte) ([]byte, error) {
	if len(b) < 1 {
		return dst, malformed("JSON opaque value is cut short")
	}
	typ := b[0]
	n, k := varlen(b[1:])
	if k == 0 || n > uint64(len(b)-1-k) {
		return dst, malformed("JSON opaque value is cut short")
	}
	v := b[1+k : 1+k+int(n)]
	switch typ {
	case wireDecimal:
		if len(v) < 2 {
			return dst, malformed("JSON decimal is cut short")
		}
		text, size, err := appendDecimal(nil, v[2:], int(v[0]), int(v[1]))
		if err != nil || size > len(v)-2 {
			return dst, malformed("JSON decimal(%d,%d) in %d bytes", v[0], v[1], len(v)-2)
		}
		return append(dst, text[1:]...), nil
	case wireDate, wireTime, wireDateTime, wireTimestamp:
		if len(v) != 8 {
			return dst, malformed("JSON temporal value of %d bytes", len(v))
		}
		return appendJSONTemporal(dst, typ, int64(binary.LittleEndian.Uint64(v))), nil
	}
	dst = fmt.Appendf(dst, `"base64:type%d:`, typ)
	dst = appendBase64Lines(dst, v)
	return append(dst, '"'), nil
}

// appendBase64Lines breaks lines after 76 characters, as the server does; the break is
// escaped like any other in a JSON string.
func appendBase64Lines(dst, v []byte) []byte {
	const line = 57 // bytes that make 76 characters
	for len(v) > line {
		dst = base64.StdEncoding.AppendEncode(dst, v[:line])
		dst = append(dst, '\\', 'n')
		v = v[line:]
	}
	return base64.StdEncoding.AppendEncode(dst, v)
}

func appendJSONTemporal(dst []byte, typ byte, v int64) []byte {
	dst = append(dst, '"')
	if v < 0 {
		dst = append(dst, '-')
		v = -v
	}
	whole, micros := v>>24, v&(1<<24-1)
	hms := whole & (1<<17 - 1)
	if typ == wireTime {
		hms = whole & (1<<22 - 1)
		dst = fmt.Appendf(dst, "%02d:%02d:%02d.%06d", hms>>12, hms>>6&63, hms&63, micros)
		return append(dst, '"')
	}
	ymd := whole >> 17
	ym := ymd >> 5
	dst = fmt.Appendf(dst, "%04d-%02d-%02d", ym/13, ym%13, ymd&31)
	if typ != wireDate {
		dst = fmt.Appendf(dst, " %02d:%02d:%02d.%06d", hms>>12, hms>>6&63, hms&63, micros)
	}
	return append(dst, '"')
}

// appendJSONDouble prints a double as the server does: the shortest digits that read
// back as the same number; plain while the point stands no more than 15 digits to the
// right, or 14 zeros to the left, of the first digit; ".0" behind whole numbers.
func appendJSONDouble(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...) // cannot be stored
	}
	var text [32]byte
	t := strconv.AppendFloat(text[:0], f, 'e', -1, 64)
	if t[0] == '-' {
		dst, t = append(dst, '-'), t[1:]
	}
	e := 0
	for i, c := range t {
		if c == 'e' {
			e, _ = strconv.Atoi(string(t[i+1:]))
			t = t[:i]
			break
		}
	}
	digits := t[:1:1]
	if len(t) > 2 {
		digits = append(digits, t[2:]...)
	}
	return appendPlainOrExponent(dst, digits, e+1)
}

// appendPlainOrExponent prints 0.digits × 10^point.
func appendPlainOrExponent(dst, digits []byte, point int) []byte {
	if len(digits) == 1 && digits[0] == '0' {
		return append(dst, "0.0"...)
	}
	if point < -14 || point > 15 {
		dst = append(dst, digits[0])
		if len(digits) > 1 {
			dst = append(append(dst, '.'), digits[1:]...)
		}
		dst = append(dst, 'e')
		return strconv.AppendInt(dst, int64(point-1), 10)
	}
	if point <= 0 {
		dst = append(dst, "0."...)
		for range -point {
			dst = append(dst, '0')
		}
		return append(dst, digits...)
	}
	for i := range point {
		if i < len(digits) {
			dst = append(dst, digits[i])
		} else {
			dst = append(dst, '0')
		}
	}
	if len(digits) <= point {
		return append(dst, ".0"...)
	}
	return append(append(dst, '.'), digits[point:]...)
}
