package ddl

import (
	"fmt"
	"slices"
	"strings"
)

// The columns that every table has beside those of its source.
const (
	Seq   = "_seq"   // number of the change; the version of a row
	Del   = "_del"   // 1 for a deleted row
	Sign  = "_sign"  // of tables without a key, and of halves: +1 came, −1 went
	Op    = "_op"    // of a changelog: c, u, d, r, x
	Q     = "_q"     // number of the queue in the ledger
	Gen   = "_gen"   // generation of the owner that wrote the row
	Ts    = "_ts"    // commit in the source
	Tx    = "_tx"    // of a changelog: the source's transaction
	Below = "_below" // of a changelog's x: rows with lower numbers are gone

	DeletedAt = "_deleted_at" // of rows that were kept though they went: when they did
)

// Layout is what the rows of a table are.
type Layout uint8

// The layouts.
const (
	Versions Layout = iota // of rows under a key: the newest one stands
	Signs                  // changes of a table without a key, that add up to its rows
	Changes                // a changelog: each change is one row
	Halves                 // of changes, each once: what went and what came, that add up to the rows
)

// OpType is the type of a changelog's operations; Ops are their numbers in it.
const OpType = "Enum8('c' = 1, 'u' = 2, 'd' = 3, 'r' = 4, 'x' = 5)"

// Ops are the operations by number, from 1 on.
const Ops = " cudrx"

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
	Layout  Layout
	// Key is the sorting key of versions.
	Key []string
	// PartitionBy and TTL are expressions over the table's columns, "" for none.
	PartitionBy, TTL string
	Settings         map[string]string
}

// Technical are the columns beside the source's.
func Technical(l Layout) []Column {
	what, more := Column{Name: Del, Type: "UInt8"}, []Column(nil)
	switch l {
	case Signs, Halves:
		what = Column{Name: Sign, Type: "Int8"}
	case Changes:
		what, more = Column{Name: Op, Type: OpType}, []Column{{Name: Tx, Type: "String"}, {Name: Below, Type: "UInt64"}}
	}
	columns := []Column{{Name: Seq, Type: "UInt64"}, what, {Name: Q, Type: "UInt16"}, {Name: Gen, Type: "UInt64"},
		{Name: Ts, Type: "DateTime64(6, 'UTC')"}}
	return append(columns, more...)
}

// Engine is the table's engine.
func (t *Table) Engine() string {
	switch t.Layout {
	case Signs:
		return fmt.Sprintf("ReplacingMergeTree(%s)", Ident(Seq))
	case Changes, Halves:
		return "MergeTree"
	}
	return fmt.Sprintf("ReplacingMergeTree(%s, %s)", Ident(Seq), Ident(Del))
}

// Sorting are the columns that the table is sorted by.
func (t *Table) Sorting() []string {
	if t.Layout == Versions {
		return t.Key
	}
	return []string{Seq}
}

// Create makes the table.
func (t *Table) Create() string {
	var parts []string
	for _, c := range append(slices.Clone(t.Columns), Technical(t.Layout)...) {
		parts = append(parts, c.text())
	}
	parts = append(parts, fmt.Sprintf("INDEX _seq_range %s TYPE minmax GRANULARITY 1", Ident(Seq)), constraints(t.Control, String(t.Target)))
	s := fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (%s) ENGINE = %s", t.Name, strings.Join(parts, ", "), t.Engine())
	if t.PartitionBy != "" {
		s += " PARTITION BY " + t.PartitionBy
	}
	s += fmt.Sprintf(" ORDER BY (%s)", idents(t.Sorting()))
	if t.TTL != "" {
		s += " TTL " + t.TTL
	}
	return s + settings(t.Settings)
}

// Add adds a column.
func Add(table Name, c Column) string {
	return fmt.Sprintf("ALTER TABLE %s ADD COLUMN IF NOT EXISTS %s", table, c.text())
}

// Idents are names as a statement lists them.
func Idents(names []string) string { return idents(names) }

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
