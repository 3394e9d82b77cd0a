package schema

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/millrace/millrace/pipeline/event"
)

// TestScripts runs testdata/script: each statement is applied to the tables that those
// before it left, and its changes are shown. Databases are shop (captured, without
// tables that begin with _) and other (not captured).
//
//	apply [mysql] [mode=(A,B)] [thread=n] [flag] [db=d] [lower]
//	routines [same]
//	table name
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/script", func(t *testing.T, path string) {
		w := &world{tables: map[event.TableName]*Current{}}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string { return w.command(t, d) })
	})
}

type world struct {
	tables    map[event.TableName]*Current
	temporary Temporary
	number    uint64
}

func (w *world) command(t *testing.T, d *datadriven.TestData) string {
	switch d.Cmd {
	case "apply":
		return w.apply(w.statement(t, d))
	case "routines":
		var out []string
		for _, n := range Routines(w.statement(t, d)) {
			out = append(out, n.String())
		}
		return strings.Join(out, "\n") + "\n"
	case "table":
		n, _ := event.ParseTableName(d.CmdArgs[0].Key)
		return show(w.tables[n]) + "\n"
	}
	t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
	return ""
}

var modes = map[string]Mode{"ANSI_QUOTES": ANSIQuotes, "REAL_AS_FLOAT": RealAsFloat, "NO_BACKSLASH_ESCAPES": NoBackslashEscapes,
	"PIPES_AS_CONCAT": PipesAsConcat,
	"IGNORE_SPACE":    IgnoreSpace, "HIGH_NOT_PRECEDENCE": HighNotPrecedence, "EMPTY_STRING_IS_NULL": EmptyStringIsNull, "MAXDB": MaxDB,
	"ORACLE": Oracle | PipesAsConcat | ANSIQuotes | IgnoreSpace, "ANSI": RealAsFloat | PipesAsConcat | ANSIQuotes | IgnoreSpace}

func (w *world) statement(t *testing.T, d *datadriven.TestData) Statement {
	w.number++
	s := Statement{SQL: d.Input, DB: "shop", Number: w.number, MariaDB: true, Version: VersionID("10.11.19-MariaDB"),
		Temporary: &w.temporary, Timestamps: On,
		Table:    func(n event.TableName) *Current { return w.tables[n] },
		Captures: func(n event.TableName) bool { return n.DB == "shop" && !strings.HasPrefix(n.Table, "_") },
		Tables:   w.names,
	}
	for _, a := range d.CmdArgs {
		switch a.Key {
		case "mysql":
			s.MariaDB, s.Version = false, VersionID("9.7.4")
		case "mode":
			for _, m := range a.Vals {
				if modes[m] == 0 {
					t.Fatalf("%s: unknown mode %s", d.Pos, m)
				}
				s.Mode |= modes[m]
			}
		case "thread":
			var n int
			a.Scan(t, 0, &n)
			s.Thread = uint32(n)
		case "flag":
			s.ThreadSpecific = true
		case "db":
			s.DB = a.Vals[0]
		case "lower":
			s.LowerCase = true
		case "timestamps":
			s.Timestamps = map[string]Setting{"off": Off, "unknown": NotKnown}[a.Vals[0]]
		case "unread":
			s.SQL += " \xff"
		case "again":
			w.number--
			s.Number--
		default:
			t.Fatalf("%s: unknown argument %s", d.Pos, a.Key)
		}
	}
	return s
}

func (w *world) names() (out []event.TableName) {
	for n := range w.tables {
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b event.TableName) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// apply applies a statement and tells of it. Of a table that must be read the old
// definition stays.
func (w *world) apply(s Statement) string {
	var b strings.Builder
	for _, c := range Apply(s) {
		fmt.Fprintf(&b, "%s %s", c.Kind, c.Table)
		if c.From != (event.TableName{}) {
			fmt.Fprintf(&b, " from %s", c.From)
		}
		switch {
		case c.New != nil:
			w.tables[c.Table] = &Current{Schema: c.New, Charset: c.Charset, Collation: c.Collation, Key: c.Key, Indexes: c.Indexes}
			fmt.Fprintf(&b, " %s", show(w.tables[c.Table]))
		case c.Kind == Dropped:
			delete(w.tables, c.Table)
		}
		if c.Due != "" {
			fmt.Fprintf(&b, "\n  due: %s", c.Due)
		}
		b.WriteByte('\n')
	}
	if b.Len() == 0 {
		return "nothing\n"
	}
	return b.String()
}

// show is a table's definition: columns by name with the identity's last digits, what
// older rows show where that is known, indexes, key.
func show(c *Current) string {
	if c == nil {
		return "no table"
	}
	var out []string
	for i := range c.Schema.Columns {
		col := &c.Schema.Columns[i]
		text := fmt.Sprintf("%s#%d %s", col.Name, col.ID%1000, col.Native)
		if col.Charset != "" {
			text += " " + col.Charset
		}
		if !col.Nullable {
			text += " not null"
		}
		if col.Generated {
			text += " generated"
		}
		switch {
		case col.HasDefault && col.Default == nil:
			text += " = NULL"
		case col.HasDefault:
			text += fmt.Sprintf(" = %q", event.AppendValueText(nil, col, col.Default))
		}
		out = append(out, text)
	}
	text := "(" + strings.Join(out, ", ") + ")"
	if len(c.Schema.PrimaryKey) > 0 {
		text += " key " + c.Key + "(" + strings.Join(keyNames(c.Schema), ",") + ")"
	}
	if c.Indexes == nil {
		return text + " indexes unknown"
	}
	for _, x := range c.Indexes {
		if x.primary() {
			continue
		}
		text += " " + map[bool]string{true: "unique ", false: "index "}[x.Unique] + x.Name + "(" + strings.Join(x.Columns, ",") + ")"
		if x.Partial {
			text += "partial"
		}
	}
	return text
}
