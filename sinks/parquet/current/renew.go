package current

import (
	"slices"

	"github.com/millrace/millrace/sinks/parquet/file"
)

// agedBytes is about how much of current/ one merge writes anew for its format alone.
const agedBytes = 64 << 20

// renewals are groups that a merge writes anew though nothing in them changes.
func renewals(groups []group) map[*group]bool {
	due, size := map[*group]bool{}, int64(0)
	for i := range groups {
		g := &groups[i]
		if size >= agedBytes {
			break
		}
		if !slices.ContainsFunc(g.files, file.IsAged) {
			continue
		}
		due[g] = true
		for _, a := range g.files {
			size += a.Size
		}
	}
	return due
}
