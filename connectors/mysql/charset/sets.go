package charset

import (
	"bytes"
	"unicode/utf8"
)

// sets are all that MySQL 9.7 and MariaDB 11.8 have, by name. The names that older
// servers used for the three bytes of UTF-8 are there too.
var sets = allSets()

func allSets() map[string]*Set {
	m := map[string]*Set{
		"utf8mb4": {maxLen: 4, append: appendUTF8, plain: utf8.Valid},
		"utf8mb3": {maxLen: 3, append: appendUTF8, plain: utf8.Valid},
		"utf8":    {maxLen: 3, append: appendUTF8, plain: utf8.Valid},
		"binary":  {maxLen: 1, append: appendUTF8, plain: utf8.Valid},
		"ascii":   {maxLen: 1, append: appendASCII, plain: isASCII},
		"ucs2":    {maxLen: 2, append: appendUCS2},
		"utf16":   {maxLen: 4, append: appendUTF16},
		"utf16le": {maxLen: 4, append: appendUTF16LE},
		"utf32":   {maxLen: 4, append: appendUTF32},
	}
	add := func(maxLen int, names ...string) {
		for _, n := range names {
			t := tableOf(n)
			s := &Set{maxLen: maxLen, table: t, append: func(dst, b []byte) ([]byte, int) { return t().append(dst, b) }}
			switch n {
			case "swe7": // has letters where ASCII has brackets
			case "sjis":
				s.plain = plainSJIS
			default:
				s.plain = isASCII
			}
			m[n] = s
		}
	}
	add(1, "armscii8", "cp1250", "cp1251", "cp1256", "cp1257", "cp850", "cp852", "cp866", "dec8", "geostd8", "greek", "hebrew", "hp8",
		"keybcs2", "koi8r", "koi8u", "latin1", "latin2", "latin5", "latin7", "macce", "macroman", "swe7", "tis620")
	add(2, "big5", "cp932", "euckr", "gb2312", "gbk", "sjis")
	add(3, "eucjpms", "ujis")
	add(4, "gb18030")
	for n, s := range m {
		s.name = n
	}
	return m
}

// plainSJIS leaves the backslash out, which sjis has twice: the server writes the longer.
func plainSJIS(b []byte) bool { return isASCII(b) && bytes.IndexByte(b, '\\') < 0 }
