package charset

import (
	"encoding/binary"
	"unicode/utf8"
)

// appendUTF8 is for the sets that are UTF-8. The servers let halves of surrogate pairs
// into them, which UTF-8 does not have.
func appendUTF8(dst, b []byte) ([]byte, int) {
	bad := 0
	for len(b) > 0 {
		if b[0] < utf8.RuneSelf {
			n := asciiRun(b)
			dst, b = append(dst, b[:n]...), b[n:]
			continue
		}
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			bad++
			if len(b) > 2 && b[0] == 0xed && b[1] >= 0xa0 && b[1] < 0xc0 && b[2]&0xc0 == 0x80 {
				n = 3
			}
		}
		dst, b = utf8.AppendRune(dst, r), b[n:]
	}
	return dst, bad
}

// asciiRun is the length of the ASCII that b begins with.
func asciiRun(b []byte) int {
	n := 0
	for len(b)-n >= 8 && binary.LittleEndian.Uint64(b[n:])&0x8080808080808080 == 0 {
		n += 8
	}
	for n < len(b) && b[n] < utf8.RuneSelf {
		n++
	}
	return n
}

func isASCII(b []byte) bool { return asciiRun(b) == len(b) }

func appendASCII(dst, b []byte) ([]byte, int) {
	bad := 0
	for len(b) > 0 {
		n := asciiRun(b)
		dst, b = append(dst, b[:n]...), b[n:]
		if len(b) > 0 {
			dst, b = utf8.AppendRune(dst, utf8.RuneError), b[1:]
			bad++
		}
	}
	return dst, bad
}

// rest appends what is left of a unit at the end of a text.
func rest(dst, b []byte, bad int) ([]byte, int) {
	for range b {
		dst = utf8.AppendRune(dst, utf8.RuneError)
		bad++
	}
	return dst, bad
}

func appendUCS2(dst, b []byte) ([]byte, int) {
	bad := 0
	for ; len(b) >= 2; b = b[2:] {
		r := rune(binary.BigEndian.Uint16(b))
		if r >= 0xd800 && r < 0xe000 {
			r = utf8.RuneError
			bad++
		}
		dst = utf8.AppendRune(dst, r)
	}
	return rest(dst, b, bad)
}

func appendUTF16(dst, b []byte) ([]byte, int) { return appendPairs(dst, b, binary.BigEndian) }

func appendUTF16LE(dst, b []byte) ([]byte, int) { return appendPairs(dst, b, binary.LittleEndian) }

func appendPairs(dst, b []byte, order binary.ByteOrder) ([]byte, int) {
	bad := 0
	for ; len(b) >= 2; b = b[2:] {
		r := rune(order.Uint16(b))
		if r >= 0xd800 && r < 0xe000 {
			low := rune(0)
			if len(b) >= 4 {
				low = rune(order.Uint16(b[2:]))
			}
			if r < 0xdc00 && low >= 0xdc00 && low < 0xe000 {
				r, b = 0x10000+(r-0xd800)<<10+low-0xdc00, b[2:]
			} else {
				r = utf8.RuneError
				bad++
			}
		}
		dst = utf8.AppendRune(dst, r)
	}
	return rest(dst, b, bad)
}

func appendUTF32(dst, b []byte) ([]byte, int) {
	bad := 0
	for ; len(b) >= 4; b = b[4:] {
		u := binary.BigEndian.Uint32(b)
		r := rune(utf8.RuneError)
		if u <= utf8.MaxRune && utf8.ValidRune(rune(u)) {
			r = rune(u)
		} else {
			bad++
		}
		dst = utf8.AppendRune(dst, r)
	}
	return rest(dst, b, bad)
}
