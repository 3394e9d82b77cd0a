package file

import (
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/millrace/millrace/sinks/delta"
)

// TagFormat is the tag of a file that says how its columns are encoded. Files of the sink's
// without it hold text as DELTA_LENGTH_BYTE_ARRAY, which Spark up to 3.5.6 misreads beside
// NULLs; those of format 2, and they, hold whole numbers and times as DELTA_BINARY_PACKED, which
// it misreads where page indexes let it leave values out. Both are written anew bit by bit.
const (
	TagFormat = "millrace.format"
	FormatNow = "3"
)

// Other tags of the sink's files.
const (
	// TagRows is the number of rows of a file.
	TagRows = "millrace.rows"
	// TagColumns tells files with the same columns: a file that lacks a column means
	// something else than one that has NULL in it.
	TagColumns = "millrace.columns"
)

// IsAged reports whether the sink wrote a file in an older format. Files of other programs
// have no tags at all.
func IsAged(a *delta.Add) bool {
	return a.Tags[TagRows] != "" && a.Tags[TagFormat] != FormatNow
}

// HasAged reports whether a table has such a file.
func HasAged(s *delta.Snapshot) bool {
	for _, a := range s.Files {
		if IsAged(a) {
			return true
		}
	}
	return false
}

// Fingerprint identifies the columns of a file.
func Fingerprint(leaves []Leaf) string {
	var b strings.Builder
	for i := range leaves {
		b.WriteString(leaves[i].Name)
		b.WriteByte(0)
	}
	return strconv.FormatUint(xxhash.Sum64String(b.String()), 16)
}
