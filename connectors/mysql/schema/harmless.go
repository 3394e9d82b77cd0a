package schema

// harmlessWords are the statements that change neither columns nor rows of base tables,
// by the words that they begin with. Of CREATE, ALTER, DROP and RENAME what comes
// between that word and the kind of thing is left out (see object). What is not here, and
// is not understood, makes an audit of the tables that it may concern.
var harmlessWords = [...][]string{
	// Things that are no base tables. An index can become the key of a table: CREATE INDEX
	// and DROP INDEX are read.
	{"CREATE", "TRIGGER"}, {"DROP", "TRIGGER"},
	{"CREATE", "PROCEDURE"}, {"ALTER", "PROCEDURE"}, {"DROP", "PROCEDURE"},
	{"CREATE", "FUNCTION"}, {"ALTER", "FUNCTION"}, {"DROP", "FUNCTION"},
	{"CREATE", "PACKAGE"}, {"ALTER", "PACKAGE"}, {"DROP", "PACKAGE"},
	{"CREATE", "LIBRARY"}, {"ALTER", "LIBRARY"}, {"DROP", "LIBRARY"},
	{"CREATE", "EVENT"}, {"ALTER", "EVENT"}, {"DROP", "EVENT"},
	{"CREATE", "VIEW"}, {"ALTER", "VIEW"}, {"DROP", "VIEW"},
	{"CREATE", "SEQUENCE"}, {"ALTER", "SEQUENCE"}, {"DROP", "SEQUENCE"},
	{"CREATE", "USER"}, {"ALTER", "USER"}, {"DROP", "USER"}, {"RENAME", "USER"},
	{"CREATE", "ROLE"}, {"DROP", "ROLE"},
	{"CREATE", "SERVER"}, {"ALTER", "SERVER"}, {"DROP", "SERVER"},
	{"CREATE", "DATABASE"}, {"CREATE", "SCHEMA"}, {"ALTER", "DATABASE"}, {"ALTER", "SCHEMA"}, // tables have statements of their own
	{"CREATE", "TABLESPACE"}, {"ALTER", "TABLESPACE"}, {"DROP", "TABLESPACE"}, // only an empty one can be dropped
	{"CREATE", "LOGFILE"}, {"ALTER", "LOGFILE"}, {"DROP", "LOGFILE"},
	{"CREATE", "RESOURCE"}, {"ALTER", "RESOURCE"}, {"DROP", "RESOURCE"},
	{"CREATE", "SPATIAL", "REFERENCE"}, {"DROP", "SPATIAL", "REFERENCE"},
	{"ALTER", "INSTANCE"},
	{"INSTALL"}, {"UNINSTALL"},
	// Privileges and settings. SET is SET PASSWORD, SET ROLE and SET DEFAULT ROLE: SET
	// STATEMENT … FOR was taken off.
	{"GRANT"}, {"REVOKE"}, {"SET"},
	// What looks after tables and leaves their rows. REPAIR may lose some, and is not here;
	// ANALYZE of MariaDB runs the statement behind it unless that is a table's name.
	{"ANALYZE", "TABLE"}, {"ANALYZE", "TABLES"}, {"ANALYZE", "LOCAL"}, {"ANALYZE", "NO_WRITE_TO_BINLOG"},
	{"OPTIMIZE"}, {"CHECK"}, {"CHECKSUM"}, {"FLUSH"}, {"CACHE"}, {"LOAD", "INDEX"},
	{"LOCK"}, {"UNLOCK"}, {"BACKUP"}, {"PURGE"}, {"RESET"}, {"KILL"}, {"CHANGE"}, {"CLONE"},
	// Frames of transactions.
	{"BEGIN"}, {"START", "TRANSACTION"}, {"COMMIT"}, {"ROLLBACK"}, {"SAVEPOINT"}, {"RELEASE"}, {"XA"},
	// What only shows. Functions that a query calls may write (see Routines).
	{"USE"}, {"SHOW"}, {"EXPLAIN"}, {"DESCRIBE"}, {"DESC"}, {"HELP"},
	{"SELECT"}, {"DO"}, {"CALL"}, {"VALUES"}, {"TABLE"},
}

// isHarmless reports whether a statement is one of harmlessWords.
func isHarmless(tokens []token) bool {
	words := firstWords(tokens)
	for _, h := range harmlessWords {
		if len(words) < len(h) {
			continue
		}
		same := true
		for i, w := range h {
			same = same && words[i].is(w)
		}
		if same {
			return true
		}
	}
	return false
}

// firstWords are the first tokens of a statement, at most three, without an opening
// bracket, and of one about a thing without what stands in front of the thing's kind.
func firstWords(tokens []token) (words []token) {
	for len(tokens) > 0 && tokens[0].symbol("(") {
		tokens = tokens[1:]
	}
	if len(tokens) == 0 {
		return nil
	}
	words = append(words, tokens[0])
	rest := tokens[1:]
	if words[0].is("CREATE", "ALTER", "DROP", "RENAME") {
		rest = object(rest)
	}
	return append(words, rest[:min(2, len(rest))]...)
}

// object passes over what can stand between CREATE, ALTER or DROP and the kind of thing:
// OR REPLACE, AGGREGATE, ALGORITHM=…, DEFINER=…, SQL SECURITY …, UNDO.
func object(tokens []token) []token {
	for len(tokens) > 0 {
		switch t := &tokens[0]; {
		case t.is("OR") && len(tokens) > 1 && tokens[1].is("REPLACE"):
			tokens = tokens[2:]
		case t.is("AGGREGATE", "UNDO"):
			tokens = tokens[1:]
		case t.is("SQL") && len(tokens) > 2 && tokens[1].is("SECURITY"):
			tokens = tokens[3:]
		case t.is("ALGORITHM") && len(tokens) > 2 && tokens[1].symbol("="):
			tokens = tokens[3:]
		case t.is("DEFINER") && len(tokens) > 2 && tokens[1].symbol("="):
			tokens = account(tokens[2:])
		default:
			return tokens
		}
	}
	return tokens
}

// account passes over the name of a user or role: name, name@host, CURRENT_USER().
func account(tokens []token) []token {
	current := tokens[0].is("CURRENT_USER", "CURRENT_ROLE")
	tokens = tokens[1:]
	switch {
	case current && len(tokens) > 1 && tokens[0].symbol("(") && tokens[1].symbol(")"):
		return tokens[2:]
	case len(tokens) > 1 && tokens[0].symbol("@"):
		tokens = tokens[2:]
		for len(tokens) > 1 && !tokens[0].gap && (tokens[0].symbol(".") || tokens[0].symbol("-") || tokens[0].symbol("%")) {
			tokens = tokens[2:] // a host without quotes
		}
	}
	return tokens
}
