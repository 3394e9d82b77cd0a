package event

import (
	"math/bits"
)

// Cursor walks over the columns of an image without allocating.
//
//	var c event.Cursor
//	for c.Reset(img, schema); c.Next(); {
//		use(c.Column(), c.Value())
//	}
//	if err := c.Err(); err != nil { … }
//
// It checks every length, and that the image is canonical: the shortest varints, no
// stray bits, nothing behind the last column.
type Cursor struct {
	img     Image
	cols    []Column
	maps    int // bytes of one bit map
	pos     int
	col     int
	value   Value
	present bool
	err     error
}

// Reset places the cursor before the first column of img, a row of s.
func (c *Cursor) Reset(img Image, s *Schema) {
	n := len(s.Columns)
	*c = Cursor{img: img, cols: s.Columns, maps: (n + 7) / 8, col: -1}
	if len(img) < 2*c.maps {
		c.err = malformed("image of %s: %d bytes do not hold the bit maps of %d columns", s.Name, len(img), n)
		return
	}
	c.pos = 2 * c.maps
	for i := range c.maps {
		present, null := img[i], img[c.maps+i]
		valid := byte(0xff)
		if rest := n - 8*i; rest < 8 {
			valid = 1<<rest - 1
		}
		if present&^valid != 0 || null&^present != 0 {
			c.err = malformed("image of %s: stray bits in its bit maps", s.Name)
			return
		}
	}
}

// Next goes to the next column. It returns false behind the last one and on an error.
func (c *Cursor) Next() bool {
	if c.err != nil {
		return false
	}
	c.col++
	if c.col >= len(c.cols) {
		if c.pos != len(c.img) {
			c.err = malformed("image: %d bytes behind the last column", len(c.img)-c.pos)
		}
		return false
	}
	bit := byte(1) << (c.col & 7)
	c.present = c.img[c.col>>3]&bit != 0
	c.value = nil
	if !c.present || c.img[c.maps+c.col>>3]&bit != 0 {
		return true
	}
	n, skip := valueSpan(c.cols[c.col].Type, c.img[c.pos:])
	if n < 0 {
		c.err = malformed("image: column %s is cut short or not canonical", c.cols[c.col].Name)
		return false
	}
	c.value = Value(c.img[c.pos+skip : c.pos+skip+n : c.pos+skip+n])
	c.pos += skip + n
	return true
}

// Column is the index of the present column.
func (c *Cursor) Column() int { return c.col }

// Value is the present column's value; nil when it is NULL or absent.
func (c *Cursor) Value() Value { return c.value }

// Present reports whether the image holds the column.
func (c *Cursor) Present() bool { return c.present }

// Err is what stopped Next, nil at the proper end.
func (c *Cursor) Err() error { return c.err }

// valueSpan finds the value of type t at the start of b: n bytes behind skip bytes of
// length. n is negative when it does not fit or is not canonical.
func valueSpan(t Type, b []byte) (n, skip int) {
	switch t.shape() {
	case shapeVarint:
		if n = uvarintLen(b); n == 0 {
			return -1, 0
		}
		return n, 0
	case shapeBytes:
		l, k := readUvarint(b)
		if k == 0 || l > uint64(len(b)-k) {
			return -1, 0
		}
		if t == TypeGeometry && l > 0 && l < 4 {
			return -1, 0
		}
		return int(l), k
	case shape4:
		n = 4
	case shape8:
		n = 8
	default:
		return -1, 0
	}
	if n > len(b) {
		return -1, 0
	}
	return n, 0
}

// checkValue says whether v, not nil, is canonical for t.
func checkValue(t Type, v Value) error {
	switch t.shape() {
	case shapeBytes:
		if t == TypeGeometry && len(v) > 0 && len(v) < 4 {
			return malformed("geometry of %d bytes", len(v))
		}
		return nil
	case shapeNone:
		return malformed("a value of an unsupported type")
	}
	if n, _ := valueSpan(t, v); n != len(v) {
		return malformed("a value of %d bytes", len(v))
	}
	return nil
}

// Values appends the values of img's columns to dst[:0] and returns it: one Value a
// column, nil for NULL and for absent ones. They alias img.
func Values(img Image, s *Schema, dst []Value) ([]Value, error) {
	dst = dst[:0]
	var c Cursor
	for c.Reset(img, s); c.Next(); {
		dst = append(dst, c.value)
	}
	return dst, c.err
}

// CheckImage walks over img and returns what is wrong with it as a row of s.
func CheckImage(img Image, s *Schema) error {
	var c Cursor
	for c.Reset(img, s); c.Next(); {
	}
	return c.err
}

// IsFull reports whether every column of s is present in img.
func IsFull(img Image, s *Schema) bool {
	n := 0
	maps := (len(s.Columns) + 7) / 8
	if len(img) < 2*maps {
		return false
	}
	for _, b := range img[:maps] {
		n += bits.OnesCount8(b)
	}
	return n == len(s.Columns)
}
