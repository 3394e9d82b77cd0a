package message

import "unicode/utf8"

// JavaHash is String.hashCode: over UTF-16 units, as tags and keys are hashed.
func JavaHash(s string) int32 { return JavaHashOn(0, s) }

// JavaHashOn is the JavaHash of a text whose beginning has the hash h and whose rest is s.
func JavaHashOn(h int32, s string) int32 {
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			h = 31*h + int32(c)
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		i += n
		if r >= 0x10000 {
			r -= 0x10000
			h = 31*h + 0xD800 + r>>10
			r = 0xDC00 + r&0x3FF
		}
		h = 31*h + r
	}
	return h
}

// TagsCode is what a consume queue keeps of a tag: its hash, sign extended;
// 0 for none.
func TagsCode(tag string) int64 {
	if tag == "" {
		return 0
	}
	return int64(JavaHash(tag))
}
