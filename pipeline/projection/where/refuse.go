package where

import (
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/pipeline/event"
)

// refuses says why a test can't be answered of a column as its server would; "" if it can.
func (t typ) refuses(q *test, of Column) string {
	c := of.Definition
	switch {
	case t.class == opaque:
		return fmt.Sprintf("is %s, of which a condition can ask IS NULL and IS NOT NULL alone", t.word)
	case q.binary && t.class != text && t.class != enum && t.class != set:
		return fmt.Sprintf("is %s: BINARY is for texts", t.word)
	case q.op == like && t.class != text && t.class != binaryClass:
		return fmt.Sprintf("is %s, to which LIKE does not apply", t.word)
	case !q.binary && t.class == text:
		return fmt.Sprintf("is %s, and how that compares is a matter of its collation%s: write BINARY `%s`, which compares byte by byte",
			t.word, collation(c), q.column)
	case !q.binary && t.class == set:
		return fmt.Sprintf("is a SET: write BINARY `%s`, which compares the text of its members", q.column)
	case !q.binary && t.class == enum:
		return enumRefuses(q, c)
	case t.class == text || t.class == enum || t.class == set:
		if why := charsetRefuses(q, of.Charset); why != "" {
			return why
		}
	}
	if q.op == like {
		return likeRefuses(q)
	}
	return ""
}

func collation(c *event.Column) string {
	if c == nil || c.Collation == "" {
		return ""
	}
	return " (" + c.Collation + ")"
}

// enumRefuses permits of an ENUM what is the same under every collation: members as they are.
func enumRefuses(q *test, c *event.Column) string {
	if q.op != equal && q.op != unequal && q.op != in {
		return fmt.Sprintf("is an ENUM, of which =, <>, IN and IS NULL can be asked: %s is a matter of its collation", q.op)
	}
	for _, a := range q.args {
		if a.kind != str {
			return "is an ENUM, which is compared with texts"
		}
		if c != nil && a.text != "" && !slices.Contains(c.Members, a.text) {
			return fmt.Sprintf("has no member '%s': members are written as the table's definition has them (BINARY `%s` takes any text)", a.text,
				q.column)
		}
	}
	return ""
}

// charsetRefuses refuses what bytes in the column's own charset and in UTF-8 do not agree on.
func charsetRefuses(q *test, charset string) string {
	switch charset {
	case "utf8mb4", "utf8mb3", "utf8", "ascii", "":
		return ""
	case "ucs2", "utf16", "utf16le", "utf32":
		return fmt.Sprintf("is of the charset %s, whose bytes are not those of a condition: it can be asked IS NULL alone", charset)
	case "swe7", "armscii8": // bytes of ASCII are other characters, and other bytes are ASCII's
		return fmt.Sprintf("is of the charset %s, of which ASCII is no part: it can be asked IS NULL alone", charset)
	}
	if q.op != equal && q.op != unequal && q.op != in {
		return fmt.Sprintf("is of the charset %s, and %s would go by its bytes: =, <>, IN and IS NULL can be asked", charset, q.op)
	}
	if slices.ContainsFunc(q.args, func(a constant) bool { return !ascii(a.text) }) {
		return fmt.Sprintf("is of the charset %s: it can be compared with ASCII texts alone", charset)
	}
	// Both have a second character that becomes a backslash.
	if (charset == "sjis" || charset == "ujis") &&
		slices.ContainsFunc(q.args, func(a constant) bool { return strings.Contains(a.text, `\`) }) {
		return fmt.Sprintf("is of the charset %s, in which a backslash may be one of two characters: it can't be compared with one", charset)
	}
	return ""
}

func likeRefuses(q *test) string {
	if q.args[0].kind == number {
		return "is compared by LIKE with a number: it takes a text"
	}
	pattern := q.args[0].text
	for i := 0; i < len(pattern); i++ {
		switch {
		case q.escape != "" && pattern[i] == q.escape[0]:
			if i++; i == len(pattern) {
				return "is compared with a pattern that ends in its escape"
			}
			if pattern[i] != '%' && pattern[i] != '_' && pattern[i] != q.escape[0] {
				return "is compared with a pattern in which the escape stands before a character that needs none"
			}
		case pattern[i] == '_':
			return "is compared with a pattern that has _, which is one byte under BINARY: % alone is taken (a plain _ is " +
				"written !_ with ESCAPE '!')"
		case pattern[i] == '\\':
			return `is compared with a pattern that has a backslash, which the server takes for an escape`
		}
	}
	return ""
}

func ascii(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > 0x7f }) < 0
}
