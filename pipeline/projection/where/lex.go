package where

import (
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"
)

// kind is the kind of a token.
type kind uint8

const (
	end    kind = iota
	word        // a name or a keyword
	quoted      // a name in backquotes
	number
	str
	bytesLiteral // x'…' or 0x…
	sign         // an operator or a parenthesis
)

// token is a piece of a condition.
type token struct {
	kind kind
	text string // of str and bytesLiteral the value
	at   int    // byte in the condition, from 0
}

func (t token) String() string {
	switch t.kind {
	case end:
		return "the end"
	case str:
		return "a text"
	case bytesLiteral:
		return "a binary literal"
	}
	return fmt.Sprintf("%q", t.text)
}

// is reports whether a token is a keyword.
func (t token) is(keyword string) bool { return t.kind == word && strings.EqualFold(t.text, keyword) }

// fault is a mistake at a place.
func fault(at int, format string, a ...any) error {
	return fmt.Errorf("at character %d: %s", at+1, fmt.Sprintf(format, a...))
}

// lexer cuts a condition into tokens.
type lexer struct {
	in string
	at int
}

func (l *lexer) next() (token, error) {
	for l.at < len(l.in) && strings.IndexByte(" \t\r\n", l.in[l.at]) >= 0 {
		l.at++
	}
	start := l.at
	if start == len(l.in) {
		return token{kind: end, at: start}, nil
	}
	rest := l.in[start:]
	switch c := rest[0]; {
	case c == '\'':
		text, err := l.text('\'')
		return token{str, text, start}, err
	case c == '`':
		text, err := l.text('`')
		if err == nil && text == "" {
			err = fault(start, "a column has a name")
		}
		return token{quoted, text, start}, err
	case c == '"':
		return token{}, fault(start, "texts stand in single quotes and names in backquotes")
	case (c == 'x' || c == 'X') && len(rest) > 1 && rest[1] == '\'':
		l.at++
		text, err := l.text('\'')
		if err != nil {
			return token{}, err
		}
		return binaryToken(text, start)
	case strings.HasPrefix(rest, "0x"):
		l.at += 2
		return binaryToken(l.run(isHex), start)
	case isDigit(c) || c == '.' && len(rest) > 1 && isDigit(rest[1]):
		return l.number(start)
	case isLetter(c):
		return token{word, l.run(func(c byte) bool { return isLetter(c) || isDigit(c) }), start}, nil
	}
	for _, op := range []string{"<=>", "<=", ">=", "<>", "!=", "=", "<", ">", "(", ")", ",", "-", "+", "."} {
		if strings.HasPrefix(rest, op) {
			l.at += len(op)
			return token{sign, op, start}, nil
		}
	}
	r, _ := utf8.DecodeRuneInString(rest)
	return token{}, fault(start, "%q is not understood", r)
}

// text reads what stands in quotes; a quote in it stands twice.
func (l *lexer) text(quote byte) (string, error) {
	start := l.at
	var out strings.Builder
	for i := start + 1; i < len(l.in); i++ {
		switch c := l.in[i]; {
		case c == quote && i+1 < len(l.in) && l.in[i+1] == quote:
			out.WriteByte(c)
			i++
		case c == quote:
			l.at = i + 1
			return out.String(), nil
		case c == '\\' && quote == '\'':
			return "", fault(i, `a backslash in a text means what the session's sql_mode says: write the bytes as x'…', and LIKE with ESCAPE '!'`)
		default:
			out.WriteByte(c)
		}
	}
	return "", fault(start, "a quote is not closed")
}

// number reads digits with at most one point. Where letters follow, the whole is no number.
func (l *lexer) number(start int) (token, error) {
	text := l.run(func(c byte) bool { return isDigit(c) || c == '.' })
	if l.at < len(l.in) && isLetter(l.in[l.at]) {
		return token{}, fault(start, "%s%c is no number: numbers are digits with or without a point", text, l.in[l.at])
	}
	if strings.Count(text, ".") > 1 || strings.HasSuffix(text, ".") {
		return token{}, fault(start, "%s is no number", text)
	}
	return token{number, text, start}, nil
}

func (l *lexer) run(of func(byte) bool) string {
	start := l.at
	for l.at < len(l.in) && of(l.in[l.at]) {
		l.at++
	}
	return l.in[start:l.at]
}

func binaryToken(digits string, at int) (token, error) {
	b, err := hex.DecodeString(digits)
	if err != nil || digits == "" {
		return token{}, fault(at, "a binary literal has two hex digits for each byte")
	}
	return token{bytesLiteral, string(b), at}, nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isHex(c byte) bool {
	return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f'
}
func isLetter(c byte) bool {
	return c == '_' || c == '$' || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= utf8.RuneSelf
}
