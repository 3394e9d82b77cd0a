package schema

import "github.com/millrace/millrace/pipeline/event"

// Routines are the names of the stored functions and procedures that a statement may
// call: every name in front of a bracket, and what follows CALL, under the default
// database unless it names one. Built-in functions are among them; a name for which the
// server has no routine is none. Of a package's routine it is the package's name.
func Routines(s Statement) []event.TableName {
	var out []event.TableName
	names := identifiers(s.SQL)
	for _, n := range names {
		out = append(out, event.TableName{DB: s.DB, Table: n})
	}
	return out
}
