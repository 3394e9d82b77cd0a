package column

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/millrace/millrace/pipeline/event"
)

// Buffer holds the values of one column of a block, in the bytes of the Native format. One
// goroutine uses it.
type Buffer struct {
	typ    Type
	src    *event.Column
	policy Policy
	rows   int
	nulls  []byte
	raw    []byte
	// names are an enum's values: the driver makes the dictionary.
	names []*string
	known map[uint64]*string
	// ends are where the arrays of a VECTOR end.
	ends  []byte
	count uint64
}

// NewBuffer makes a buffer for values of the source column src.
func NewBuffer(src *event.Column, t Type, p Policy) *Buffer {
	b := &Buffer{typ: t, src: src, policy: p}
	if t.kind == kindEnum {
		b.known = map[uint64]*string{}
	}
	return b
}

// Rows is how many values it holds.
func (b *Buffer) Rows() int { return b.rows }

// Size is how many bytes it holds.
func (b *Buffer) Size() int { return len(b.raw) + len(b.nulls) + len(b.ends) + 8*len(b.names) }

// Reset forgets the values and keeps the memory.
func (b *Buffer) Reset() {
	b.rows, b.count = 0, 0
	b.nulls, b.raw, b.ends, b.names = b.nulls[:0], b.raw[:0], b.ends[:0], b.names[:0]
}

// Free gives the values up, and their memory.
func (b *Buffer) Free() {
	b.Reset()
	b.nulls, b.raw, b.ends, b.names = nil, nil, nil, nil
}

// Room is how much memory a buffer's values take, by its parts.
type Room struct{ nulls, raw, ends, names int }

// Room is that of the values it holds.
func (b *Buffer) Room() Room {
	return Room{len(b.nulls), len(b.raw), len(b.ends), len(b.names)}
}

// Grow makes room for as many values as took r, those that it holds among them.
func (b *Buffer) Grow(r Room) {
	b.nulls, b.raw = slices.Grow(b.nulls, max(0, r.nulls-len(b.nulls))), slices.Grow(b.raw, max(0, r.raw-len(b.raw)))
	b.ends, b.names = slices.Grow(b.ends, max(0, r.ends-len(b.ends))), slices.Grow(b.names, max(0, r.names-len(b.names)))
}

// Append takes one value, nil for NULL. Nothing is kept when it returns an error.
func (b *Buffer) Append(v event.Value) (Changed, error) {
	if v == nil {
		if !b.typ.Nullable && b.typ.kind != kindVector {
			return b.absent(Kept, fmt.Errorf("NULL in a column that has none"))
		}
		b.null()
		return Kept, nil
	}
	switch b.typ.kind {
	case kindInt:
		b.whole(uint64(v.Int()))
	case kindUint:
		b.whole(v.Uint())
	case kindFloat:
		b.whole(uint64(math.Float32bits(v.Float())))
	case kindDouble:
		b.whole(math.Float64bits(v.Double()))
	case kindText:
		b.text(v)
	case kindSet:
		b.text([]byte(b.src.SetText(v.Uint())))
	case kindEnum:
		b.enum(v.Uint())
	case kindVector:
		return Kept, b.vector(v)
	case kindDecimal:
		return b.decimals(v)
	case kindTime:
		b.whole(uint64(v.Time() / pow10(6-b.typ.scale)))
	case kindLow:
		b.low(canonical(b.src, v))
	case kindAs:
		return b.chosen(v)
	default:
		return b.temporal(v)
	}
	return Kept, nil
}

// absent is for what has no value in the target: the column of a key, and an Error policy,
// refuse it.
func (b *Buffer) absent(changed Changed, err error) (Changed, error) {
	if err != nil {
		return changed, err
	}
	if b.typ.Nullable {
		b.null()
		return Nulled, nil
	}
	b.whole(0)
	return Zeroed, nil
}

func (b *Buffer) null() {
	b.rows++
	switch b.typ.kind {
	case kindEnum, kindLow:
		b.names = append(b.names, nil)
		return
	case kindVector: // an Array has no NULL: an empty one stands for it
		b.ends = binary.LittleEndian.AppendUint64(b.ends, b.count)
		return
	}
	b.nulls = append(b.nulls, 1)
	if b.typ.size == 0 {
		b.raw = append(b.raw, 0)
		return
	}
	b.raw = append(b.raw, make([]byte, b.typ.size)...)
}

// AppendNothing takes a place without a value: NULL, or 0 or an empty text where there is none.
func (b *Buffer) AppendNothing() {
	switch {
	case b.typ.Nullable || b.typ.kind == kindVector:
		b.null()
	case b.typ.dictionary():
		b.rows++
		b.names = append(b.names, new(string))
	case b.typ.size == 0:
		b.text(nil)
	default:
		b.present()
		b.raw = append(b.raw, make([]byte, b.typ.size)...)
	}
}

func (b *Buffer) present() {
	b.rows++
	if b.typ.Nullable {
		b.nulls = append(b.nulls, 0)
	}
}

// whole takes the low bytes of n.
func (b *Buffer) whole(n uint64) {
	b.present()
	var le [8]byte
	binary.LittleEndian.PutUint64(le[:], n)
	b.raw = append(b.raw, le[:b.typ.size]...)
}

func (b *Buffer) text(v []byte) {
	b.present()
	b.raw = binary.AppendUvarint(b.raw, uint64(len(v)))
	b.raw = append(b.raw, v...)
}

func (b *Buffer) enum(ordinal uint64) {
	name := b.known[ordinal]
	if name == nil {
		text := b.src.EnumName(ordinal)
		name = &text
		b.known[ordinal] = name
	}
	b.rows++
	b.names = append(b.names, name)
}

// low takes a text of which there are few.
func (b *Buffer) low(text string) {
	b.rows++
	b.names = append(b.names, &text)
}

func (b *Buffer) vector(v []byte) error {
	if len(v)%4 != 0 {
		return fmt.Errorf("a vector of %d bytes is no list of 4-byte numbers", len(v))
	}
	b.rows++
	b.count += uint64(len(v) / 4)
	b.ends = binary.LittleEndian.AppendUint64(b.ends, b.count)
	b.raw = append(b.raw, v...)
	return nil
}

func pow10(n int) int64 {
	p := int64(1)
	for range n {
		p *= 10
	}
	return p
}
