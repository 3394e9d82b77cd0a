package schema

import "github.com/millrace/millrace/pipeline/event"

// Routines are the names of the stored functions and procedures that a statement may
// call, and so of those whose bodies may have written without row events: every name in
// front of a bracket, and what follows CALL, under the default database unless it names
// one. Built-in functions and names of tables are among them: a name for which the
// server has no routine is none. A name of two parts is also taken for one of MariaDB's
// packages and its routine. Statements that only define things call none, and one that
// cannot be read to its end has an Audit of every table from Apply.
func Routines(s Statement) (names []event.TableName) {
	r := s.read()
	if !writes(r.tokens) && !queries(r.tokens) {
		return nil
	}
	seen := map[event.TableName]bool{}
	note := func(db, name string) {
		if n := (event.TableName{DB: s.fold(db), Table: name}); !seen[n] {
			seen[n] = true
			names = append(names, n)
		}
	}
	calls := calls{lexer: s.lexer()}
	for path := calls.next(); path != nil; path = calls.next() {
		switch {
		case len(path) == 1:
			note(s.DB, path[0])
		default:
			note(path[0], path[1]) // of three parts, the package
			if len(path) == 2 && s.MariaDB {
				note(s.DB, path[0])
			}
		}
	}
	return names
}

// calls finds what a statement of any size calls.
type calls struct {
	lexer lexer
	path  []string // the names that dots join in front of the next token
	dot   bool
	call  bool // CALL stands in front of path
	ended bool
}

// next is the next name that is called, nil behind the last.
func (c *calls) next() []string {
	for !c.ended {
		t, err := c.lexer.next()
		name, ok := t.name()
		switch {
		case err != nil:
			c.ended = true
			if c.call && len(c.path) > 0 {
				return c.path
			}
		case ok && c.dot:
			c.path, c.dot = append(c.path, name), false
		case ok:
			c.call = c.call && len(c.path) == 0 || t.is("CALL")
			c.path = append(c.path[:0], name)
			if t.is("CALL") {
				c.path = c.path[:0]
			}
		case t.symbol(".") && len(c.path) > 0:
			c.dot = true
		default:
			called := (c.call || t.symbol("(")) && len(c.path) > 0
			path := c.path
			c.path, c.dot, c.call = nil, false, false
			if called {
				return path
			}
		}
	}
	return nil
}

// queries reports whether a statement changes rows through what it calls alone.
func queries(tokens []token) bool {
	for len(tokens) > 0 && tokens[0].symbol("(") {
		tokens = tokens[1:]
	}
	return len(tokens) > 0 && tokens[0].is("SELECT", "DO", "CALL", "VALUES", "TABLE", "SET")
}
