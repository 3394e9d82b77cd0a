package schema

import (
	"errors"
	"strings"

	"github.com/millrace/millrace/internal/seeded"
)

// lexer takes a statement apart as the server did that wrote it into its log: comments
// are gaps, what stands in executable comments that the server executed is part of the
// statement, and quotes end where the session's SQL mode says.
//
// Servers blank the "!" of an executable comment that they leave out before they write
// the statement into the log, and the comments in it. What the log shows as executable
// was therefore executed by the server that wrote it; a version above the server's own
// can be there only when another server wrote it, and makes the reading unsure.
type lexer struct {
	src     string
	mode    Mode
	maria   bool
	version int

	at     int
	open   int // executable comments that are open
	unsure string
}

type tokenKind uint8

const (
	tokenWord   tokenKind = iota + 1 // a word or a number
	tokenName                        // a quoted name
	tokenText                        // a quoted text
	tokenSymbol                      // any other character
)

// token is a piece of a statement; text is as written. gap says that something that is
// nothing (a space, a comment) stands in front of it.
type token struct {
	kind tokenKind
	text string
	gap  bool
}

var (
	errUnclosed = errors.New("the statement has a quote or comment that is not closed")
	errEnd      = errors.New("the statement ends")
)

// next is the next token; errEnd behind the last.
func (l *lexer) next() (token, error) {
	t := token{}
	for {
		skipped, err := l.skipGap()
		if err != nil {
			return t, err
		}
		if !skipped {
			break
		}
		t.gap = true
	}
	if l.at >= len(l.src) {
		if l.open > 0 {
			return t, errUnclosed
		}
		return t, errEnd
	}
	from := l.at
	switch c := l.src[from]; {
	case wordByte(c):
		t.kind, l.at = tokenWord, endOfWord(l.src, from)
	case c == '`', c == '"' && l.mode&ANSIQuotes != 0:
		t.kind = tokenName
		l.at = endOfQuoted(l.src, from, false)
	case c == '\'', c == '"':
		t.kind = tokenText
		l.at = endOfQuoted(l.src, from, l.mode&NoBackslashEscapes == 0)
	default:
		t.kind, l.at = tokenSymbol, from+1
	}
	if l.at == 0 {
		return t, errUnclosed
	}
	t.text = l.src[from:l.at]
	return t, nil
}

// skipGap passes over one space or comment, or one end of an executable comment.
func (l *lexer) skipGap() (bool, error) {
	s := l.src[l.at:]
	switch {
	case s == "":
		return false, nil
	case s[0] <= ' ' && isSpace(s[0]):
		l.at++
		return true, nil
	case s[0] == '#', strings.HasPrefix(s, "--") && (len(s) == 2 || s[2] <= ' ' || s[2] == 0x7f):
		end := strings.IndexByte(s, '\n')
		if end < 0 {
			end = len(s) - 1
		}
		l.at += end + 1
		return true, nil
	case strings.HasPrefix(s, "*/") && l.open > 0:
		l.open--
		l.at += 2
		return true, nil
	case strings.HasPrefix(s, "/*"):
		return true, l.comment(s)
	}
	return false, nil
}

// comment passes over a comment, or over the head of an executable one.
func (l *lexer) comment(s string) error {
	switch {
	case strings.HasPrefix(s, "/*!"):
		l.execute(3, s[3:])
		return nil
	case strings.HasPrefix(s, "/*M!") && l.maria && !seeded.On(seeded.LogTakenAtItsWord):
		l.execute(4, s[4:])
		return nil
	}
	end := strings.Index(s[2:], "*/")
	if end < 0 {
		return errUnclosed
	}
	l.at += 2 + end + 2
	return nil
}

// execute enters an executable comment whose head of n bytes is followed by s.
func (l *lexer) execute(n int, s string) {
	digits, version := 0, 0
	for digits < len(s) && digits < 6 && s[digits] >= '0' && s[digits] <= '9' {
		digits++
	}
	switch {
	case digits < 5:
		digits = 0
	case digits == 6 && !l.maria && (len(s) == 6 || !isSpace(s[6])):
		digits = 5 // MySQL takes the sixth digit for one only in front of a space
	}
	for _, c := range s[:digits] {
		version = version*10 + int(c-'0')
	}
	if l.version != 0 && version > l.version || l.maria && n == 3 && version >= 50700 && version <= 99999 {
		l.unsure = "the statement has a comment for another server's version"
	}
	l.open++
	l.at += n + digits
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// wordByte reports whether c can stand in a name without quotes.
func wordByte(c byte) bool {
	return c == '_' || c == '$' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func endOfWord(s string, i int) int {
	for i < len(s) && wordByte(s[i]) {
		i++
	}
	return i
}

// endOfQuoted is the end of the quoted piece that begins at i, 0 when it has none. A
// doubled quote stands for itself, and a backslash takes the next byte's meaning away.
func endOfQuoted(s string, i int, backslash bool) int {
	q := s[i]
	for k := i + 1; k < len(s); k++ {
		switch {
		case s[k] == '\\' && backslash:
			k++
		case s[k] != q:
		case k+1 < len(s) && s[k+1] == q:
			k++
		default:
			return k + 1
		}
	}
	return 0
}

// is reports whether the token is one of the words, which are in upper case.
func (t *token) is(words ...string) bool {
	if t.kind != tokenWord {
		return false
	}
	for _, w := range words {
		if strings.EqualFold(t.text, w) {
			return true
		}
	}
	return false
}

// symbol reports whether the token is that character.
func (t *token) symbol(c string) bool { return t.kind == tokenSymbol && t.text == c }

// name is the name that the token is.
func (t *token) name() (string, bool) {
	switch t.kind {
	case tokenWord:
		return t.text, true
	case tokenName:
		q := t.text[:1]
		return strings.ReplaceAll(t.text[1:len(t.text)-1], q+q, q), true
	}
	return "", false
}
