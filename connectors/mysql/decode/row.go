package decode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"

	"github.com/millrace/millrace/connectors/mysql/charset"
	"github.com/millrace/millrace/pipeline/event"
)

// ErrKey says that a key's bytes would be the key of another row too once they are
// UTF-8: they have no characters, or characters that the charset has twice.
var ErrKey = errors.New("a key that is not one row's alone in UTF-8")

// AppendImage decodes the row image at the start of row and appends it to dst. n is
// how many bytes of row it took. After an error dst's added bytes are garbage.
func (d *Decoder) AppendImage(dst, row []byte) (out []byte, n int, err error) {
	cols := len(d.cols)
	maps := (cols + 7) / 8
	if len(row) < maps {
		return dst, 0, d.short(0)
	}
	for range maps - 1 {
		dst = append(dst, 0xff)
	}
	last := byte(0xff)
	if r := cols & 7; r != 0 {
		last = 1<<r - 1
	}
	dst = append(dst, last)
	nulls := row[:maps]
	dst = append(dst, nulls...)
	dst[len(dst)-1] &= last
	b := row[maps:]
	for i := range d.cols {
		if nulls[i>>3]&(1<<(i&7)) != 0 {
			continue
		}
		size := 0
		if c := &d.cols[i]; c.op == opText {
			dst, size, err = d.text(dst, b, c)
		} else {
			dst, size, err = c.append(dst, b, d.maria)
		}
		if err != nil || size > len(b) {
			if err == nil {
				err = d.short(i)
			} else {
				err = d.explain(i, err)
			}
			return dst, 0, err
		}
		b = b[size:]
	}
	return dst, len(row) - len(b), nil
}

// Schema is what the images are rows of.
func (d *Decoder) Schema() *event.Schema { return d.schema }

func (d *Decoder) short(i int) error {
	return malformed("row of %s is cut short in column %s", d.schema.Name, d.schema.Columns[i].Name)
}

func (d *Decoder) explain(i int, err error) error {
	return fmt.Errorf("row of %s: column %s %s: %w", d.schema.Name, d.schema.Columns[i].Name, d.schema.Columns[i].Native, err)
}

// short is how append says that b does not hold the value.
const short = math.MaxInt

// append decodes one value; n is its size on the wire, more than len(b) when it is cut
// short.
func (c *col) append(dst, b []byte, maria bool) (out []byte, n int, err error) {
	switch c.op {
	case opI8:
		if len(b) < 1 {
			return dst, short, nil
		}
		return binary.AppendVarint(dst, int64(int8(b[0]))), 1, nil
	case opI16:
		if len(b) < 2 {
			return dst, short, nil
		}
		return binary.AppendVarint(dst, int64(int16(binary.LittleEndian.Uint16(b)))), 2, nil
	case opI24:
		if len(b) < 3 {
			return dst, short, nil
		}
		return binary.AppendVarint(dst, int64(int32(uint24(b)<<8)>>8)), 3, nil
	case opI32:
		if len(b) < 4 {
			return dst, short, nil
		}
		return binary.AppendVarint(dst, int64(int32(binary.LittleEndian.Uint32(b)))), 4, nil
	case opI64:
		if len(b) < 8 {
			return dst, short, nil
		}
		return binary.AppendVarint(dst, int64(binary.LittleEndian.Uint64(b))), 8, nil
	case opU8:
		if len(b) < 1 {
			return dst, short, nil
		}
		return binary.AppendUvarint(dst, uint64(b[0])), 1, nil
	case opU16:
		if len(b) < 2 {
			return dst, short, nil
		}
		return binary.AppendUvarint(dst, uint64(binary.LittleEndian.Uint16(b))), 2, nil
	case opU24:
		if len(b) < 3 {
			return dst, short, nil
		}
		return binary.AppendUvarint(dst, uint64(uint24(b))), 3, nil
	case opU32:
		if len(b) < 4 {
			return dst, short, nil
		}
		return binary.AppendUvarint(dst, uint64(binary.LittleEndian.Uint32(b))), 4, nil
	case opU64:
		if len(b) < 8 {
			return dst, short, nil
		}
		return binary.AppendUvarint(dst, binary.LittleEndian.Uint64(b)), 8, nil
	case opFloat:
		if len(b) < 4 {
			return dst, short, nil
		}
		return appendFloat(dst, binary.LittleEndian.Uint32(b), maria), 4, nil
	case opDouble:
		if len(b) < 8 {
			return dst, short, nil
		}
		return appendDouble(dst, binary.LittleEndian.Uint64(b), maria), 8, nil
	case opBytes, opPadded, opUUID, opJSON, opGeometry:
		return c.appendVariable(dst, b)
	case opUintLE, opBit:
		return c.appendNumber(dst, b)
	case opDecimal:
		return appendDecimal(dst, b, int(c.size>>8), int(c.size&0xff))
	}
	return c.appendTemporal(dst, b)
}

func uint24(b []byte) uint32 { return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 }

// MariaDB prints minus zero as zero, so that a SELECT cannot show the difference: there
// both are the one zero.
func appendFloat(dst []byte, bits uint32, maria bool) []byte {
	if maria && bits == 1<<31 {
		bits = 0
	}
	return binary.LittleEndian.AppendUint32(dst, bits)
}

func appendDouble(dst []byte, bits uint64, maria bool) []byte {
	if maria && bits == 1<<63 {
		bits = 0
	}
	return binary.LittleEndian.AppendUint64(dst, bits)
}

func (c *col) appendNumber(dst, b []byte) ([]byte, int, error) {
	n := int(c.arg)
	if len(b) < n {
		return dst, short, nil
	}
	var v uint64
	if c.op == opBit {
		for _, x := range b[:n] {
			v = v<<8 | uint64(x)
		}
	} else {
		for i := n - 1; i >= 0; i-- {
			v = v<<8 | uint64(b[i])
		}
	}
	return binary.AppendUvarint(dst, v), n, nil
}

// variable finds the value behind a length of arg bytes.
func (c *col) variable(b []byte) (v []byte, size int) {
	prefix, n := int(c.arg), 0
	if len(b) < prefix {
		return nil, short
	}
	switch prefix {
	case 1:
		n = int(b[0])
	case 2:
		n = int(binary.LittleEndian.Uint16(b))
	default:
		for i := prefix - 1; i >= 0; i-- {
			n = n<<8 | int(b[i])
		}
	}
	if n > len(b)-prefix {
		return nil, short
	}
	return b[prefix : prefix+n], prefix + n
}

// checkGeometry takes what the servers can hold: an SRID and WKB, or nothing at all,
// which MariaDB stores for a value that it could not read.
func checkGeometry(v []byte) error {
	if len(v) > 0 && len(v) < 4 {
		return malformed("geometry of %d bytes", len(v))
	}
	return nil
}

// text decodes one value of text.
func (d *Decoder) text(dst, b []byte, c *col) ([]byte, int, error) {
	v, size := c.variable(b)
	if size > len(b) {
		return dst, short, nil
	}
	if c.ascii && isASCII(v) { // most texts are
		if len(v) < 0x80 {
			dst = append(dst, byte(len(v)))
		} else {
			dst = binary.AppendUvarint(dst, uint64(len(v)))
		}
		return append(dst, v...), size, nil
	}
	dst, err := appendText(dst, v, c.set, c.key, d.lossy)
	return dst, size, err
}

// isASCII looks at 32 or eight bytes at a time, at the last ones twice.
func isASCII(v []byte) bool {
	const high = 0x8080808080808080
	var all uint64
	if len(v) < 8 {
		for _, c := range v {
			all |= uint64(c)
		}
		return all&0x80 == 0
	}
	rest := v
	for ; len(rest) >= 32; rest = rest[32:] {
		all |= binary.LittleEndian.Uint64(rest) | binary.LittleEndian.Uint64(rest[8:]) |
			binary.LittleEndian.Uint64(rest[16:]) | binary.LittleEndian.Uint64(rest[24:])
	}
	for ; len(rest) >= 8; rest = rest[8:] {
		all |= binary.LittleEndian.Uint64(rest)
	}
	return (all|binary.LittleEndian.Uint64(v[len(v)-8:]))&high == 0
}

// appendText appends a text in UTF-8 behind its length. In a key, bytes whose text others
// have too are an error: two rows would become one.
func appendText(dst, v []byte, set *charset.Set, key bool, lossy Counter) ([]byte, error) {
	if set.Plain(v) {
		dst = binary.AppendUvarint(dst, uint64(len(v)))
		return append(dst, v...), nil
	}
	if key {
		if err := set.Unique(v); err != nil {
			return dst, fmt.Errorf("%w: %w", ErrKey, err)
		}
	}
	// The length stands before the text and is known behind it: room is left for that of
	// the longest text that it can be.
	at, room := len(dst), uvarintLen(uint64(charset.MaxExpansion*len(v)))
	dst = append(dst, make([]byte, binary.MaxVarintLen64)[:room]...)
	dst, bad := set.Append(dst, v)
	n := len(dst) - at - room
	if used := binary.PutUvarint(dst[at:at+room], uint64(n)); used < room {
		dst = append(dst[:at+used], dst[at+room:]...)
	}
	if bad > 0 && lossy != nil {
		lossy.Add(float64(bad))
	}
	return dst, nil
}

// CheckKey says why v, the text of a key's column as the server holds it, may not be one.
func CheckKey(c *event.Column, v []byte) error {
	set := textSet(c)
	if set == nil {
		return nil
	}
	if err := set.Unique(v); err != nil {
		return fmt.Errorf("column %s %s: %w: %w", c.Name, c.Native, ErrKey, err)
	}
	return nil
}

func uvarintLen(v uint64) int { return max(1, (bits.Len64(v)+6)/7) }

// appendVariable reads the value behind a length of arg bytes.
func (c *col) appendVariable(dst, b []byte) ([]byte, int, error) {
	v, size := c.variable(b)
	if size > len(b) {
		return dst, short, nil
	}
	n := len(v)
	switch c.op {
	case opBytes:
		dst = binary.AppendUvarint(dst, uint64(n))
		return append(dst, v...), size, nil
	case opPadded, opUUID:
		if n > int(c.size) {
			return dst, 0, malformed("%d bytes in a column of %d", n, c.size)
		}
		dst = binary.AppendUvarint(dst, uint64(c.size))
		at := len(dst)
		dst = append(dst, v...)
		for range int(c.size) - n {
			dst = append(dst, 0)
		}
		if c.op == opUUID {
			unswapUUID(dst[at:])
		}
		return dst, size, nil
	case opGeometry:
		if err := checkGeometry(v); err != nil {
			return dst, 0, err
		}
		dst = binary.AppendUvarint(dst, uint64(n))
		return append(dst, v...), size, nil
	}
	dst, err := appendJSONColumn(dst, v)
	return dst, size, err
}

// unswapUUID turns the order in which MariaDB keeps a UUID of versions 1 to 5 (so that
// it sorts by time and node) into that of its text.
func unswapUUID(b []byte) {
	if len(b) != 16 || b[6]&0x80 == 0 || b[8] == 0 || b[8] >= 0x60 {
		return
	}
	var t [16]byte
	copy(t[0:], b[12:16])
	copy(t[4:], b[10:12])
	copy(t[6:], b[8:10])
	copy(t[8:], b[6:8])
	copy(t[10:], b[0:6])
	copy(b, t[:])
}
