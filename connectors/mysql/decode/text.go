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
	"time"

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
	maria  bool
	lossy  Counter
}

// NewTextDecoder refuses columns that cannot be captured. lossy counts the U+FFFD that
// stand for bytes without a character.
func NewTextDecoder(s *event.Schema, maria bool, lossy Counter) (*TextDecoder, error) {
	for i := range s.Columns {
		if err := Supported(&s.Columns[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	return &TextDecoder{schema: s, maria: maria, lossy: lossy}, nil
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
		if set := textSet(c); set != nil {
			dst, err = appendText(dst, v, set, slices.Contains(d.schema.PrimaryKey, i), d.lossy)
		} else {
			dst, err = d.appendColumn(dst, c, v)
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
			return nil, malformed("UUID %q", v)
		}
		return b, nil
	case "inet4", "inet6":
		a, err := netip.ParseAddr(string(v))
		if err != nil {
			return nil, malformed("address %q", v)
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
		return nil, malformed("decimal %q with %d digits behind the point", v, scale)
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

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
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
			return dst, malformed("integer %q", v)
		}
		return binary.AppendVarint(dst, n), nil
	case event.TypeUint, event.TypeYear, event.TypeEnum, event.TypeSet:
		n, err := strconv.ParseUint(string(v), 10, 64)
		if err != nil {
			return dst, malformed("unsigned integer %q", v)
		}
		return binary.AppendUvarint(dst, n), nil
	case event.TypeFloat, event.TypeDouble:
		f, err := strconv.ParseFloat(string(v), 64)
		if err != nil {
			return dst, malformed("number %q", v)
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
	return appendTemporalText(dst, c, string(v))
}

func appendTemporalText(dst []byte, c *event.Column, v string) ([]byte, error) {
	if c.Type == event.TypeTime {
		micros, ok := parseTime(v)
		if !ok {
			return dst, malformed("time %q", v)
		}
		return binary.AppendVarint(dst, micros), nil
	}
	date, clock, _ := strings.Cut(v, " ")
	y, mo, d, ok := parseDate(date)
	if !ok {
		return dst, malformed("date %q", v)
	}
	if c.Type == event.TypeDate {
		return binary.AppendUvarint(dst, uint64(y<<9|mo<<5|d)), nil
	}
	if clock == "" {
		clock = "00:00:00"
	}
	micros, ok := parseTime(clock)
	if !ok || micros < 0 || micros >= 24*3600*1e6 {
		return dst, malformed("time of day %q", v)
	}
	s, frac := micros/1e6, micros%1e6
	if c.Type == event.TypeTimestamp {
		if y == 0 {
			return binary.AppendVarint(dst, zeroTimestamp), nil
		}
		t := time.Date(y, time.Month(mo), d, 0, 0, 0, 0, time.UTC).Unix() + s
		return appendTimestamp(dst, t, int(frac)), nil
	}
	hms := uint64(s/3600<<12 | s/60%60<<6 | s%60)
	return binary.AppendUvarint(dst, (uint64(y<<9|mo<<5|d)<<17|hms)<<20|uint64(frac)), nil
}

func parseDate(s string) (y, m, d int, ok bool) {
	if len(s) != 10 || s[4] != '-' || s[7] != '-' || !digits(s[:4]) || !digits(s[5:7]) || !digits(s[8:]) {
		return 0, 0, 0, false
	}
	y, _ = strconv.Atoi(s[:4])
	m, _ = strconv.Atoi(s[5:7])
	d, _ = strconv.Atoi(s[8:])
	return y, m, d, m <= 12 && d <= 31
}

// parseTime reads [-]h…:mm:ss[.ffffff] as microseconds.
func parseTime(s string) (int64, bool) {
	sign := int64(1)
	if rest, ok := strings.CutPrefix(s, "-"); ok {
		sign, s = -1, rest
	}
	clock, frac, _ := strings.Cut(s, ".")
	f := strings.Split(clock, ":")
	if len(f) != 3 || len(f[0]) < 1 || len(f[0]) > 3 || len(f[1]) != 2 || len(f[2]) != 2 || len(frac) > 6 || !digits(f[0]+f[1]+f[2]+frac) {
		return 0, false
	}
	h, _ := strconv.Atoi(f[0])
	m, _ := strconv.Atoi(f[1])
	sec, _ := strconv.Atoi(f[2])
	us, _ := strconv.Atoi((frac + "000000")[:6])
	if m > 59 || sec > 59 {
		return 0, false
	}
	return sign * (int64(h*3600+m*60+sec)*1e6 + int64(us)), true
}
