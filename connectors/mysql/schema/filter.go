package schema

import (
	"fmt"
	"strings"

	"github.com/millrace/millrace/pipeline/event"
)

// Filter is a list of table patterns. The zero Filter matches nothing.
type Filter struct{ rules []rule }

type rule struct {
	db, table string
	out       bool
}

// systemDBs are never captured, whatever the patterns say.
var systemDBs = [...]string{"mysql", "information_schema", "performance_schema", "sys"}

// ParseFilter reads patterns like "shop.*" and "!shop.audit_*". The first dot divides
// database and table; * stands for any run of characters in either.
func ParseFilter(patterns []string) (Filter, error) {
	var f Filter
	for _, p := range patterns {
		text, out := strings.CutPrefix(p, "!")
		db, table, ok := strings.Cut(text, ".")
		if !ok || db == "" || table == "" {
			return Filter{}, fmt.Errorf("%q is not db.table; * stands for any run of characters, as in shop.*", p)
		}
		f.rules = append(f.rules, rule{db: db, table: table, out: out})
	}
	if len(f.rules) == 0 || allOut(f.rules) {
		return Filter{}, fmt.Errorf("no pattern takes a table in; write for example [\"shop.*\"]")
	}
	return f, nil
}

func allOut(rules []rule) bool {
	for _, r := range rules {
		if !r.out {
			return false
		}
	}
	return true
}

// Match reports whether the last pattern that names n takes it in.
func (f Filter) Match(n event.TableName) bool {
	for _, db := range systemDBs {
		if strings.EqualFold(db, n.DB) {
			return false
		}
	}
	in := false
	for _, r := range f.rules {
		if matchPattern(r.db, n.DB) && matchPattern(r.table, n.Table) {
			in = !r.out
		}
	}
	return in
}

// matchPattern matches s against a pattern in which * is any run of characters.
func matchPattern(pattern, s string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == s
	}
	if !strings.HasPrefix(s, head) {
		return false
	}
	s = s[len(head):]
	for {
		mid, next, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(s, rest)
		}
		i := strings.Index(s, mid)
		if i < 0 {
			return false
		}
		s, rest = s[i+len(mid):], next
	}
}
