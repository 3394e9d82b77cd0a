package ddl

import (
	"fmt"
	"slices"
	"strings"
)

// The columns that every table has beside those of its source.
const (
	Seq  = "_seq"  // number of the change; the version of a row
	Del  = "_del"  // 1 for a deleted row
	Sign = "_sign" // of tables without a key: +1 came, −1 went
	Q    = "_q"    // number of the queue in the ledger
	Gen  = "_gen"  // generation of the owner that wrote the row
	Ts   = "_ts"   // commit in the source
)

// Column is a column of a table.
type Column struct {
	Name, Type, Default, Comment string
}

func (c Column) text() string {
	s := Ident(c.Name) + " " + c.Type
	if c.Default != "" {
		s += " DEFAULT " + c.Default
	}
	if c.Comment != "" {
		s += " COMMENT " + String(c.Comment)
	}
	return s
}

// Table is a table that the sink writes.
type Table struct {
	Name    Name
	Control string // the control database
	Target  string // its key in the bookkeeping
	Columns []Column
	// Key is the sorting key; without one the table holds changes with signs.
	Key      []string
	Settings map[string]string
}

// Keyless reports whether rows have no key.
func (t *Table) Keyless() bool { return len(t.Key) == 0 }

// Technical are the columns beside the source's.
func Technical(keyless bool) []Column {
	what := Column{Name: Del, Type: "UInt8"}
	if keyless {
		what = Column{Name: Sign, Type: "Int8"}
	}
	return []Column{{Name: Seq, Type: "UInt64"}, what, {Name: Q, Type: "UInt16"}, {Name: Gen, Type: "UInt64"}, {Name: Ts, Type: "DateTime64(6, 'UTC')"}}
}

// Create makes the table.
func (t *Table) Create() string {
	var parts []string
	for _, c := range append(slices.Clone(t.Columns), Technical(t.Keyless())...) {
		parts = append(parts, c.text())
	}
	parts = append(parts, fmt.Sprintf("INDEX _seq_range %s TYPE minmax GRANULARITY 1", Ident(Seq)), constraints(t.Control, String(t.Target)))
	engine, order := fmt.Sprintf("ReplacingMergeTree(%s, %s)", Ident(Seq), Ident(Del)), idents(t.Key)
	if t.Keyless() {
		engine, order = fmt.Sprintf("ReplacingMergeTree(%s)", Ident(Seq)), Ident(Seq)
	}
	return fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (%s) ENGINE = %s ORDER BY (%s)%s", t.Name, strings.Join(parts, ", "), engine, order, settings(t.Settings))
}

// Add adds a column.
func Add(table Name, c Column) string {
	return fmt.Sprintf("ALTER TABLE %s ADD COLUMN IF NOT EXISTS %s", table, c.text())
}

func idents(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = Ident(n)
	}
	return strings.Join(out, ", ")
}

func settings(m map[string]string) string {
	if len(m) == 0 {
		return ""
	}
	var parts []string
	for k, v := range m {
		parts = append(parts, k+" = "+v)
	}
	slices.Sort(parts)
	return " SETTINGS " + strings.Join(parts, ", ")
}
