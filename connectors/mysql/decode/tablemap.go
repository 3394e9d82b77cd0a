package decode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// The wire types of columns in a TABLE_MAP.
const (
	wireTiny       = 1
	wireShort      = 2
	wireLong       = 3
	wireFloat      = 4
	wireDouble     = 5
	wireTimestamp  = 7
	wireLongLong   = 8
	wireInt24      = 9
	wireDate       = 10
	wireTime       = 11
	wireDateTime   = 12
	wireYear       = 13
	wireNewDate    = 14
	wireVarchar    = 15
	wireBit        = 16
	wireTimestamp2 = 17
	wireDateTime2  = 18
	wireTime2      = 19
	wireVector     = 242
	wireJSON       = 245
	wireDecimal    = 246
	wireEnum       = 247
	wireSet        = 248
	wireBlob       = 252
	wireVarString  = 253
	wireString     = 254
	wireGeometry   = 255
)

// ErrMalformed says that an event does not follow its format.
var ErrMalformed = errors.New("malformed row event")

func malformed(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, a...))
}

const maxColumns = 4096

// TableMap is a TABLE_MAP event: the shape of the rows that follow.
type TableMap struct {
	ID        uint64
	DB, Table string
	Types     []byte // the real type where ENUM and SET hide behind STRING
	Meta      []uint16
	// Unsigned is nil where the server does not say; else one entry a column.
	Unsigned []bool
	// Collations holds the collation id of each text column, 0 for others; nil where
	// the server does not say.
	Collations []uint16
	// Names is nil unless the server writes full metadata.
	Names []string
}

// ParseTableMap reads a TABLE_MAP's body. The result keeps nothing of b.
func ParseTableMap(b []byte) (*TableMap, error) {
	r := wire{b: b}
	tm := &TableMap{ID: r.uint(6)}
	r.skip(2) // flags
	tm.DB = string(r.take(int(r.uint(1))))
	r.skip(1)
	tm.Table = string(r.take(int(r.uint(1))))
	r.skip(1)
	n := r.lenenc()
	if r.bad || n == 0 || n > maxColumns {
		return nil, malformed("TABLE_MAP with %d columns", n)
	}
	tm.Types = append([]byte(nil), r.take(int(n))...)
	meta := wire{b: r.take(int(r.lenenc()))}
	r.skip((int(n) + 7) / 8) // NULL bits
	if r.bad {
		return nil, malformed("TABLE_MAP of %s.%s is cut short", tm.DB, tm.Table)
	}
	tm.Meta = make([]uint16, n)
	for i := range tm.Types {
		tm.columnMeta(i, &meta)
	}
	if meta.bad {
		return nil, malformed("TABLE_MAP of %s.%s: metadata is cut short", tm.DB, tm.Table)
	}
	return tm, tm.optional(&r)
}

// columnMeta reads the metadata of one column and resolves the types that hide behind
// STRING. Meta then holds a length in bytes, or what the type needs.
func (tm *TableMap) columnMeta(i int, r *wire) {
	switch tm.Types[i] {
	case wireFloat, wireDouble, wireBlob, 249, 250, 251, wireJSON, wireGeometry, wireVector,
		wireTimestamp2, wireDateTime2, wireTime2, 140:
		tm.Meta[i] = uint16(r.uint(1))
	case wireVarchar, wireVarString, wireBit, 141:
		tm.Meta[i] = uint16(r.uint(2))
	case wireDecimal:
		p, s := r.uint(1), r.uint(1)
		tm.Meta[i] = uint16(p<<8 | s)
	case wireString, wireEnum, wireSet:
		typ, size := byte(r.uint(1)), uint16(r.uint(1))
		if typ&0x30 != 0x30 { // two bits of a long length live in the type's byte
			size |= uint16(typ&0x30^0x30) << 4
			typ |= 0x30
		}
		tm.Types[i], tm.Meta[i] = typ, size
	}
}

// The fields of the optional metadata that are read.
const (
	metaSignedness     = 1
	metaDefaultCharset = 2
	metaColumnCharset  = 3
	metaColumnName     = 4
)

func (tm *TableMap) optional(r *wire) error {
	for len(r.b) > 0 {
		typ := r.uint(1)
		field := wire{b: r.take(int(r.lenenc()))}
		if r.bad {
			return malformed("TABLE_MAP of %s.%s: optional metadata is cut short", tm.DB, tm.Table)
		}
		switch typ {
		case metaSignedness:
			tm.signedness(field.b)
		case metaDefaultCharset:
			def := uint16(field.lenenc())
			tm.charsets(func() uint16 { return def })
			text := tm.textColumns()
			for len(field.b) > 0 && !field.bad {
				k, c := field.lenenc(), field.lenenc()
				if k < uint64(len(text)) {
					tm.Collations[text[k]] = uint16(c)
				}
			}
		case metaColumnCharset:
			tm.charsets(func() uint16 { return uint16(field.lenenc()) })
		case metaColumnName:
			for range tm.Types {
				tm.Names = append(tm.Names, string(field.take(int(field.lenenc()))))
			}
		}
		if field.bad {
			return malformed("TABLE_MAP of %s.%s: optional metadata %d is cut short", tm.DB, tm.Table, typ)
		}
	}
	return nil
}

// signedness has one bit, the highest first, for each column of a numeric type.
func (tm *TableMap) signedness(b []byte) {
	tm.Unsigned = make([]bool, len(tm.Types))
	k := 0
	for i, t := range tm.Types {
		switch t {
		case wireTiny, wireShort, wireInt24, wireLong, wireLongLong, wireDecimal, wireFloat, wireDouble, wireYear:
			if k/8 < len(b) {
				tm.Unsigned[i] = b[k/8]&(0x80>>(k%8)) != 0
			}
			k++
		}
	}
}

func (tm *TableMap) textColumns() (cols []int) {
	for i, t := range tm.Types {
		switch t {
		case wireVarchar, wireVarString, wireString, wireBlob, 249, 250, 251:
			cols = append(cols, i)
		}
	}
	return cols
}

func (tm *TableMap) charsets(next func() uint16) {
	tm.Collations = make([]uint16, len(tm.Types))
	for _, i := range tm.textColumns() {
		tm.Collations[i] = next()
	}
}

// Rows is the header of a rows event, and where its rows begin.
type Rows struct {
	TableID uint64
	Flags   uint16
	Columns int
	// Full is true when every image has every column.
	Full bool
	// Start is the offset of the first row in the body.
	Start int
}

// EndOfStatement is the flag of the last rows event of a statement: table ids end.
const EndOfStatement = 1

// ParseRows reads the header of a rows event. extra says that the version has a field
// for more data (version 2); update that rows have two images.
func ParseRows(b []byte, extra, update bool) (Rows, error) {
	r := wire{b: b}
	h := Rows{TableID: r.uint(6), Flags: uint16(r.uint(2))}
	if extra {
		n := r.uint(2)
		if n < 2 {
			return Rows{}, malformed("rows event with %d bytes of extra data", n)
		}
		r.skip(int(n) - 2)
	}
	n := r.lenenc()
	if r.bad || n == 0 || n > maxColumns {
		return Rows{}, malformed("rows event with %d columns", n)
	}
	h.Columns = int(n)
	size := (h.Columns + 7) / 8
	h.Full = allSet(r.take(size), h.Columns)
	if update {
		h.Full = allSet(r.take(size), h.Columns) && h.Full
	}
	if r.bad {
		return Rows{}, malformed("rows event is cut short")
	}
	h.Start = len(b) - len(r.b)
	return h, nil
}

func allSet(b []byte, n int) bool {
	set := 0
	for i, v := range b {
		if rest := n - 8*i; rest < 8 {
			v &= 1<<rest - 1
		}
		set += bits.OnesCount8(v)
	}
	return set == n
}

// wire reads fields off a body; bad is set when it was too short.
type wire struct {
	b   []byte
	bad bool
}

func (r *wire) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *wire) skip(n int) { r.take(n) }

// uint is a little-endian number of n bytes.
func (r *wire) uint(n int) (v uint64) {
	b := r.take(n)
	for i := len(b) - 1; i >= 0; i-- {
		v = v<<8 | uint64(b[i])
	}
	return v
}

func (r *wire) lenenc() uint64 {
	switch c := r.uint(1); c {
	case 0xfc:
		return r.uint(2)
	case 0xfd:
		return r.uint(3)
	case 0xfe:
		if len(r.b) < 8 {
			r.bad, r.b = true, nil
			return 0
		}
		v := binary.LittleEndian.Uint64(r.b)
		r.b = r.b[8:]
		if v > 1<<32 {
			r.bad = true
			return 0
		}
		return v
	case 0xfb, 0xff:
		r.bad, r.b = true, nil
		return 0
	default:
		return c
	}
}
