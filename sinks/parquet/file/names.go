package file

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Technical columns of changes/. current/ has _seq only.
const (
	ColSeq   = "_seq"
	ColOp    = "_op"
	ColSrc   = "_src"
	ColQ     = "_q"
	colTs    = "_ts"
	colGen   = "_gen"
	colBelow = "_below"
	ColDate  = "_dt" // the partition column of changes/, not in the files
)

func isTechnical(lower string) bool {
	switch lower {
	case ColSeq, ColOp, ColSrc, ColQ, colTs, colGen, colBelow, ColDate:
		return true
	}
	return false
}

// ColumnName is the name under which a source column stands in the target: its own,
// unless it is a technical one or holds characters that Delta without column mapping
// refuses; those are written as %HH.
func ColumnName(source string) string {
	var b strings.Builder
	for i, r := range source {
		switch {
		case strings.ContainsRune(" ,;{}()=%.`", r), r < ' ', r == 0x7f, i == 0 && r == '_' && isTechnical(strings.ToLower(source)):
			fmt.Fprintf(&b, "%%%02X", r)
		case r == utf8.RuneError:
			b.WriteString("%EF%BF%BD")
		default:
			b.WriteRune(r)
		}
	}
	if b.Len() == 0 {
		return "%"
	}
	return b.String()
}

// RawSuffix is what the column of a date's text is called beyond the date's own name.
const RawSuffix = "__raw"
