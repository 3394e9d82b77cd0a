package decode

import "strconv"

// digitBytes is how many bytes hold a rest of 0 to 9 decimal digits.
var digitBytes = [10]int{0, 1, 1, 2, 2, 3, 3, 4, 4, 4}

// maxDecimalText is longer than any DECIMAL(65,30) with sign and point.
const maxDecimalText = 80

// appendDecimal decodes the servers' packed decimal into its text, in front of which
// the length stands.
func appendDecimal(dst, b []byte, precision, scale int) ([]byte, int, error) {
	if precision < 1 || precision > 65 || scale < 0 || scale > 38 || scale > precision {
		return dst, 0, malformed("DECIMAL(%d,%d)", precision, scale)
	}
	whole := precision - scale
	lead, fullW, fullF, rest := whole%9, whole/9, scale/9, scale%9
	size := digitBytes[lead] + 4*fullW + 4*fullF + digitBytes[rest]
	if len(b) < size {
		return dst, short, nil
	}
	var mask byte
	negative := b[0]&0x80 == 0
	if negative {
		mask = 0xff
	}
	at := 0
	group := func(n int) (v uint32) {
		for _, x := range b[at : at+n] {
			v = v<<8 | uint32(x^mask)
		}
		if at == 0 { // the first bit is the sign, inverted
			v ^= 1 << (8*uint(n) - 1)
		}
		at += n
		return v
	}
	dst = append(dst, 0) // the length; never above 127
	start := len(dst)
	if negative {
		dst = append(dst, '-')
	}
	digits := len(dst)
	if lead > 0 {
		if v := group(digitBytes[lead]); v > 0 {
			dst = strconv.AppendUint(dst, uint64(v), 10)
		}
	}
	for range fullW {
		dst = appendGroup(dst, group(4), 9, len(dst) == digits)
	}
	if len(dst) == digits {
		dst = append(dst, '0')
	}
	if scale > 0 {
		dst = append(dst, '.')
		for range fullF {
			dst = appendGroup(dst, group(4), 9, false)
		}
		if rest > 0 {
			dst = appendGroup(dst, group(digitBytes[rest]), rest, false)
		}
	}
	if len(dst)-start > maxDecimalText {
		return dst, 0, malformed("a group of decimal digits is out of range")
	}
	dst[start-1] = byte(len(dst) - start)
	return dst, size, nil
}

// appendGroup appends v with n digits; the first group of a number without leading
// zeros, and not at all when it is zero.
func appendGroup(dst []byte, v uint32, n int, first bool) []byte {
	if first {
		if v == 0 {
			return dst
		}
		return strconv.AppendUint(dst, uint64(v), 10)
	}
	var t [10]byte
	for i := n - 1; i >= 0; i-- {
		t[i] = byte('0' + v%10)
		v /= 10
	}
	return append(dst, t[:n]...)
}
