package column

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/big"

	"github.com/millrace/millrace/pipeline/event"
)

// decimals takes a number; what a type that was chosen does not hold follows the policy.
func (b *Buffer) decimals(v event.Value) (Changed, error) {
	if b.typ.family == 0 {
		return Kept, b.decimal(v)
	}
	text := canonical(b.src, v)
	err := b.decimal(event.Value(text))
	if err == nil || !numberText.MatchString(text) {
		return Kept, err
	}
	return b.amiss(v, func() {
		if err := b.decimal(event.Value(clampedDecimal(text, b.typ.prec, b.typ.scale))); err != nil {
			panic("BUG: the nearest decimal is none: " + err.Error())
		}
	})
}

// decimal takes an exact decimal text: its digits as one whole number, scaled.
func (b *Buffer) decimal(v event.Value) error {
	text, negative := []byte(v), false
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		negative, text = text[0] == '-', text[1:]
	}
	if !bytes.ContainsFunc(text, func(r rune) bool { return r >= '0' && r <= '9' }) {
		return fmt.Errorf("%q is no value of %s: it has no digit", v, b.typ.Name)
	}
	var stack [maxPrecision + 2]byte
	digits, err := scaled(stack[:0], text, b.typ.prec, b.typ.scale)
	if err != nil {
		return fmt.Errorf("%s is no value of %s: %w", v, b.typ.Name, err)
	}
	if b.typ.size <= 8 {
		n := uint64(0)
		for _, d := range digits {
			n = 10*n + uint64(d-'0')
		}
		if negative {
			n = -n
		}
		b.whole(n)
		return nil
	}
	n, ok := new(big.Int).SetString(string(digits), 10)
	if !ok {
		n = new(big.Int)
	}
	b.present()
	b.raw = appendTwos(b.raw, n, negative, b.typ.size)
	return nil
}

// scaled are the significant digits of text with exactly scale of them behind the point.
func scaled(dst, text []byte, prec, scale int) ([]byte, error) {
	behind, point := 0, false
	for _, c := range text {
		switch {
		case c == '.' && !point:
			point = true
		case c < '0' || c > '9':
			return nil, fmt.Errorf("%q stands in it", c)
		case point && behind == scale:
			if c != '0' {
				return nil, fmt.Errorf("it has more than %d digits behind the point", scale)
			}
		default:
			if point {
				behind++
			}
			if len(dst) > 0 || c != '0' {
				dst = append(dst, c)
			}
			if len(dst) > prec {
				return nil, fmt.Errorf("it has more than %d digits", prec)
			}
		}
	}
	for ; behind < scale; behind++ {
		if len(dst) > 0 {
			dst = append(dst, '0')
		}
		if len(dst) > prec {
			return nil, fmt.Errorf("it has more than %d digits", prec)
		}
	}
	return dst, nil
}

// appendTwos appends n, or −n, as size bytes of two's complement, little endian.
func appendTwos(dst []byte, n *big.Int, negative bool, size int) []byte {
	var be [32]byte
	n.FillBytes(be[:])
	var words [4]uint64
	for i := range words {
		words[i] = binary.BigEndian.Uint64(be[8*(3-i):])
	}
	if negative {
		carry := uint64(1)
		for i := range words {
			words[i] = ^words[i] + carry
			if words[i] != 0 {
				carry = 0
			}
		}
	}
	for i := range size / 8 {
		dst = binary.LittleEndian.AppendUint64(dst, words[i])
	}
	return dst
}
