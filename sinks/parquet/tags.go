package parquet

import (
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/millrace/millrace/sinks/delta"
)

// formatTag is the tag of a file that says how its columns are encoded. Files of the sink's
// without it hold text as DELTA_LENGTH_BYTE_ARRAY, which Spark up to 3.5.6 misreads beside
// NULLs; they are written anew bit by bit.
const (
	formatTag = "millrace.format"
	formatNow = "2"
)

// Other tags of the sink's files.
const (
	// rowsTag is the number of rows of a file.
	rowsTag = "millrace.rows"
	// columnsTag tells files with the same columns: a file that lacks a column means
	// something else than one that has NULL in it.
	columnsTag = "millrace.columns"
)

// isAged reports whether the sink wrote a file in an older format. Files of other programs
// have no tags at all.
func isAged(a *delta.Add) bool {
	return a.Tags[rowsTag] != "" && a.Tags[formatTag] != formatNow
}

func hasAged(s *delta.Snapshot) bool {
	for _, a := range s.Files {
		if isAged(a) {
			return true
		}
	}
	return false
}

// columnsText identifies the columns of a file.
func columnsText(leaves []leafSpec) string {
	var b strings.Builder
	for i := range leaves {
		b.WriteString(leaves[i].name)
		b.WriteByte(0)
	}
	return strconv.FormatUint(xxhash.Sum64String(b.String()), 16)
}
