package serve

import "strings"

// token is a word, a name in quotes, a text, or one other character of a statement.
type token struct {
	start, end int
	kind       tokenKind
}

type tokenKind byte

const (
	word   tokenKind = 'w'
	quoted tokenKind = 'q' // a name in backticks or double quotes
	text   tokenKind = 't'
	sign   tokenKind = 's'
)

// tokenize cuts a statement; comments and spaces stand between tokens.
func tokenize(s string) []token {
	var tokens []token
	for i := 0; i < len(s); {
		if n := space(s[i:]); n > 0 {
			i += n
			continue
		}
		t := token{start: i, kind: sign}
		switch c := s[i]; {
		case c == '\'' || c == '`' || c == '"':
			t.kind, t.end = quoted, i+closing(s[i:])
			if c == '\'' {
				t.kind = text
			}
		case letter(c):
			t.kind, t.end = word, i+1
			for t.end < len(s) && letter(s[t.end]) {
				t.end++
			}
		default:
			t.end = i + 1
		}
		tokens = append(tokens, t)
		i = t.end
	}
	return tokens
}

func letter(c byte) bool {
	return c == '_' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// space is the length of the space or comment that s begins with.
func space(s string) int {
	switch {
	case strings.IndexByte(" \t\r\n\f\v", s[0]) >= 0:
		return 1
	case strings.HasPrefix(s, "--"), strings.HasPrefix(s, "#!"), strings.HasPrefix(s, "# "):
		if end := strings.IndexByte(s, '\n'); end >= 0 {
			return end + 1
		}
		return len(s)
	case strings.HasPrefix(s, "/*"):
		if end := strings.Index(s[2:], "*/"); end >= 0 {
			return end + 4
		}
		return len(s)
	}
	return 0
}

// closing is the length of the quoted text that s begins with, to the end of s at most.
func closing(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case s[0]:
			if i+1 < len(s) && s[i+1] == s[0] {
				i++
				continue
			}
			return i + 1
		}
	}
	return len(s)
}

// sentence is a statement with its tokens.
type sentence struct {
	text   string
	tokens []token
}

func newSentence(s string) sentence { return sentence{text: s, tokens: tokenize(s)} }

// is reports whether token i is that word or sign.
func (s sentence) is(i int, what string) bool {
	if i < 0 || i >= len(s.tokens) {
		return false
	}
	t := s.tokens[i]
	return (t.kind == word || t.kind == sign) && strings.EqualFold(s.text[t.start:t.end], what)
}

// name is the name that token i is, without quotes; "" for another token.
func (s sentence) name(i int) string {
	if i < 0 || i >= len(s.tokens) {
		return ""
	}
	t := s.tokens[i]
	raw := s.text[t.start:t.end]
	switch t.kind {
	case word:
		return raw
	case quoted:
		return unquote(raw)
	}
	return ""
}

// unquote takes the quotes and the escapes off a name or a text.
func unquote(raw string) string {
	if len(raw) < 2 {
		return ""
	}
	quote := raw[0]
	var b strings.Builder
	for i := 1; i < len(raw)-1; i++ {
		c := raw[i]
		switch {
		case c == '\\' && i+1 < len(raw)-1:
			i++
			c = unescape(raw[i])
		case c == quote && raw[i+1] == quote && i+1 < len(raw)-1:
			i++
		}
		b.WriteByte(c)
	}
	return b.String()
}

// unescape is what stands behind a backslash.
func unescape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case '0':
		return 0
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	}
	return c
}

// literal writes a text of SQL.
func literal(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// backtick writes a name of SQL.
func backtick(s string) string {
	return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(s) + "`"
}
