package charset

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Statement is the text of a statement of the log, from a client whose collation has that
// number. The error says that the text is not certain: bytes that are no text in the
// client's character set are U+FFFD in it, or it can be read in two ways.
func Statement(collation uint16, sql []byte) (string, error) {
	s := OfCollation(collation)
	if s == nil {
		text, bad := appendUTF8(nil, sql)
		if bad > 0 {
			return string(text), fmt.Errorf("the statement is not UTF-8, and no character set has a collation numbered %d", collation)
		}
		return string(sql), nil
	}
	if s.Plain(sql) {
		return string(sql), nil
	}
	own := generated.Match(sql) && utf8.Valid(sql)
	if own && bytes.HasSuffix(sql, []byte(" START TRANSACTION")) { // which clients can't write
		return string(sql), nil
	}
	text, bad := s.Append(make([]byte, 0, len(sql)+len(sql)/2), sql)
	switch {
	case introducer.Match(sql) && !s.unicode():
		return string(text), fmt.Errorf("the statement has a literal in a character set of its own beside text in %s", s.name)
	case own && bad == 0 && generated.Match(text):
		return string(sql), fmt.Errorf("the statement is the server's own, in UTF-8, or its client's, in %s", s.name)
	case own:
		return string(sql), nil
	case bad > 0:
		return string(text), fmt.Errorf("%d sequences of the statement are no characters of %s, which its client speaks", bad, s.name)
	}
	return string(text), nil
}

// introducer is what may stand before a literal whose bytes are of another character set
// than the statement's.
var introducer = regexp.MustCompile(`(?i)\b_[a-z0-9]+\s*'`)

// unicode reports whether statements in the set are UTF-8 as they are.
func (s *Set) unicode() bool { return strings.HasPrefix(s.name, "utf8") || s.name == "binary" }

// generated is the form of SHOW CREATE TABLE. The servers log CREATE TABLE … SELECT, and
// … LIKE a temporary table, so: in UTF-8, and yet with the client's character set. A client
// that restores a dump sends the same form in its own.
var generated = regexp.MustCompile("^CREATE (?:OR REPLACE )?TABLE (?:IF NOT EXISTS )?`[^\n]*` \\(\n  `")
