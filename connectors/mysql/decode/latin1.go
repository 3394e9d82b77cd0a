package decode

import "unicode/utf8"

// cp1252 is what the bytes 0x80 to 0x9f mean in the servers' latin1, which is
// windows-1252; five of them are not assigned and keep their number.
var cp1252 = [32]rune{
	0x20AC, 0x81, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0x8D, 0x017D, 0x8F,
	0x90, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x9D, 0x017E, 0x0178,
}

func latin1Rune(c byte) rune {
	if c >= 0x80 && c < 0xa0 {
		return cp1252[c-0x80]
	}
	return rune(c)
}

// latin1Len is the length of b in UTF-8.
func latin1Len(b []byte) int {
	n := len(b)
	for _, c := range b {
		if c >= 0x80 {
			n += utf8.RuneLen(latin1Rune(c)) - 1
		}
	}
	return n
}

// AppendLatin1 appends text of the servers' latin1 as UTF-8.
func AppendLatin1(dst, b []byte) []byte {
	for _, c := range b {
		if c < 0x80 {
			dst = append(dst, c)
		} else {
			dst = utf8.AppendRune(dst, latin1Rune(c))
		}
	}
	return dst
}
