package engine

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Error is what ClickHouse answered to a statement.
type Error struct {
	Code    int32
	Message string // as a server sends it: without code, name and version
}

func (e *Error) Error() string { return fmt.Sprintf("code: %d, message: %s", e.Code, e.Message) }

// codeUnknown is UNKNOWN_EXCEPTION, for a text that names no code.
const codeUnknown = 1002

var (
	errorHead = regexp.MustCompile(`(?s)^.*?Code: (\d+)\. DB::[A-Za-z:]*Exception: `)
	errorTail = regexp.MustCompile(`(?s)\.? \([A-Z][A-Z0-9_]*\)( \(version [^)]*\)+)?\s*$`)
)

// parseError takes "Code: N. DB::Exception: text. (NAME)" apart. The library repeats the
// head for some errors.
func parseError(s string) *Error {
	e := &Error{Code: codeUnknown}
	rest := s
	for {
		head := errorHead.FindStringSubmatchIndex(rest)
		if head == nil || (e.Code != codeUnknown && head[0] != head[2]-len("Code: ")) {
			break
		}
		code, err := strconv.ParseInt(rest[head[2]:head[3]], 10, 32)
		if err != nil {
			break
		}
		if e.Code == codeUnknown {
			e.Code = int32(code)
		}
		rest = rest[head[1]:]
	}
	for {
		short := errorTail.ReplaceAllString(rest, "")
		if short == rest {
			break
		}
		rest = short
	}
	e.Message = strings.TrimSpace(rest)
	return e
}
