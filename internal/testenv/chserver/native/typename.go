package native

import (
	"fmt"
	"strings"
)

// typeName is a type taken apart: Array(Nullable(String)) is the name Array with one
// argument, whose text is Nullable(String).
type typeName struct {
	text string
	name string
	args []string
}

// maxDepth is how deep types may be nested.
const maxDepth = 100

// parseType takes the outermost name of a type and the texts of its arguments.
func parseType(text string) (typeName, error) {
	text = strings.TrimSpace(text)
	open := strings.IndexByte(text, '(')
	if open < 0 {
		return typeName{text: text, name: text}, nil
	}
	if !strings.HasSuffix(text, ")") {
		return typeName{}, fmt.Errorf("type %.200q has no end", text)
	}
	args, err := split(text[open+1 : len(text)-1])
	return typeName{text: text, name: text[:open], args: args}, err
}

// split cuts at the commas that stand outside of brackets and quotes.
func split(s string) ([]string, error) {
	var parts []string
	depth, start := 0, 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth < 0 {
				return nil, fmt.Errorf("type arguments %.200q close more than they open", s)
			}
		case ',':
			if depth == 0 {
				parts = append(parts, strings.TrimSpace(s[start:i]))
				start = i + 1
			}
		case '\'', '`', '"':
			end := quoted(s[i:])
			if end < 0 {
				return nil, fmt.Errorf("type arguments %.200q hold a quote without end", s)
			}
			i += end - 1
		}
	}
	if depth != 0 {
		return nil, fmt.Errorf("type arguments %.200q open more than they close", s)
	}
	if last := strings.TrimSpace(s[start:]); last != "" || len(parts) > 0 {
		parts = append(parts, last)
	}
	return parts, nil
}

// quoted is the length of the quoted text that s begins with; -1 when it has no end.
func quoted(s string) int {
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
	return -1
}

// element takes the type out of an argument that may have a name in front: `a b` UInt8, or
// a path, a.`b c` UInt8. The name is without its quotes.
func element(arg string) (name, typ string) {
	for i := 0; i < len(arg); i++ {
		switch arg[i] {
		case '(':
			return "", arg
		case ' ':
			return strings.NewReplacer("`", "", `"`, "").Replace(arg[:i]), strings.TrimSpace(arg[i:])
		case '`', '"':
			if end := quoted(arg[i:]); end > 0 {
				i += end - 1
			}
		}
	}
	return "", arg
}
