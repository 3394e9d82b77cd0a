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
	// What follows is nil where the server does not say it. Unsigned has an entry a column.
	Unsigned []bool
	// Names, the members of ENUM and SET columns, in their charset, and the columns of the
	// primary key are there when the server writes full metadata.
	Names            []string
	enums, sets      [][]string
	Key              []int
	text, enumOrSets collations
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
