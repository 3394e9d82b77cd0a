package projection

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/projection/where"
)

// Rule is what is made of a table. A rule that names no column says that the table leaves as
// it is, also where it looks like a copy of one that does not.
type Rule struct {
	Exclude, Mask, Hash []string
	// Where is the condition that rows must meet to leave; nil is none.
	Where *where.Expr
	// Silent says that nothing is said of the table's columns, not even that all of them
	// may leave.
	Silent bool
}

// Rules are those of a pipeline, by table as "db.table", and the key of its hashes.
type Rules struct {
	Tables map[string]Rule
	Salt   string
}

// action is what happens to a column.
type action uint8

const (
	keep action = iota
	exclude
	mask
	hash
)

func (a action) String() string { return [...]string{"keep", "exclude", "mask", "hash"}[a] }

// rule is a Rule with what belongs to it.
type rule struct {
	table   string // as the configuration names it
	actions []named
	where   *where.Expr
	unsaid  bool
	salt    []byte
	// text says what the rule is, for the schema: the same text is the same rule.
	text string
}

type named struct {
	column string
	action action
}

// of finds a table's rule. Servers differ in whether names of tables have case, and a rule
// that is missed is a leak: here they have none.
func (r Rules) of(t event.TableName) *rule {
	for name, one := range r.Tables {
		if strings.EqualFold(name, t.String()) {
			return r.compile(name, one)
		}
	}
	return nil
}

func (r Rules) compile(name string, one Rule) *rule {
	out := &rule{table: name, where: one.Where, unsaid: one.Silent, salt: []byte(r.Salt)}
	for a, columns := range [][]string{exclude: one.Exclude, mask: one.Mask, hash: one.Hash} {
		for _, c := range columns {
			out.actions = append(out.actions, named{c, action(a)})
		}
	}
	out.text = r.describe(one)
	return out
}

// describe is a rule as text. The salt is in it as a keyed digest of a constant.
func (r Rules) describe(one Rule) string {
	if len(one.Exclude)+len(one.Mask)+len(one.Hash) == 0 && one.Where == nil {
		return ""
	}
	sorted := func(names []string) []string {
		names = slices.Clone(names)
		slices.Sort(names)
		return names
	}
	form := struct {
		Exclude []string `json:"exclude,omitempty"`
		Mask    []string `json:"mask,omitempty"`
		Hash    []string `json:"hash,omitempty"`
		Salt    string   `json:"salt,omitempty"`
		Where   string   `json:"where,omitempty"`
	}{Exclude: sorted(one.Exclude), Mask: sorted(one.Mask), Hash: sorted(one.Hash)}
	if one.Where != nil {
		form.Where = one.Where.String()
	}
	if len(one.Hash) > 0 {
		m := hmac.New(sha256.New, []byte(r.Salt))
		m.Write([]byte("which salt is in force"))
		form.Salt = hex.EncodeToString(m.Sum(nil)[:8])
	}
	text, err := json.Marshal(form)
	if err != nil {
		panic("BUG: names that JSON cannot hold: " + err.Error())
	}
	return string(text)
}

// InForce is what a pipeline's checkpoint keeps of the rules, by table; nil where there are
// none.
func (r Rules) InForce() map[string]json.RawMessage {
	var out map[string]json.RawMessage
	for name, one := range r.Tables {
		if text := r.describe(one); text != "" {
			if out == nil {
				out = map[string]json.RawMessage{}
			}
			out[name] = json.RawMessage(text)
		}
	}
	return out
}

// Any reports whether a column or a row of any table is kept back.
func (r Rules) Any() bool { return len(r.InForce()) > 0 }

// protects reports whether the rule keeps columns or rows back.
func (r *rule) protects() bool { return r != nil && (len(r.actions) > 0 || r.where != nil) }

// silent reports whether the rule does not say which columns may leave.
func (r *rule) silent() bool { return r == nil || r.unsaid }

// columns are those that the rule speaks of.
func (r *rule) columns() (names []string) {
	for _, n := range r.actions {
		names = append(names, n.column)
	}
	if r.where != nil {
		names = append(names, r.where.Columns()...)
	}
	return names
}

// actionOf is what happens to a column. Names of columns have no case.
func (r *rule) actionOf(column string) action {
	if r != nil {
		for _, n := range r.actions {
			if strings.EqualFold(n.column, column) {
				return n.action
			}
		}
	}
	return keep
}

// column is what a rule needs to know of one, from a definition or from a reader.
type column struct {
	name, native string
	key          bool // of the primary key, or one that chooses the queue
	charset      string
	definition   *event.Column // nil where a reader tells of it
}

// faults says what a rule asks for that can't be had of a table with these columns. Columns
// that missing permits need not be there.
func (r *rule) faults(columns []column, missing func(string) bool) string {
	var all []string
	for _, n := range r.actions {
		at := slices.IndexFunc(columns, func(c column) bool { return strings.EqualFold(c.name, n.column) })
		if at < 0 {
			if !missing(n.column) {
				all = append(all, fmt.Sprintf("there is no column %s, which tables.%s.columns.%s names", n.column, r.table, n.action))
			}
			continue
		}
		c := columns[at]
		switch k := kindOf(c.native); {
		case c.key:
			all = append(all, fmt.Sprintf("the column %s, which tables.%s.columns.%s names, is of the table's key: without its values "+
				"rows can't be told apart",
				c.name, r.table, n.action))
		case n.action == mask && !k.masked():
			all = append(all, fmt.Sprintf("the column %s is %s, for which there is no value to mask it with: exclude it", c.name, bare(c.native)))
		case n.action == hash && !k.hashed():
			all = append(all, fmt.Sprintf("the column %s is %s, and only texts, binary strings and whole numbers are hashed: exclude or mask it",
				c.name, bare(c.native)))
		}
	}
	if _, why := r.filter(columns); why != "" {
		all = append(all, why)
	}
	left := slices.ContainsFunc(columns, func(c column) bool { return r.actionOf(c.name) != exclude })
	if len(columns) > 0 && !left {
		all = append(all, "no column is left")
	}
	return strings.Join(all, "; ")
}

// filter is the rule's condition on rows of these columns, nil where it has none, or what
// of it can't be asked of them.
func (r *rule) filter(columns []column) (*where.Filter, string) {
	if r == nil || r.where == nil {
		return nil, ""
	}
	of := make([]where.Column, len(columns))
	for i, c := range columns {
		of[i] = where.Column{Name: c.name, Native: c.native, Charset: c.charset, Definition: c.definition}
		if c.definition != nil {
			of[i].Native = c.definition.Native
		}
	}
	f, faults := r.where.Bind(of)
	for i, why := range faults {
		faults[i] = why + fmt.Sprintf(" (tables.%s.where)", r.table)
	}
	return f, strings.Join(faults, "; ")
}

// bare is a type without what stands in parentheses: members of an ENUM are values.
func bare(native string) string {
	word, _, _ := strings.Cut(native, "(")
	return strings.TrimSpace(word)
}
