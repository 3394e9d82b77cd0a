package where

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// truth is one of SQL's three values, in the order in which AND is the least and OR the
// greatest.
type truth int8

const (
	no truth = iota
	unknown
	yes
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// Filter is a condition on rows of certain columns. It is immutable.
type Filter struct{ root branch }

// branch is a condition that was bound: join is AND, OR, NOT, or a leaf.
type branch struct {
	join joint
	of   []branch
	leaf *leaf
}

type joint uint8

const (
	joinAnd joint = iota
	joinOr
	joinNot
	joinNone
)

// leaf is a test that was bound to its column.
type leaf struct {
	name       string
	column     int
	typ        typ
	definition *event.Column
	op         op
	bounds     []bound
	pattern    []string // of LIKE: what stands between the % signs
}

// Row reports whether a row leaves. The values are those of all columns that the filter was
// bound to, in their order, as event.Values gives them.
func (f *Filter) Row(values []event.Value) bool {
	return f.root.eval(func(l *leaf) truth {
		v := values[l.column]
		if v == nil {
			return l.null()
		}
		if l.op == isNull {
			return no
		}
		return l.holds(l.fromValue(v))
	}) == yes
}

// Cells is Row for what a reader shows.
func (f *Filter) Cells(cells []pipeline.Cell) (bool, error) {
	var failed error
	got := f.root.eval(func(l *leaf) truth {
		c := cells[l.column]
		if c.Null {
			return l.null()
		}
		if l.op == isNull {
			return no
		}
		d, err := l.fromCell(c)
		if err != nil {
			failed = err
			return unknown
		}
		return l.holds(d)
	})
	return got == yes, failed
}

func (b *branch) eval(leaf func(*leaf) truth) truth {
	switch b.join {
	case joinNone:
		return leaf(b.leaf)
	case joinNot:
		return yes - b.of[0].eval(leaf)
	}
	out := yes
	if b.join == joinOr {
		out = no
	}
	for i := range b.of {
		got := b.of[i].eval(leaf)
		if b.join == joinAnd {
			out = min(out, got)
		} else {
			out = max(out, got)
		}
	}
	return out
}

func (t *leaf) null() truth {
	if t.op == isNull {
		return yes
	}
	return unknown
}

// holds is what a test says of a value.
func (t *leaf) holds(d datum) truth {
	switch t.op {
	case like:
		return truthOf(t.matches(d.b))
	case in:
		for i := range t.bounds {
			if t.compare(d, &t.bounds[i]) == 0 {
				return yes
			}
		}
		return no
	case between:
		return truthOf(t.compare(d, &t.bounds[0]) >= 0 && t.compare(d, &t.bounds[1]) <= 0)
	}
	c := t.compare(d, &t.bounds[0])
	// as op counts them
	return truthOf([...]bool{equal: c == 0, unequal: c != 0, less: c < 0, lessEqual: c <= 0, greater: c > 0, greaterEqual: c >= 0}[t.op])
}

func (t *leaf) compare(d datum, b *bound) int {
	switch t.typ.class {
	case whole:
		return compareWhole(d, b)
	case decimal:
		return compareDecimal(d.b, b.b)
	case float, double:
		return cmp.Compare(d.f, b.f)
	case date, datetime:
		return cmp.Compare(d.n, b.n)
	case timestamp, clock:
		return cmp.Compare(d.i, b.i)
	}
	return bytes.Compare(d.b, b.b)
}

// compareWhole compares a whole number with one that may have a fraction or be beyond it.
func compareWhole(d datum, b *bound) int {
	away := 1 // what the constant is to a value that is nearer to zero
	if b.negative {
		away = -1
	}
	if b.beyond {
		return -away
	}
	if d.n != 0 && b.n != 0 && d.negative != b.negative || d.n == 0 || b.n == 0 {
		if c := cmp.Compare(signOf(d.negative, d.n), signOf(b.negative, b.n)); c != 0 {
			return c
		}
		if b.fraction {
			return -away
		}
		return 0
	}
	c := cmp.Compare(d.n, b.n)
	if b.negative {
		c = -c
	}
	if c == 0 && b.fraction {
		return -away
	}
	return c
}

func signOf(negative bool, n uint64) int {
	switch {
	case n == 0:
		return 0
	case negative:
		return -1
	}
	return 1
}

// compareDecimal compares decimals as texts.
func compareDecimal(a, b []byte) int {
	x, y := splitDecimal(a), splitDecimal(b)
	if c := cmp.Compare(x.sign, y.sign); c != 0 || x.sign == 0 {
		return c
	}
	c := cmp.Compare(len(x.front), len(y.front))
	if c == 0 {
		if c = bytes.Compare(x.front, y.front); c == 0 {
			c = bytes.Compare(x.back, y.back)
		}
	}
	return c * x.sign
}

type digits struct {
	sign        int
	front, back []byte
}

func splitDecimal(text []byte) digits {
	d := digits{sign: 1}
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		if text[0] == '-' {
			d.sign = -1
		}
		text = text[1:]
	}
	d.front, d.back, _ = bytes.Cut(text, []byte("."))
	d.front, d.back = bytes.TrimLeft(d.front, "0"), bytes.TrimRight(d.back, "0")
	if len(d.front)+len(d.back) == 0 {
		d.sign = 0
	}
	return d
}

// matches is LIKE with % alone.
func (t *leaf) matches(text []byte) bool {
	last := len(t.pattern) - 1
	if last == 0 {
		return string(text) == t.pattern[0]
	}
	rest, ok := bytes.CutPrefix(text, []byte(t.pattern[0]))
	if !ok {
		return false
	}
	for _, part := range t.pattern[1:last] {
		at := bytes.Index(rest, []byte(part))
		if at < 0 {
			return false
		}
		rest = rest[at+len(part):]
	}
	return bytes.HasSuffix(rest, []byte(t.pattern[last]))
}

// Bind makes a filter of a condition for rows of these columns. faults says, each for
// itself, what of the condition can't be answered of them; then there is no filter.
func (e *Expr) Bind(columns []Column) (f *Filter, faults []string) {
	b := binder{columns: columns}
	root := b.bind(e.root)
	if len(b.faults) > 0 {
		return nil, b.faults
	}
	return &Filter{root}, nil
}

type binder struct {
	columns []Column
	faults  []string
}

func (b *binder) fail(format string, a ...any) {
	if why := fmt.Sprintf(format, a...); !slices.Contains(b.faults, why) {
		b.faults = append(b.faults, why)
	}
}

func (b *binder) bind(n node) branch {
	many := func(nodes []node, how joint) branch {
		out := branch{join: how}
		for _, x := range nodes {
			out.of = append(out.of, b.bind(x))
		}
		return out
	}
	switch n := n.(type) {
	case and:
		return many(n, joinAnd)
	case or:
		return many(n, joinOr)
	case not:
		return many([]node{n.of}, joinNot)
	case *test:
		return branch{join: joinNone, leaf: b.leaf(n)}
	}
	panic("BUG: a condition of no kind")
}

func (b *binder) leaf(t *test) *leaf {
	at := slices.IndexFunc(b.columns, func(c Column) bool { return strings.EqualFold(c.Name, t.column) })
	if at < 0 {
		b.fail("there is no column %s", t.column)
		return nil
	}
	c := b.columns[at]
	l := &leaf{name: c.Name, column: at, typ: typeOf(c), definition: c.Definition, op: t.op}
	if t.op == isNull {
		return l
	}
	if why := l.typ.refuses(t, c); why != "" {
		b.fail("the column %s %s", c.Name, why)
		return nil
	}
	if t.op == like {
		l.pattern = strings.Split(t.args[0].text, "%")
		if t.escape != "" {
			l.pattern = unescaped(t.args[0].text, t.escape[0])
		}
		return l
	}
	for _, a := range t.args {
		x, err := l.typ.bound(a, t.binary)
		if err != nil {
			b.fail("the column %s %s", c.Name, err)
			return nil
		}
		// MySQL takes -1 and 18446744073709551615 for equal where a list mixes kinds of numbers.
		if t.op == in && l.typ.class == whole && (x.beyond || strings.Contains(a.text, ".")) {
			b.fail("the column %s is %s, and a list of IN for it has whole numbers of 64 bits, not %s", c.Name, l.typ.word, a)
			return nil
		}
		l.bounds = append(l.bounds, x)
	}
	return l
}

// unescaped cuts a pattern at its % signs.
func unescaped(pattern string, escape byte) []string {
	out := []string{""}
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == escape && i+1 < len(pattern):
			i++
			out[len(out)-1] += pattern[i : i+1]
		case c == '%':
			out = append(out, "")
		default:
			out[len(out)-1] += pattern[i : i+1]
		}
	}
	return out
}
