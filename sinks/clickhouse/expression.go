package clickhouse

import (
	"errors"
	"fmt"
	"strings"
)

// An expression of the configuration is the server's to understand. The sink only sees that it
// is one, which ends where it should, and which columns it names.

// token is a piece of an expression.
type token struct {
	kind byte // i identifier, s text, n number, else the character itself
	text string
}

// tokens cuts an expression into pieces.
func tokens(s string) (out []token, err error) {
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == ' ' || c == '\t':
			i++
		case c == '\'' || c == '`' || c == '"':
			text, n := quotedText(s[i:])
			if n == 0 {
				return nil, fmt.Errorf("its %c is not closed", c)
			}
			kind := byte('i')
			if c == '\'' {
				kind = 's'
			}
			out, i = append(out, token{kind, text}), i+n
		case c >= '0' && c <= '9' || isLetter(c):
			n := i
			for n < len(s) && (isLetter(s[n]) || s[n] >= '0' && s[n] <= '9') {
				n++
			}
			kind := byte('i')
			if c <= '9' {
				kind = 'n'
			}
			out, i = append(out, token{kind, s[i:n]}), n
		case c < ' ' || c == ';' || c == '#':
			return nil, fmt.Errorf("%q stands in it", c)
		default:
			out, i = append(out, token{kind: c, text: s[i : i+1]}), i+1
		}
	}
	return out, nil
}

func isLetter(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// quotedText is the text in quotes that s begins with, and its length with them; 0 where it is
// not closed.
func quotedText(s string) (text string, n int) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == s[0]:
			return b.String(), i + 1
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return "", 0
}

// isWhole says why an expression ends before or behind its text's end: it would be another
// statement's.
func isWhole(s string) error {
	list, err := tokens(s)
	if err != nil {
		return err
	}
	open := 0
	for i, t := range list {
		switch t.kind {
		case '(':
			open++
		case ')':
			if open--; open < 0 {
				return errors.New("a ) too many")
			}
		case ',':
			if open == 0 {
				return errors.New("a comma stands outside of ( )")
			}
		case '-', '/':
			if i > 0 && t.kind == '-' && list[i-1].kind == '-' || t.kind == '/' && i+1 < len(list) && list[i+1].kind == '*' {
				return errors.New("a comment stands in it")
			}
		case 'i':
			switch strings.ToUpper(t.text) {
			case "SETTINGS", "ORDER", "PRIMARY", "TTL", "PARTITION", "SELECT":
				return fmt.Errorf("%s stands in it", t.text)
			}
		}
	}
	if open > 0 {
		return errors.New("a ( is not closed")
	}
	return nil
}

// identifiers are the names in an expression that are none of functions.
func identifiers(s string) (out []string) {
	list, err := tokens(s)
	if err != nil {
		return nil // it was refused
	}
	for i, t := range list {
		if t.kind == 'i' && (i+1 == len(list) || list[i+1].kind != '(') {
			out = append(out, t.text)
		}
	}
	return out
}
