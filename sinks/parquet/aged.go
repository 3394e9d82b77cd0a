package parquet

import (
	"slices"

	"github.com/millrace/millrace/sinks/delta"
)

// formatTag is the tag of a file that says how its columns are encoded. Files of the sink's
// without it hold text as DELTA_LENGTH_BYTE_ARRAY, which Spark up to 3.5.6 misreads beside
// NULLs; they are written anew bit by bit.
const (
	formatTag = "millrace.format"
	formatNow = "2"
)

// agedBytes is about how much of current/ one merge writes anew for its format alone.
const agedBytes = 64 << 20

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

// renewals are groups that a merge writes anew though nothing in them changes.
func renewals(groups []group) map[*group]bool {
	due, size := map[*group]bool{}, int64(0)
	for i := range groups {
		g := &groups[i]
		if size >= agedBytes {
			break
		}
		if !slices.ContainsFunc(g.files, isAged) {
			continue
		}
		due[g] = true
		for _, a := range g.files {
			size += a.Size
		}
	}
	return due
}
