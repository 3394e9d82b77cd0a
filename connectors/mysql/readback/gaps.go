package readback

import (
	"bytes"
	"unicode/utf8"

	"github.com/millrace/millrace/connectors/mysql/charset"
)

func isText(dataType string) bool {
	switch dataType {
	case "char", "varchar", "tinytext", "text", "mediumtext", "longtext":
		return true
	}
	return false
}

// withGaps is the charset of a column of text if bytes of it can be no character, and the
// server does not answer them as they are.
func withGaps(dataType, set string) *charset.Set {
	switch set {
	case "", "binary", "latin1", "utf8mb4", "utf8mb3", "utf8":
		return nil
	}
	if !isText(dataType) {
		return nil
	}
	return charset.Named(set)
}

// whole is a text as it is, with U+FFFD where it is not UTF-8.
func whole(text []byte) []byte {
	if !utf8.Valid(text) {
		text, _ = charset.Named("utf8mb4").Append(nil, text)
	}
	return text
}

// marked is a text as its server converts it, with U+FFFD where bytes are no character: the
// server has a question mark there, or passes halves of surrogate pairs on. Every character
// is the server's; where the two do not agree, its text stays and is seen to differ.
func marked(set *charset.Set, text, raw []byte) []byte {
	if set.Plain(raw) {
		return text
	}
	own, bad := set.Append(nil, raw)
	if bad == 0 {
		return text
	}
	server := whole(text)
	mark := []byte("\uFFFD")
	if bytes.Equal(bytes.ReplaceAll(own, mark, []byte("?")), bytes.ReplaceAll(server, mark, []byte("?"))) {
		return own
	}
	return text
}
