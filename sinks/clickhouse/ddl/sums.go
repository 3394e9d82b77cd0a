package ddl

import (
	"fmt"
	"strings"
)

// Sums compares the rows that a view shows with what the rows of a table of halves add up to.
type Sums struct {
	Shown *View
	Of    Name // the table of halves
	// Columns are as many as the view's, in the same order.
	Columns []SumColumn
}

// SumColumn is a column of the table of halves: how the view's value, From, is written there.
type SumColumn struct {
	Name, Type string
	From       string // an expression over the view's column, as ShownColumn names it
}

// ShownColumn names a column of the view in an expression.
func ShownColumn(name string) string { return "_v." + Ident(name) }

// settledMemory is from where on the server groups on its disk.
const settledMemory = 1 << 30

// both are the view's rows, and those of the table of halves with their signs turned: what is
// right adds up to nothing.
func (s *Sums) both() string {
	var shown, summed []string
	for i, c := range s.Columns {
		shown = append(shown, fmt.Sprintf("CAST(%s, %s) AS _c%d", c.From, String(c.Type), i))
		summed = append(summed, fmt.Sprintf("_s.%s AS _c%d", Ident(c.Name), i))
	}
	return fmt.Sprintf("SELECT %s, toInt64(1) AS _d FROM (%s) AS _v UNION ALL "+
		"SELECT %s, -toInt64(_s.%s) AS _d FROM %s AS _s",
		strings.Join(shown, ", "), s.Shown.query(), strings.Join(summed, ", "), Ident(Sign), s.Of)
}

func (s *Sums) short() string {
	var out []string
	for i := range s.Columns {
		out = append(out, fmt.Sprintf("_c%d", i))
	}
	return strings.Join(out, ", ")
}

// Differ says in one row of one number whether there is a difference: 0 is none. It reads both
// sides once and holds neither. Hashes that are added up miss one difference in 2^64.
func (s *Sums) Differ() string {
	return fmt.Sprintf("SELECT toUInt8(sum(_d) != 0 OR sum(_d * reinterpretAsInt64(cityHash64(tuple(%s)))) != 0) FROM (%s)",
		s.short(), s.both())
}

// Insert writes the difference into the table of halves: what the view shows and the sums lack
// with +1, what they have too many with −1. Each is a row under the number seq, of no queue.
func (s *Sums) Insert(seq uint64, q uint16, generation uint64) string {
	var names []string
	for _, c := range s.Columns {
		names = append(names, Ident(c.Name))
	}
	cols := s.short()
	return fmt.Sprintf("INSERT INTO %s (%s, %s) SELECT %s, toInt8(sign(_n)), toUInt64(%d), toUInt16(%d), toUInt64(%d), now64(6, 'UTC') "+
		"FROM (SELECT %s, sum(_d) AS _n FROM (%s) GROUP BY %s HAVING _n != 0) ARRAY JOIN range(toUInt64(abs(_n))) AS _i "+
		"SETTINGS max_bytes_before_external_group_by = %d",
		s.Of, strings.Join(names, ", "), idents([]string{Sign, Seq, Q, Gen, Ts}), cols, seq, q, generation, cols, s.both(), cols, settledMemory)
}
