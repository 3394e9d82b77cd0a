package event

import (
	"encoding/binary"
	"fmt"
)

// reader takes fields off a byte slice. The first mistake sticks; after it every field
// is zero, so a decoder can read on and look at the error at the end.
type reader struct {
	b    []byte
	pos  int
	err  error
	what string
}

func (r *reader) fail(format string, a ...any) {
	if r.err == nil {
		r.err = malformed("%s at byte %d: %s", r.what, r.pos, fmt.Sprintf(format, a...))
	}
}

func (r *reader) rest() int { return len(r.b) - r.pos }

func (r *reader) byte() byte {
	if r.err != nil || r.pos >= len(r.b) {
		r.fail("cut short")
		return 0
	}
	r.pos++
	return r.b[r.pos-1]
}

func (r *reader) uvarint() uint64 {
	if r.err != nil {
		return 0
	}
	v, n := readUvarint(r.b[r.pos:])
	if n == 0 {
		r.fail("cut short or not the shortest uvarint")
		return 0
	}
	r.pos += n
	return v
}

func (r *reader) uvarintMax(max uint64) uint64 {
	v := r.uvarint()
	if v > max {
		r.fail("%d is above %d", v, max)
		return 0
	}
	return v
}

func (r *reader) varint() int64 {
	u := r.uvarint()
	v := int64(u >> 1)
	if u&1 != 0 {
		v = ^v
	}
	return v
}

// count reads the number of things that follow, each at least size bytes long.
func (r *reader) count(max, size int) int {
	n := r.uvarintMax(uint64(max))
	if r.err == nil && n > uint64(r.rest()/size) {
		r.fail("%d announced, %d bytes left", n, r.rest())
		return 0
	}
	return int(n)
}

// bytes aliases the input.
func (r *reader) bytes() []byte {
	n := r.uvarint()
	if r.err != nil {
		return nil
	}
	if n > uint64(r.rest()) {
		r.fail("length %d, %d bytes left", n, r.rest())
		return nil
	}
	return r.take(int(n))
}

// take is the next n bytes, aliasing the input.
func (r *reader) take(n int) []byte {
	if r.err != nil || n > r.rest() {
		r.fail("cut short")
		return nil
	}
	r.pos += n
	return r.b[r.pos-n : r.pos : r.pos]
}

func (r *reader) string() string { return string(r.bytes()) }

// end returns the mistake, or that something is left over.
func (r *reader) end() error {
	if r.err == nil && r.rest() != 0 {
		r.fail("%d bytes too many", r.rest())
	}
	return r.err
}

func appendString[T string | []byte](dst []byte, s T) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}
