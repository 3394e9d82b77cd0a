package file

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"

	"github.com/millrace/millrace/pipeline/event"
)

// Encoder is a source column with what encoding its values needs.
type Encoder struct {
	src     *event.Column
	Type    Type
	members [][]byte // ENUM: the name of each ordinal
}

// NewEncoder is for the values of c.
func NewEncoder(c *event.Column) (Encoder, error) {
	t, err := TypeOf(c)
	s := Encoder{src: c, Type: t}
	if c.Type == event.TypeEnum {
		for n := range uint64(len(c.Members)) + 1 {
			s.members = append(s.members, []byte(c.EnumName(n)))
		}
	}
	return s, err
}

// Arena gives out small byte slices that live until it is reset.
type Arena struct{ buf []byte }

// Reset ends the life of what was given out.
func (a *Arena) Reset() { a.buf = a.buf[:0] }

// Take returns n zero bytes. Slices given out before stay valid: a full buffer is left to
// them and a new one begun.
func (a *Arena) Take(n int) []byte {
	if len(a.buf)+n > cap(a.buf) {
		a.buf = make([]byte, 0, max(n, 16<<10))
	}
	at := len(a.buf)
	a.buf = a.buf[:at+n]
	b := a.buf[at : at+n : at+n]
	clear(b)
	return b
}

// Copy returns a copy of v.
func (a *Arena) Copy(v []byte) []byte {
	b := a.Take(len(v))
	copy(b, v)
	return b
}

var (
	errNotUTF8 = errors.New("its text is not UTF-8")
	errDecimal = errors.New("it does not fit the decimal type")
	errRange   = errors.New("it is beyond what the target's type holds")
)

// Encode is the target's value for a source value that is not NULL. partial is true
// for a date that is no day of the calendar: the value is NULL then. The result aliases v
// or the arena.
func Encode(c *Encoder, v event.Value, a *Arena) (out parquet.Value, partial bool, err error) {
	t := c.Type
	switch c.src.Type {
	case event.TypeInt, event.TypeTime:
		return parquet.Int64Value(v.Int()), false, nil
	case event.TypeUint, event.TypeYear, event.TypeBit:
		n := v.Uint()
		if t.Kind == Dec128 {
			return parquet.FixedLenByteArrayValue(putDec128(a.Take(16), 0, n)), false, nil
		}
		if n > math.MaxInt64 {
			return out, false, errRange
		}
		return parquet.Int64Value(int64(n)), false, nil
	case event.TypeText, event.TypeJSON:
		if !utf8.Valid(v) {
			return out, false, errNotUTF8
		}
		return parquet.ByteArrayValue(v), false, nil
	case event.TypeBinary, event.TypeGeometry:
		return parquet.ByteArrayValue(v), false, nil
	case event.TypeDecimal:
		out, err = encodeDecimal(t, v, a)
		return out, false, err
	case event.TypeFloat:
		return parquet.FloatValue(v.Float()), false, nil
	case event.TypeDouble:
		return parquet.DoubleValue(v.Double()), false, nil
	case event.TypeDate:
		y, m, d := v.Date()
		if !isDay(y, m, d) {
			return parquet.NullValue(), true, nil
		}
		return parquet.Int32Value(int32(daysOf(y, m, d))), false, nil
	case event.TypeDateTime:
		civil := v.DateTime()
		if !isDay(civil.Year, civil.Month, civil.Day) {
			return parquet.NullValue(), true, nil
		}
		s := int64(daysOf(civil.Year, civil.Month, civil.Day))*86400 + int64(civil.Hour*3600+civil.Minute*60+civil.Second)
		return parquet.Int64Value(s*1e6 + int64(civil.Micro)), false, nil
	case event.TypeTimestamp:
		n, zero := v.Timestamp()
		if zero {
			return parquet.NullValue(), true, nil
		}
		return parquet.Int64Value(n), false, nil
	case event.TypeEnum:
		if n := v.Uint(); n < uint64(len(c.members)) {
			return parquet.ByteArrayValue(c.members[n]), false, nil
		}
		return parquet.ByteArrayValue([]byte{}), false, nil
	case event.TypeSet:
		return parquet.ByteArrayValue([]byte(c.src.SetText(v.Uint()))), false, nil
	}
	return out, false, errRange
}

// IsPartial reports whether a value of a date type is no day of the calendar.
func IsPartial(t event.Type, v event.Value) bool {
	switch t {
	case event.TypeDate:
		return !isDay(v.Date())
	case event.TypeDateTime:
		c := v.DateTime()
		return !isDay(c.Year, c.Month, c.Day)
	case event.TypeTimestamp:
		_, zero := v.Timestamp()
		return zero
	}
	return false
}

func isDay(y, m, d int) bool {
	return y >= 1 && m >= 1 && m <= 12 && d >= 1 && (d <= 28 || d <= daysIn(y, m))
}

func daysIn(y, m int) int {
	switch m {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if y%4 == 0 && (y%100 != 0 || y%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// daysOf is the day's number since 1970-01-01 in the proleptic Gregorian calendar.
func daysOf(y, m, d int) int {
	if m <= 2 {
		y--
		m += 12
	}
	era := y / 400
	yoe := y - era*400
	doy := (153*(m-3)+2)/5 + d - 1
	return era*146097 + yoe*365 + yoe/4 - yoe/100 + doy - 719468
}

// encodeDecimal reads exact decimal text.
func encodeDecimal(t Type, text []byte, a *Arena) (parquet.Value, error) {
	if t.Kind == String {
		if !utf8.Valid(text) {
			return parquet.Value{}, errNotUTF8
		}
		return parquet.ByteArrayValue(text), nil
	}
	hi, lo, neg, err := parseDecimal(text, t.Scale)
	if err != nil {
		return parquet.Value{}, err
	}
	return decimalValue(t, hi, lo, neg, a)
}

// decimalValue makes a value from a magnitude of 128 bits.
func decimalValue(t Type, hi, lo uint64, neg bool, a *Arena) (parquet.Value, error) {
	if p := powers[t.Prec]; hi > p.hi || hi == p.hi && lo >= p.lo {
		return parquet.Value{}, errDecimal
	}
	switch t.Kind {
	case Dec32, Dec64:
		n := int64(lo)
		if neg {
			n = -n
		}
		if t.Kind == Dec32 {
			return parquet.Int32Value(int32(n)), nil
		}
		return parquet.Int64Value(n), nil
	}
	if neg {
		var carry uint64
		lo, carry = bits.Add64(^lo, 1, 0)
		hi = ^hi + carry
	}
	return parquet.FixedLenByteArrayValue(putDec128(a.Take(16), hi, lo)), nil
}

func putDec128(b []byte, hi, lo uint64) []byte {
	binary.BigEndian.PutUint64(b, hi)
	binary.BigEndian.PutUint64(b[8:], lo)
	return b
}

// getDec128 splits two's complement bytes into sign and magnitude.
func getDec128(b []byte) (hi, lo uint64, neg bool) {
	hi, lo = binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	if neg = hi>>63 == 1; neg {
		var carry uint64
		lo, carry = bits.Add64(^lo, 1, 0)
		hi = ^hi + carry
	}
	return hi, lo, neg
}

type uint128 struct{ hi, lo uint64 }

// powers are 10^0 to 10^38. Never written to.
var powers = func() (t [39]uint128) {
	t[0].lo = 1
	for n := 1; n < len(t); n++ {
		t[n].hi, t[n].lo, _ = mulAdd(t[n-1].hi, t[n-1].lo, 10, 0)
	}
	return t
}()

// mulAdd is (hi:lo)*m+add; ok is false on overflow.
func mulAdd(hi, lo, m, add uint64) (rh, rl uint64, ok bool) {
	ch, rl := bits.Mul64(lo, m)
	oh, rh := bits.Mul64(hi, m)
	var c uint64
	rl, c = bits.Add64(rl, add, 0)
	rh, c2 := bits.Add64(rh, ch, c)
	return rh, rl, oh == 0 && c2 == 0
}

// parseDecimal reads digits, a point and a sign into a magnitude scaled by 10^scale.
// Digits beyond the scale must be zeros.
func parseDecimal(text []byte, scale int) (hi, lo uint64, neg bool, err error) {
	i := 0
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		neg, i = text[0] == '-', 1
	}
	digits, frac, point := 0, 0, false
	for ; i < len(text); i++ {
		c := text[i]
		if c == '.' && !point {
			point = true
			continue
		}
		if c < '0' || c > '9' {
			return 0, 0, false, errDecimal
		}
		digits++
		if point {
			if frac == scale {
				if c != '0' {
					return 0, 0, false, errDecimal
				}
				continue
			}
			frac++
		}
		if hi == 0 && lo < math.MaxUint64/10-1 {
			lo = lo*10 + uint64(c-'0')
			continue
		}
		var ok bool
		if hi, lo, ok = mulAdd(hi, lo, 10, uint64(c-'0')); !ok {
			return 0, 0, false, errDecimal
		}
	}
	if digits == 0 {
		return 0, 0, false, errDecimal
	}
	for ; frac < scale; frac++ {
		var ok bool
		if hi, lo, ok = mulAdd(hi, lo, 10, 0); !ok {
			return 0, 0, false, errDecimal
		}
	}
	return hi, lo, neg && (hi != 0 || lo != 0), nil
}

// appendDecimal is the exact text of a magnitude.
func appendDecimal(dst []byte, hi, lo uint64, neg bool, scale int) []byte {
	var digits [40]byte
	n := len(digits)
	for hi != 0 || lo != 0 || len(digits)-n <= scale {
		var r uint64
		hi, r = hi/10, hi%10
		lo, r = bits.Div64(r, lo, 10)
		n--
		digits[n] = '0' + byte(r)
	}
	if neg {
		dst = append(dst, '-')
	}
	whole := digits[n : len(digits)-scale]
	dst = append(dst, whole...)
	if scale > 0 {
		dst = append(dst, '.')
		dst = append(dst, digits[len(digits)-scale:]...)
	}
	return dst
}
