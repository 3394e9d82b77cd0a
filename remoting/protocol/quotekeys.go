package protocol

import (
	"errors"
	"fmt"
)

// maxBodyDepth bounds the nesting of a body that is not standard JSON.
const maxBodyDepth = 64

// quoteKeys turns fastjson's dialect into JSON: a number that stands for a
// key gets quotes, an object that does becomes the text of that object. What
// else may be wrong with b is left to the decoder of the result.
func quoteKeys(b []byte) ([]byte, error) {
	q := keyQuoter{in: b, out: make([]byte, 0, len(b)+len(b)/4)}
	if err := q.value(0); err != nil {
		return nil, fmt.Errorf("byte %d: %w", q.at, err)
	}
	if q.space(); q.at != len(q.in) {
		return nil, fmt.Errorf("byte %d: something follows the value", q.at)
	}
	return q.out, nil
}

type keyQuoter struct {
	in  []byte
	at  int
	out []byte
}

var errEnds = errors.New("unexpected end")

func (q *keyQuoter) space() {
	for q.at < len(q.in) {
		switch q.in[q.at] {
		case ' ', '\t', '\r', '\n':
			q.at++
		default:
			return
		}
	}
}

// next returns the next byte that is no space, 0 at the end.
func (q *keyQuoter) next() byte {
	q.space()
	if q.at == len(q.in) {
		return 0
	}
	return q.in[q.at]
}

func (q *keyQuoter) copyByte() {
	q.out = append(q.out, q.in[q.at])
	q.at++
}

func (q *keyQuoter) value(depth int) error {
	if depth > maxBodyDepth {
		return errors.New("nested too deeply")
	}
	switch q.next() {
	case 0:
		return errEnds
	case '{':
		return q.list('}', depth, q.member)
	case '[':
		return q.list(']', depth, q.value)
	case '"':
		return q.text()
	}
	return q.scalar()
}

// list copies an object or an array whose elements each copies.
func (q *keyQuoter) list(end byte, depth int, each func(depth int) error) error {
	q.copyByte()
	if q.next() == end {
		q.copyByte()
		return nil
	}
	for {
		if err := each(depth + 1); err != nil {
			return err
		}
		switch q.next() {
		case end:
			q.copyByte()
			return nil
		case ',':
			q.copyByte()
		default:
			return errors.New("expected , or the end of a list")
		}
	}
}

func (q *keyQuoter) member(depth int) error {
	if err := q.key(depth); err != nil {
		return err
	}
	if q.next() != ':' {
		return errors.New("expected a colon")
	}
	q.copyByte()
	return q.value(depth)
}

func (q *keyQuoter) key(depth int) error {
	switch q.next() {
	case 0:
		return errEnds
	case '"':
		return q.text()
	case '{':
		from := len(q.out)
		if err := q.value(depth); err != nil {
			return err
		}
		q.out = appendQuoted(q.out[:from], string(q.out[from:]))
		return nil
	}
	q.out = append(q.out, '"')
	err := q.scalar()
	q.out = append(q.out, '"')
	return err
}

// text copies a string without looking at its escapes.
func (q *keyQuoter) text() error {
	q.copyByte()
	for q.at < len(q.in) {
		switch q.in[q.at] {
		case '"':
			q.copyByte()
			return nil
		case '\\':
			q.copyByte()
			if q.at == len(q.in) {
				return errEnds
			}
		}
		q.copyByte()
	}
	return errEnds
}

// scalar copies a number or a word.
func (q *keyQuoter) scalar() error {
	from := q.at
	for q.at < len(q.in) {
		c := q.in[q.at]
		if c != '-' && c != '+' && c != '.' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			break
		}
		q.copyByte()
	}
	if q.at == from {
		return errors.New("expected a value")
	}
	return nil
}

// appendQuoted writes s, which is JSON, as a JSON string: of what must be
// escaped only quotes and backslashes occur in JSON without a string in it
// that is broken already.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return append(dst, '"')
}
