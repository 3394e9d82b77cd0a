package charset

import (
	"bytes"
	"compress/flate"
	"embed"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"unicode/utf8"
)

// A file of tables/ is deflated. In it stand numbers of 16 bits, the higher byte first,
// each the difference to the one before it:
//
//	256         what each byte is alone: its code point, 0 when it is none
//	n, n×257    pages of characters of two bytes: the first byte, and for each second
//	            byte the code point, U+FFFD when the pair has the form of a character
//	            and is none, 0 when it has not
//	n, n×257    the same behind a byte 0x8F (characters of three bytes)
//	n, n        characters of four bytes, in order (gb18030, within the first plane)
//	n, n×2      twins: sequences whose character the server writes with other bytes
//
//go:embed tables
var files embed.FS

// wellFormed marks a sequence of the form of a character that is none.
const wellFormed = utf8.RuneError

// table is an unpacked set.
type table struct {
	one   [256]uint16
	two   [256]*[256]uint16
	three [256]*[256]uint16
	four  []uint16
	twins map[uint32]bool // by the sequence as a number
	ascii bool            // bytes below 0x80 are ASCII
}

// tableOf unpacks a set's table when it is first asked for.
func tableOf(name string) func() *table {
	return sync.OnceValue(func() *table {
		packed, err := files.ReadFile("tables/" + name)
		if err != nil {
			panic("BUG: " + err.Error())
		}
		t, err := unpack(packed)
		if err != nil {
			panic(fmt.Sprintf("BUG: table of %s: %v", name, err))
		}
		return t
	})
}

func unpack(packed []byte) (*table, error) {
	raw, err := io.ReadAll(flate.NewReader(bytes.NewReader(packed)))
	if err != nil {
		return nil, err
	}
	last := uint16(0)
	next := func() uint16 {
		if len(raw) < 2 {
			raw, err = nil, io.ErrUnexpectedEOF
			return 0
		}
		last += binary.BigEndian.Uint16(raw)
		raw = raw[2:]
		return last
	}
	t := &table{ascii: true}
	for i := range t.one {
		t.one[i] = next()
		t.ascii = t.ascii && (i >= utf8.RuneSelf || t.one[i] == uint16(i))
	}
	for _, pages := range []*[256]*[256]uint16{&t.two, &t.three} {
		for n := next(); n > 0 && err == nil; n-- {
			page := new([256]uint16)
			pages[byte(next())] = page
			for i := range page {
				page[i] = next()
			}
		}
	}
	t.four = make([]uint16, next())
	for i := range t.four {
		t.four[i] = next()
	}
	n := next()
	t.twins = make(map[uint32]bool, n)
	for ; n > 0 && err == nil; n-- {
		t.twins[uint32(next())<<16|uint32(next())] = true
	}
	return t, err
}

// append converts text; it is the heart of every set that is a table.
func (t *table) append(dst, b []byte) ([]byte, int) {
	bad := 0
	for len(b) > 0 {
		c := b[0]
		if c < utf8.RuneSelf && t.ascii {
			n := asciiRun(b)
			dst, b = append(dst, b[:n]...), b[n:]
			continue
		}
		if r := t.one[c]; r != 0 || c == 0 {
			if r == wellFormed { // tis620 knows where its gaps are
				bad++
			}
			dst, b = utf8.AppendRune(dst, rune(r)), b[1:]
			continue
		}
		r, n, ok := t.long(b)
		if !ok {
			bad++
		}
		dst, b = utf8.AppendRune(dst, r), b[n:]
	}
	return dst, bad
}

// long reads the character of several bytes that b begins with; ok is false when it is
// none.
func (t *table) long(b []byte) (r rune, n int, ok bool) {
	page, n := t.two[b[0]], 2
	if page == nil && b[0] == 0x8f && len(b) > 2 {
		page, n = t.three[b[1]], 3
	}
	if len(b) < n {
		return utf8.RuneError, 1, false
	}
	if page != nil {
		if u := page[b[n-1]]; u != 0 {
			return rune(u), n, u != wellFormed
		}
	}
	if t.four != nil && len(b) >= 4 && b[1] >= 0x30 && b[1] <= 0x39 {
		return t.longest(b)
	}
	return utf8.RuneError, 1, false
}

// The first and last character of gb18030 beyond the first plane, counted from the first
// sequence of four bytes.
const (
	supplementary    = (0x90 - 0x81) * 12600
	supplementaryEnd = supplementary + 0x100000
)

// longest reads a character of four bytes, which only gb18030 has.
func (t *table) longest(b []byte) (r rune, n int, ok bool) {
	if b[0] < 0x81 || b[0] > 0xfe || b[2] < 0x81 || b[2] > 0xfe || b[3] < 0x30 || b[3] > 0x39 {
		return utf8.RuneError, 1, false
	}
	at := ((int(b[0])-0x81)*10+int(b[1])-0x30)*1260 + (int(b[2])-0x81)*10 + int(b[3]) - 0x30
	switch {
	case at < len(t.four):
		if u := t.four[at]; u != 0 {
			return rune(u), 4, true
		}
	case at >= supplementary && at < supplementaryEnd:
		return rune(at-supplementary) + 0x10000, 4, true
	}
	return utf8.RuneError, 4, false
}

// twinIn finds a twin in b, which has characters only.
func (t *table) twinIn(b []byte, name string) error {
	if len(t.twins) == 0 {
		return nil
	}
	for len(b) > 0 {
		n := 1
		if t.one[b[0]] == 0 && b[0] != 0 {
			_, n, _ = t.long(b)
		}
		if t.twins[sequence(b[:n])] {
			return fmt.Errorf("%w: %s has the character %#x twice", ErrAmbiguous, name, b[:n])
		}
		b = b[n:]
	}
	return nil
}

func sequence(b []byte) (n uint32) {
	for _, c := range b {
		n = n<<8 | uint32(c)
	}
	return n
}
