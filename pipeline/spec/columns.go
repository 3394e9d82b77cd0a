package spec

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/millrace/millrace/internal/config"
)

// leastSalt is how long a salt must be at least: whoever has the hashes and can guess it can
// guess the values.
const leastSalt = 16

// columns checks what a file keeps back of a table.
func (r *reader) columns(f *file, table string, n *yaml.Node) {
	path := "tables." + table + ".columns"
	c := f.Tables[table].Columns
	if c == nil {
		if n != nil {
			r.issue(n, path, "says nothing", "write columns: {} for a table that leaves as it is")
		}
		return
	}
	seen := map[string]string{}
	lists := []struct {
		key   string
		names []string
	}{{"exclude", c.Exclude}, {"mask", c.Mask}, {"hash", c.Hash}}
	for _, l := range lists {
		for _, name := range l.names {
			at := config.Child(n, l.key)
			folded := strings.ToLower(name)
			switch {
			case name == "":
				r.issue(at, path+"."+l.key, "names a column without a name", "")
			case seen[folded] != "":
				r.issue(at, path+"."+l.key, fmt.Sprintf("the column %s stands in %s already", name, seen[folded]), "name it once")
			}
			seen[folded] = l.key
		}
	}
	for _, key := range f.Tables[table].Key {
		if in := seen[strings.ToLower(key)]; in != "" {
			r.issue(config.Child(n, in), path+"."+in, fmt.Sprintf("the column %s is of the table's key", key),
				"a column of the key leaves as it is, or the table does not")
		}
	}
	if len(c.Hash) > 0 && len(f.HashSalt) < leastSalt {
		r.issue(r.at("hash_salt"), "hash_salt", fmt.Sprintf("must have at least %d characters where columns are hashed", leastSalt),
			"take it from the environment: hash_salt: ${MILLRACE_HASH_SALT}")
	}
}

// sameTable refuses names that differ in case only: which of them counts would depend on the
// server.
func (r *reader) sameTable(names []string) {
	seen := map[string]string{}
	for _, name := range names {
		folded := strings.ToLower(name)
		if other := seen[folded]; other != "" {
			r.issue(config.Child(r.at("tables"), name), "tables."+name, "is "+other+" in other letters", "name the table once")
		}
		seen[folded] = name
	}
}
