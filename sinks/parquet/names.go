package parquet

import (
	"fmt"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/millrace/millrace/pipeline/event"
)

// maxDirName keeps a table's directory below what file systems take for one name.
const maxDirName = 200

// DirName is the directory of a table below its pipeline's: <db>.<table>, in each of which
// the bytes [A-Za-z0-9_] stay and every other is -HH, as in topic names. One longer than 200
// bytes is cut and ended by "--" and the 16 hex digits of the whole name's xxh64.
// (Percent signs will not do: delta-rs takes %HH in a directory's name for an escape of its
// own and does not find the table.)
func DirName(t event.TableName) string {
	name := encodeName(t.DB) + "." + encodeName(t.Table)
	if len(name) <= maxDirName {
		return name
	}
	cut := maxDirName - 18
	for i := 1; i <= 2; i++ { // not inside an escape
		if name[cut-i] == '-' {
			cut -= i
			break
		}
	}
	return fmt.Sprintf("%s--%016x", name[:cut], xxhash.Sum64String(name))
}

func encodeName(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "-%02X", c)
		}
	}
	return b.String()
}
