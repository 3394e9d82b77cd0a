package column

import (
	"encoding/hex"
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"

	"github.com/millrace/millrace/pipeline/event"
)

// A value of a column whose type was chosen is held if what is read back of it is the source's
// text again. What is not follows the policy, and its text is kept beside.

// canonical is a value's text in the form that readers of both sides agree on.
func canonical(c *event.Column, v event.Value) string {
	switch c.Type {
	case event.TypeYear:
		return strconv.FormatUint(v.Uint(), 10)
	case event.TypeBinary, event.TypeText, event.TypeJSON, event.TypeDecimal:
		return string(v)
	}
	return string(event.AppendValueText(nil, c, v))
}

// chosen takes a value into a column whose type is of no source type's own.
func (b *Buffer) chosen(v event.Value) (Changed, error) {
	text := canonical(b.src, v)
	switch b.typ.family {
	case asText:
		b.text([]byte(text))
		return Kept, nil
	case asFixed:
		return b.fixed(v, text)
	case asUUID:
		return b.uuid(v, text)
	case asFloat:
		return b.float(v, text)
	}
	return b.integer(v, text)
}

// amiss is for a value that the type does not hold. near takes the nearest one, nil where there
// is none.
func (b *Buffer) amiss(v event.Value, near func()) (Changed, error) {
	switch {
	case b.typ.Key:
		return Kept, fmt.Errorf("%s is not held by %s, and the value of a key can't be changed", b.show(v), b.typ.Name)
	case b.policy.Range == Error:
		return Kept, fmt.Errorf("%s is not held by %s (out_of_range: error)", b.show(v), b.typ.Name)
	case b.typ.Nullable && (b.policy.Range == Null || near == nil):
		b.null()
		return Nulled, nil
	case near == nil:
		b.present()
		b.raw = append(b.raw, make([]byte, b.typ.size)...)
		return Zeroed, nil
	}
	near()
	return Clamped, nil
}

func (b *Buffer) fixed(v event.Value, text string) (Changed, error) {
	put := func() {
		b.present()
		at := len(b.raw)
		b.raw = append(b.raw, make([]byte, b.typ.size)...)
		copy(b.raw[at:], text)
	}
	if len(text) == b.typ.size {
		put()
		return Kept, nil
	}
	return b.amiss(v, put)
}

var uuidText = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

func (b *Buffer) uuid(v event.Value, text string) (Changed, error) {
	id, exact := []byte(text), len(text) == 16 && b.src.Type == event.TypeBinary
	if b.src.Type != event.TypeBinary {
		lower := strings.ToLower(text)
		if !uuidText.MatchString(lower) {
			return b.amiss(v, nil)
		}
		exact = lower == text
		id, _ = hex.DecodeString(strings.ReplaceAll(lower, "-", ""))
	}
	if len(id) != 16 {
		return b.amiss(v, nil)
	}
	put := func() { // two words, the high one first, each little endian
		b.present()
		for i := 7; i >= 0; i-- {
			b.raw = append(b.raw, id[i])
		}
		for i := 15; i >= 8; i-- {
			b.raw = append(b.raw, id[i])
		}
	}
	if !exact {
		return b.amiss(v, put)
	}
	put()
	return Kept, nil
}

// numberText is what is read as a number in a text of the source.
var numberText = regexp.MustCompile(`^-?[0-9]{1,80}(\.[0-9]{1,80})?$`)

func (b *Buffer) float(v event.Value, text string) (Changed, error) {
	bits := 8 * b.typ.size
	f, held := 0.0, false
	switch b.src.Type {
	case event.TypeFloat:
		f, held = float64(v.Float()), true
	case event.TypeDouble:
		f = v.Double()
		held = bits == 64 || float64(float32(f)) == f
	default:
		if !numberText.MatchString(text) {
			return b.amiss(v, nil)
		}
		f, _ = strconv.ParseFloat(text, bits)
		held = b.floatText(f, bits) == text
	}
	put := func() {
		if bits == 64 {
			b.whole(math.Float64bits(f))
			return
		}
		b.whole(uint64(math.Float32bits(float32(max(-math.MaxFloat32, min(f, math.MaxFloat32))))))
	}
	if !held {
		return b.amiss(v, put)
	}
	put()
	return Kept, nil
}

// floatText is what is read back of a number.
func (b *Buffer) floatText(f float64, bits int) string {
	switch b.src.Type {
	case event.TypeText:
		return strconv.FormatFloat(f, 'g', -1, bits)
	case event.TypeDecimal:
		return Scaled(strconv.FormatFloat(f, 'f', -1, bits), b.src.Scale)
	}
	return strconv.FormatFloat(f, 'f', -1, bits)
}

// integer takes a whole number or a Bool.
func (b *Buffer) integer(v event.Value, text string) (Changed, error) {
	if !numberText.MatchString(text) {
		return b.amiss(v, nil)
	}
	whole, _, _ := strings.Cut(text, ".")
	n, ok := new(big.Int).SetString(whole, 10)
	if !ok {
		return b.amiss(v, nil)
	}
	lo, hi := b.typ.limits()
	switch {
	case n.Cmp(lo) < 0:
		n = lo
	case n.Cmp(hi) > 0:
		n = hi
	}
	put := func() {
		b.present()
		b.raw = append(b.raw, appendTwos(nil, new(big.Int).Abs(n), n.Sign() < 0, 8)[:b.typ.size]...)
	}
	back := n.String()
	if b.src.Type == event.TypeDecimal {
		back = Scaled(back, b.src.Scale)
	}
	if back != text {
		return b.amiss(v, put)
	}
	put()
	return Kept, nil
}

// limits are the least and the greatest whole number that the type holds.
func (t Type) limits() (lo, hi *big.Int) {
	lo, hi = new(big.Int), new(big.Int).Lsh(big.NewInt(1), uint(8*t.size))
	switch t.family {
	case asBool:
		hi.SetInt64(2)
	case asInt:
		hi.Rsh(hi, 1)
		lo.Neg(hi)
	}
	return lo, hi.Sub(hi, big.NewInt(1))
}

// clampedDecimal is the text nearest to zero of what Decimal(p, s) holds of a number.
func clampedDecimal(text string, prec, scale int) string {
	sign := ""
	if text[0] == '-' {
		sign, text = "-", text[1:]
	}
	whole, fraction, _ := strings.Cut(text, ".")
	whole = strings.TrimLeft(whole, "0")
	if len(whole) > prec-scale {
		whole, fraction = strings.Repeat("9", prec-scale), strings.Repeat("9", scale)
	}
	if whole == "" {
		whole = "0"
	}
	return sign + whole + "." + fraction[:min(len(fraction), scale)]
}

// Scaled is a decimal text with exactly scale digits behind the point, or as it is where it has more.
func Scaled(text string, scale int) string {
	whole, fraction, _ := strings.Cut(text, ".")
	if len(fraction) > scale || scale == 0 && fraction == "" {
		return text
	}
	return whole + "." + fraction + strings.Repeat("0", scale-len(fraction))
}
