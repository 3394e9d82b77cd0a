package decode

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/connectors/mysql/charset"
	"github.com/millrace/millrace/pipeline/event"
)

// SelectExpr is the expression that reads a column so that its text is exact: FLOAT is
// widened first, because servers print it with six digits; ENUM and SET come as
// numbers. quoted is the column's name in backquotes.
func SelectExpr(c *event.Column, quoted string) string {
	switch c.Type {
	case event.TypeFloat:
		return "CAST(" + quoted + " AS DOUBLE)"
	case event.TypeEnum, event.TypeSet:
		return "CAST(" + quoted + " AS UNSIGNED)"
	}
	return quoted
}

// TextDecoder turns rows of a SELECT, in the text protocol, into images. The session
// must have time_zone +00:00, and character_set_results NULL: texts come as the server
// holds them, in the charset of their column, as they do in the log.
type TextDecoder struct {
	schema *event.Schema
	texts  []textColumn
	maria  bool
	lossy  Counter
}

// textColumn is what is known of a column before its values: the charset where they are
// text, and whether all of ASCII is its own conversion; whether a key has it.
type textColumn struct {
	set        *charset.Set
	ascii, key bool
}

// NewTextDecoder refuses columns that cannot be captured. lossy counts the U+FFFD that
// stand for bytes without a character.
func NewTextDecoder(s *event.Schema, maria bool, lossy Counter) (*TextDecoder, error) {
	for i := range s.Columns {
		if err := Supported(&s.Columns[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	d := &TextDecoder{schema: s, texts: make([]textColumn, len(s.Columns)), maria: maria, lossy: lossy}
	for i := range s.Columns {
		set := textSet(&s.Columns[i])
		d.texts[i] = textColumn{set: set, ascii: set != nil && set.ASCII(), key: slices.Contains(s.PrimaryKey, i)}
	}
	return d, nil
}

// AppendImage appends the image of one row: a text a column, nil for NULL.
func (d *TextDecoder) AppendImage(dst []byte, vals [][]byte) ([]byte, error) {
	cols := len(d.schema.Columns)
	if len(vals) != cols {
		return dst, malformed("row of %s with %d columns, expected %d", d.schema.Name, len(vals), cols)
	}
	maps := (cols + 7) / 8
	present := len(dst)
	for range 2 * maps {
		dst = append(dst, 0)
	}
	for i, v := range vals {
		dst[present+i>>3] |= 1 << (i & 7)
		if v == nil {
			dst[present+maps+i>>3] |= 1 << (i & 7)
			continue
		}
		c := &d.schema.Columns[i]
		var err error
		switch t := &d.texts[i]; {
		case t.set == nil:
			dst, err = d.appendColumn(dst, c, v)
		case t.ascii && isASCII(v): // most texts are
			dst = append(binary.AppendUvarint(dst, uint64(len(v))), v...)
		default:
			dst, err = appendText(dst, v, t.set, t.key, d.lossy)
		}
		if err != nil {
			return dst, fmt.Errorf("row of %s: column %s %s: %w", d.schema.Name, c.Name, c.Native, err)
		}
	}
	return dst, nil
}

func (d *TextDecoder) appendColumn(dst []byte, c *event.Column, v []byte) ([]byte, error) {
	switch c.Type {
	case event.TypeBinary, event.TypeGeometry, event.TypeDecimal:
		payload, err := TextValue(c, v, d.maria)
		if err != nil {
			return dst, err
		}
		dst = binary.AppendUvarint(dst, uint64(len(payload)))
		return append(dst, payload...), nil
	}
	return appendFixed(dst, c, v, d.maria)
}

// TextValue is the canonical value of a text that the server printed, in UTF-8, without
// the length that variable ones have in an image. It may alias v.
func TextValue(c *event.Column, v []byte, maria bool) (event.Value, error) {
	switch c.Type {
	case event.TypeText, event.TypeJSON:
		return v, nil
	case event.TypeBinary:
		return binaryValue(c, v)
	case event.TypeGeometry:
		return v, checkGeometry(v)
	case event.TypeDecimal:
		return decimalText(v, c.Scale)
	}
	return appendFixed(make([]byte, 0, 10), c, v, maria)
}

// binaryValue pads BINARY and reads the texts of MariaDB's binary types.
func binaryValue(c *event.Column, v []byte) (event.Value, error) {
	switch BaseType(c.Native) {
	case "uuid":
		b := make([]byte, 16)
		if _, err := hex.Decode(b, []byte(strings.ReplaceAll(string(v), "-", ""))); err != nil || len(v) != 36 {
			return nil, malformed("UUID of %d bytes", len(v))
		}
		return b, nil
	case "inet4", "inet6":
		a, err := netip.ParseAddr(string(v))
		if err != nil {
			return nil, malformed("address of %d bytes", len(v))
		}
		if c.Length == 16 {
			b := a.As16()
			return b[:], nil
		}
		b := a.As4()
		return b[:], nil
	case "binary":
		if len(v) > c.Length {
			return nil, malformed("%d bytes in a column of %d", len(v), c.Length)
		}
		if len(v) < c.Length {
			return append(append(make([]byte, 0, c.Length), v...), make([]byte, c.Length-len(v))...), nil
		}
	}
	return v, nil
}

// decimalText drops the zeros that ZEROFILL prints and makes up the digits of the scale
// that a default's text may lack.
func decimalText(v []byte, scale int) (event.Value, error) {
	if isDecimal(v, scale) {
		return v, nil
	}
	sign, t := "", string(v)
	if rest, ok := strings.CutPrefix(t, "-"); ok {
		sign, t = "-", rest
	}
	whole, frac, _ := strings.Cut(strings.TrimPrefix(t, "+"), ".")
	whole = strings.TrimLeft(whole, "0")
	if whole == "" {
		whole = "0"
	}
	if !digits(whole) || !digits(frac) || len(whole) > 65 || len(frac) > scale {
		return nil, malformed("decimal of %d bytes with %d digits behind the point", len(v), scale)
	}
	frac += strings.Repeat("0", scale-len(frac))
	if sign != "" && strings.Trim(whole+frac, "0") == "" {
		sign = ""
	}
	if scale > 0 {
		return event.Value(sign + whole + "." + frac), nil
	}
	return event.Value(sign + whole), nil
}

// isDecimal reports whether v is canonical already: most decimals that servers print are.
func isDecimal(v []byte, scale int) bool {
	negative := len(v) > 0 && v[0] == '-'
	if negative {
		v = v[1:]
	}
	point := len(v)
	if scale > 0 {
		if point -= scale + 1; point < 1 || v[point] != '.' || !digits(v[point+1:]) {
			return false
		}
	}
	if point < 1 || point > 65 || !digits(v[:point]) {
		return false
	}
	return v[0] != '0' || point == 1 && !negative // not filled, no zero with a sign
}

func digits[T string | []byte](s T) bool {
	for i := range len(s) {
		if s[i]-'0' > 9 {
			return false
		}
	}
	return true
}

func appendFixed(dst []byte, c *event.Column, v []byte, maria bool) ([]byte, error) {
	switch c.Type {
	case event.TypeInt:
		n, err := strconv.ParseInt(string(v), 10, 64)
		if err != nil {
			return dst, malformed("integer of %d bytes", len(v))
		}
		return binary.AppendVarint(dst, n), nil
	case event.TypeUint, event.TypeYear, event.TypeEnum, event.TypeSet:
		n, err := strconv.ParseUint(string(v), 10, 64)
		if err != nil {
			return dst, malformed("unsigned integer of %d bytes", len(v))
		}
		return binary.AppendUvarint(dst, n), nil
	case event.TypeFloat, event.TypeDouble:
		f, err := strconv.ParseFloat(string(v), 64)
		if err != nil {
			return dst, malformed("number of %d bytes", len(v))
		}
		if c.Type == event.TypeFloat {
			return appendFloat(dst, math.Float32bits(float32(f)), maria), nil
		}
		return appendDouble(dst, math.Float64bits(f), maria), nil
	case event.TypeBit:
		if len(v) > 8 {
			return dst, malformed("BIT of %d bytes", len(v))
		}
		var n uint64
		for _, b := range v {
			n = n<<8 | uint64(b)
		}
		return binary.AppendUvarint(dst, n), nil
	}
	return appendTemporalText(dst, c, v)
}
