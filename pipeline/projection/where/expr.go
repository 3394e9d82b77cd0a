package where

import (
	"encoding/hex"
	"slices"
	"strings"
)

// Expr is a condition that was read. It is immutable.
type Expr struct {
	root    node
	columns []string
}

// node is an and, or, not or *test.
type node any

type (
	and []node
	or  []node
	not struct{ of node }
)

// test compares a column with constants.
type test struct {
	column string
	binary bool // BINARY column: text by its characters
	op     op
	// args: one of a comparison and LIKE, two of BETWEEN, any number of IN.
	args   []constant
	escape string // of LIKE, one character or none
	at     int
}

// op is what a test asks.
type op uint8

const (
	equal op = iota
	unequal
	less
	lessEqual
	greater
	greaterEqual
	in
	between
	like
	isNull
)

var ops = map[string]op{"=": equal, "<>": unequal, "!=": unequal, "<": less, "<=": lessEqual, ">": greater, ">=": greaterEqual}

func (o op) String() string {
	return [...]string{"=", "<>", "<", "<=", ">", ">=", "IN", "BETWEEN", "LIKE", "IS NULL"}[o]
}

// constant is a literal.
type constant struct {
	kind kind   // number, str or bytesLiteral
	text string // of numbers with its sign
}

// Columns are the names of columns in the condition, each once, in its order.
func (e *Expr) Columns() []string { return slices.Clone(e.columns) }

// String is the condition in one form: conditions that differ in blanks, in the case of
// names and keywords, or in parentheses that change nothing have the same.
func (e *Expr) String() string {
	var b strings.Builder
	write(&b, e.root, 0)
	return b.String()
}

// UnmarshalText reads what Parse reads, and MarshalText writes it in its one form.
func (e *Expr) UnmarshalText(text []byte) error {
	read, err := Parse(string(text))
	if err == nil {
		*e = *read
	}
	return err
}

// MarshalText implements encoding.TextMarshaler.
func (e *Expr) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// write writes a node; within is how tightly its surroundings bind: 1 OR, 2 AND, 3 NOT.
func write(b *strings.Builder, n node, within int) {
	list := func(nodes []node, word string, binds int) {
		if within >= binds {
			b.WriteByte('(')
		}
		for i, x := range nodes {
			if i > 0 {
				b.WriteString(word)
			}
			write(b, x, binds)
		}
		if within >= binds {
			b.WriteByte(')')
		}
	}
	switch n := n.(type) {
	case or:
		list(n, " OR ", 1)
	case and:
		list(n, " AND ", 2)
	case not:
		b.WriteString("NOT ")
		write(b, n.of, 3)
	case *test:
		n.write(b)
	}
}

func (t *test) write(b *strings.Builder) {
	if t.binary {
		b.WriteString("BINARY ")
	}
	b.WriteString("`" + strings.ReplaceAll(strings.ToLower(t.column), "`", "``") + "` " + t.op.String())
	switch t.op {
	case isNull:
	case in:
		b.WriteString(" (")
		for i, c := range t.args {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(c.String())
		}
		b.WriteByte(')')
	case between:
		b.WriteString(" " + t.args[0].String() + " AND " + t.args[1].String())
	default:
		b.WriteString(" " + t.args[0].String())
	}
	if t.escape != "" {
		b.WriteString(" ESCAPE '" + strings.ReplaceAll(t.escape, "'", "''") + "'")
	}
}

func (c constant) String() string {
	switch c.kind {
	case str:
		return "'" + strings.ReplaceAll(c.text, "'", "''") + "'"
	case bytesLiteral:
		return "x'" + hex.EncodeToString([]byte(c.text)) + "'"
	}
	return c.text
}
