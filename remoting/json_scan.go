package remoting

import (
	"math"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// errText is an error that costs no memory; the caller adds the place.
type errText string

func (e errText) Error() string { return string(e) }

// maxDepth bounds the nesting of values that are skipped.
const maxDepth = 64

// scanner reads JSON strictly. Strings that it returns live in one arena,
// which is taken once, as large as the input: no text grows when its escapes
// are resolved. Bytes that are not UTF-8 are kept as they are.
type scanner struct {
	in    []byte
	at    int
	arena []byte
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

// keep copies b into the arena.
func (s *scanner) keep(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	s.reserve()
	n := len(s.arena)
	s.arena = append(s.arena, b...)
	return unsafe.String(&s.arena[n], len(b))
}

// reserve takes the arena. Its capacity is never exceeded, so that strings in
// it never move.
func (s *scanner) reserve() {
	if s.arena == nil {
		s.arena = make([]byte, 0, len(s.in))
	}
}

// str reads a string in quotes.
func (s *scanner) str() (string, error) {
	if !s.take('"') {
		return "", errText("expected a string")
	}
	from := s.at
	for i, c := range s.in[from:] {
		if c == '"' {
			s.at = from + i + 1
			return s.keep(s.in[from : from+i]), nil
		}
		if c == '\\' {
			s.at = from + i
			return s.escaped(from)
		}
		if c < ' ' {
			s.at = from + i
			return "", errText("control character in a string")
		}
	}
	s.at = len(s.in)
	return "", errText("string does not end")
}

// escaped goes on with a string that began at from, at its first backslash.
func (s *scanner) escaped(from int) (string, error) {
	s.reserve()
	start := len(s.arena)
	s.arena = append(s.arena, s.in[from:s.at]...)
	for s.at < len(s.in) {
		run := s.at
		for run < len(s.in) && s.in[run] != '"' && s.in[run] != '\\' && s.in[run] >= ' ' {
			run++
		}
		s.arena = append(s.arena, s.in[s.at:run]...)
		if s.at = run; run == len(s.in) {
			break
		}
		switch c := s.in[run]; {
		case c == '"':
			s.at++
			if len(s.arena) == start {
				return "", nil
			}
			return unsafe.String(&s.arena[start], len(s.arena)-start), nil
		case c < ' ':
			return "", errText("control character in a string")
		}
		if err := s.escape(); err != nil {
			return "", err
		}
	}
	return "", errText("string does not end")
}

// escape reads one escape sequence into the arena.
func (s *scanner) escape() error {
	s.at++ // the backslash
	if s.at == len(s.in) {
		return errText("string does not end")
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
		return s.unicode()
	default:
		return errText("no such escape in a string")
	}
	s.arena = append(s.arena, c)
	return nil
}

// unicode reads the digits of \uXXXX, and of a second one where the first is
// half a character. A half that stays alone becomes U+FFFD.
func (s *scanner) unicode() error {
	r, ok := s.hex4(s.at)
	if !ok {
		return errText("expected four hex digits")
	}
	s.at += 4
	if r < utf8.RuneSelf {
		s.arena = append(s.arena, byte(r))
		return nil
	}
	if utf16.IsSurrogate(r) {
		r2, ok := s.hex4(s.at + 2)
		if ok && s.in[s.at] == '\\' && s.in[s.at+1] == 'u' {
			if both := utf16.DecodeRune(r, r2); both != utf8.RuneError {
				s.arena = utf8.AppendRune(s.arena, both)
				s.at += 6
				return nil
			}
		}
		r = utf8.RuneError
	}
	s.arena = utf8.AppendRune(s.arena, r)
	return nil
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
		return s.skipString()
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

// skipString reads without keeping: the arena is put back.
func (s *scanner) skipString() error {
	n := len(s.arena)
	_, err := s.str()
	if s.arena != nil {
		s.arena = s.arena[:n]
	}
	return err
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
			if err := s.skipString(); err != nil {
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
