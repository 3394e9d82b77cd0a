package schema

import "github.com/millrace/millrace/pipeline/event"

// Called are the names under which a statement may change rows that it does not name
// itself: of routines that it calls, and, where it writes, of tables with triggers and of
// views. Names of other things are among them. Statements that only define things have
// none.
func Called(s Statement) []event.TableName {
	r := s.read()
	if !writes(r.tokens) && !queries(r.tokens) {
		return nil
	}
	return append(Routines(s), Names(s)...)
}

// Queries reports whether a statement can change rows through what it calls alone: in the
// log it stands for that. SET is none: it is in the log for other reasons.
func Queries(s Statement) bool {
	r := s.read()
	return queries(r.tokens) && !r.tokens[0].is("SET")
}

// Names are all names in a statement or in the body of a routine that may be a table's, a
// view's or a routine's: under the default database unless one stands in front.
func Names(s Statement) []event.TableName {
	s.Table = func(event.TableName) *Current { return &Current{} }
	return s.named()
}
