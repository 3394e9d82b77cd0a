package remoting

import (
	"encoding/binary"
	"math"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// errText is an error that costs no memory; the caller adds the place.
type errText string

func (e errText) Error() string { return string(e) }

// maxDepth bounds the nesting of values that are skipped.
const maxDepth = 64

// scanner reads JSON strictly. It owns in, and the strings that it returns
// share its memory: where one has escapes they are resolved in place, which
// never needs more room. Bytes that are not UTF-8 are kept as they are.
type scanner struct {
	in []byte
	at int
}

func (s *scanner) space() {
	for s.at < len(s.in) {
		switch s.in[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// peek returns the next byte that is no space, 0 at the end.
func (s *scanner) peek() byte {
	if s.at < len(s.in) && s.in[s.at] > ' ' {
		return s.in[s.at]
	}
	s.space()
	if s.at < len(s.in) {
		return s.in[s.at]
	}
	return 0
}

// take consumes c if it comes next.
func (s *scanner) take(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.at++
	return true
}

// key reads a name and the colon behind it.
func (s *scanner) key() (string, error) {
	if s.peek() != '"' {
		return "", errText("expected a name in quotes")
	}
	key, err := s.str()
	if err == nil && !s.take(':') {
		err = errText("expected :")
	}
	return key, err
}

// text is a part of the input as a string.
func (s *scanner) text(from, to int) string {
	if from == to {
		return ""
	}
	return unsafe.String(&s.in[from], to-from)
}

// str reads a string in quotes.
func (s *scanner) str() (string, error) {
	if !s.take('"') {
		return "", errText("expected a string")
	}
	from := s.at
	s.plain()
	if s.at == len(s.in) {
		return "", errText("string does not end")
	}
	if s.in[s.at] == '"' {
		s.at++
		return s.text(from, s.at-1), nil
	}
	return s.escaped(from)
}

// pair reads "name":"value" where it stands without spaces, as machines write
// it. Otherwise it returns false and has read nothing.
func (s *scanner) pair() (key, value string, ok bool, err error) {
	from := s.at
	if from == len(s.in) || s.in[from] != '"' {
		return "", "", false, nil
	}
	s.at++
	s.plain()
	to := s.at
	if to+3 > len(s.in) || s.in[to] != '"' || s.in[to+1] != ':' || s.in[to+2] != '"' {
		s.at = from
		return "", "", false, nil
	}
	key = s.text(from+1, to)
	s.at = to + 3
	s.plain()
	if s.at < len(s.in) && s.in[s.at] == '"' {
		value = s.text(to+3, s.at)
		s.at++
		return key, value, true, nil
	}
	value, err = s.escaped(to + 3)
	return key, value, true, err
}

// Bytes of a word, eight at a time.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// plain moves on to the next byte of a string that does not stand for itself:
// a quote, a backslash or a control character.
func (s *scanner) plain() {
	i := s.at
	for i+8 <= len(s.in) {
		w := binary.LittleEndian.Uint64(s.in[i:])
		quote, slash := w^(ones*'"'), w^(ones*'\\')
		// A byte's high bit is set where it is zero, or below a space;
		// borrows may set others above it, but the lowest is right.
		found := ((quote-ones)&^quote | (slash-ones)&^slash | (w-ones*' ')&^w) & highs
		if found != 0 {
			s.at = i + bits.TrailingZeros64(found)/8
			return
		}
		i += 8
	}
	for i < len(s.in) && s.in[i] >= ' ' && s.in[i] != '"' && s.in[i] != '\\' {
		i++
	}
	s.at = i
}

// escaped goes on with a string that began at from, at the first byte that
// does not stand for itself. What is resolved is written from to on.
func (s *scanner) escaped(from int) (string, error) {
	to := s.at
	for s.at < len(s.in) {
		switch c := s.in[s.at]; {
		case c == '"':
			s.at++
			return s.text(from, to), nil
		case c < ' ':
			return "", errText("control character in a string")
		}
		var err error
		if to, err = s.escape(to); err != nil {
			return "", err
		}
		run := s.at
		s.plain()
		to += copy(s.in[to:], s.in[run:s.at])
	}
	return "", errText("string does not end")
}

// escape reads one escape sequence, writes what it means at to, and returns
// the place behind that.
func (s *scanner) escape(to int) (int, error) {
	s.at++ // the backslash
	if s.at == len(s.in) {
		return to, errText("string does not end")
	}
	c := s.in[s.at]
	s.at++
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		r, err := s.unicode()
		if err != nil {
			return to, err
		}
		return to + utf8.EncodeRune(s.in[to:], r), nil
	default:
		return to, errText("no such escape in a string")
	}
	s.in[to] = c
	return to + 1, nil
}

// unicode reads the digits of \uXXXX, and of a second one where the first is
// half a character. A half that stays alone becomes U+FFFD.
func (s *scanner) unicode() (rune, error) {
	r, ok := s.hex4(s.at)
	if !ok {
		return 0, errText("expected four hex digits")
	}
	s.at += 4
	if !utf16.IsSurrogate(r) {
		return r, nil
	}
	if r2, ok := s.hex4(s.at + 2); ok && s.in[s.at] == '\\' && s.in[s.at+1] == 'u' {
		if both := utf16.DecodeRune(r, r2); both != utf8.RuneError {
			s.at += 6
			return both, nil
		}
	}
	return utf8.RuneError, nil
}

func (s *scanner) hex4(at int) (r rune, ok bool) {
	if at+4 > len(s.in) {
		return 0, false
	}
	for _, c := range s.in[at : at+4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// int64 reads a whole number.
func (s *scanner) int64() (int64, error) {
	s.space()
	from := s.at
	if err := s.number(); err != nil {
		return 0, err
	}
	text, negative := s.in[from:s.at], false
	if text[0] == '-' {
		text, negative = text[1:], true
	}
	var n int64
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, errText("expected a whole number")
		}
		if n > (math.MaxInt64-9)/10 {
			return 0, errText("number is out of range")
		}
		n = n*10 + int64(c-'0')
	}
	if negative {
		n = -n
	}
	return n, nil
}

// number consumes a number of JSON's grammar.
func (s *scanner) number() error {
	if s.at < len(s.in) && s.in[s.at] == '-' {
		s.at++
	}
	if s.at < len(s.in) && s.in[s.at] == '0' {
		s.at++
	} else if !s.digits() {
		return errText("expected a value")
	}
	if s.at < len(s.in) && s.in[s.at] == '.' {
		if s.at++; !s.digits() {
			return errText("expected a digit behind the point")
		}
	}
	if s.at < len(s.in) && s.in[s.at]|0x20 == 'e' {
		s.at++
		if s.at < len(s.in) && (s.in[s.at] == '+' || s.in[s.at] == '-') {
			s.at++
		}
		if !s.digits() {
			return errText("expected a digit in the exponent")
		}
	}
	return nil
}

func (s *scanner) digits() bool {
	from := s.at
	for s.at < len(s.in) && '0' <= s.in[s.at] && s.in[s.at] <= '9' {
		s.at++
	}
	return s.at > from
}

// skip consumes one value of any kind and checks its form.
func (s *scanner) skip(depth int) error {
	if depth > maxDepth {
		return errText("nested too deeply")
	}
	switch s.peek() {
	case '"':
		_, err := s.str()
		return err
	case '{':
		return s.skipList('{', '}', depth)
	case '[':
		return s.skipList('[', ']', depth)
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	}
	return s.number()
}

func (s *scanner) skipList(open, end byte, depth int) error {
	s.take(open)
	if s.take(end) {
		return nil
	}
	for {
		if open == '{' {
			if s.peek() != '"' {
				return errText("expected a name in quotes")
			}
			if _, err := s.str(); err != nil {
				return err
			}
			if !s.take(':') {
				return errText("expected :")
			}
		}
		if err := s.skip(depth + 1); err != nil {
			return err
		}
		if s.take(end) {
			return nil
		}
		if !s.take(',') {
			return errText("expected , or the end of a list")
		}
	}
}

func (s *scanner) word(w string) error {
	if len(s.in)-s.at < len(w) || string(s.in[s.at:s.at+len(w)]) != w {
		return errText("expected a value")
	}
	s.at += len(w)
	return nil
}
