package serve

import (
	"maps"
	"slices"
	"strings"

	"github.com/millrace/millrace/internal/testenv/chserver"
)

// statement is what a client asks, as far as a server has to know it.
type statement struct {
	kind    chserver.Kind
	verb    string // first word, in capitals
	text    string // for the engine
	table   target // of an insert
	columns []string
	data    bool // an insert whose rows come as blocks
	foreign bool // such an insert in a format other than Native
}

// target is a table by its names; database may be "".
type target struct{ database, table string }

func (t target) String() string {
	if t.database == "" {
		return backtick(t.table)
	}
	return backtick(t.database) + "." + backtick(t.table)
}

// identity is what functions answer here and not in the engine.
type identity struct {
	user    string
	uuid    string
	version string            // "" leaves it to the engine
	owners  map[string]string // other users by the ids of the queries that they run
}

// engineUser is who runs everything, for the engine.
const engineUser = "default"

// understand takes a statement's text apart and rewrites it for the engine.
func understand(body string, who identity) statement {
	s := newSentence(body)
	for n := len(s.tokens); n > 0 && s.is(n-1, ";"); n = len(s.tokens) {
		s = newSentence(s.text[:s.tokens[n-1].start])
	}
	st := statement{kind: chserver.Other, text: s.text, verb: strings.ToUpper(s.name(0))}
	switch {
	case st.verb == "INSERT":
		st.kind = chserver.Insert
		st.insert(s)
	case st.verb == "SELECT", st.verb == "WITH", s.is(0, "("):
		st.kind = chserver.Select
		st.text = withoutFormat(s)
	}
	if st.data {
		return st
	}
	st.text = rewrite(newSentence(st.text), who, st.verb == "KILL")
	return st
}

// insert reads INSERT INTO [TABLE] [database.]table [(columns)] … [FORMAT Native].
func (st *statement) insert(s sentence) {
	i := 1
	if s.is(i, "INTO") {
		i++
	}
	if s.is(i, "TABLE") && !s.is(i+1, ".") && !s.is(i+1, "(") {
		i++
	}
	if s.is(i, "FUNCTION") {
		return
	}
	st.table.table = s.name(i)
	if i++; s.is(i, ".") {
		st.table.database, st.table.table = st.table.table, s.name(i+1)
		i += 2
	}
	if s.is(i, "(") {
		st.columns, i = s.list(i + 1)
	}
	if last := len(s.tokens) - 2; last >= i && s.is(last, "FORMAT") {
		st.data = true
		st.foreign = !s.is(last+1, "Native")
		st.text = s.text[:s.tokens[last].start]
		return
	}
	// VALUES without any: the rows come as blocks too.
	if s.is(len(s.tokens)-1, "VALUES") {
		st.data = true
		st.text = s.text[:s.tokens[len(s.tokens)-1].start]
		return
	}
	if i == len(s.tokens) {
		st.data = true
	}
}

// list reads names with dots up to the closing bracket; next is the token behind it.
func (s sentence) list(i int) (names []string, next int) {
	name := ""
	for ; i < len(s.tokens); i++ {
		switch {
		case s.is(i, ")"), s.is(i, ","):
			names = append(names, name)
			if name = ""; s.is(i, ")") {
				return names, i + 1
			}
		case s.is(i, "."):
			name += "."
		default:
			name += s.name(i)
		}
	}
	return names, i
}

// withoutFormat cuts FORMAT name off the end: over this protocol it is the client's matter.
func withoutFormat(s sentence) string {
	last := len(s.tokens) - 2
	if last > 0 && s.is(last, "FORMAT") && s.tokens[last+1].kind == word && !s.is(last-1, ",") && !s.is(last-1, "SELECT") {
		return s.text[:s.tokens[last].start]
	}
	return s.text
}

// clientID is the column of system.processes where the client's id of a query stands.
const clientID = "Settings['log_comment']"

// processes is the table with the client's ids of queries, and users.
func (who identity) processes() string {
	return "(SELECT * REPLACE (" + clientID + " AS query_id, " + clientID + " AS initial_query_id, " +
		who.owner() + " AS user, " + who.owner() + " AS initial_user) FROM system.processes)"
}

// owner is the expression for the user of a query.
func (who identity) owner() string {
	if len(who.owners) == 0 {
		return literal(engineUser)
	}
	var ids, users []string
	for _, id := range slices.Sorted(maps.Keys(who.owners)) {
		ids, users = append(ids, literal(id)), append(users, literal(who.owners[id]))
	}
	return "transform(" + clientID + ", [" + strings.Join(ids, ", ") + "], [" + strings.Join(users, ", ") + "], " + literal(engineUser) + ")"
}

// rewrite puts in what the engine would answer otherwise.
func rewrite(s sentence, who identity, kill bool) string {
	var b strings.Builder
	done := 0
	put := func(from, to int, with string) {
		b.WriteString(s.text[done:s.tokens[from].start])
		b.WriteString(with)
		done = s.tokens[to].end
	}
	for i := 0; i < len(s.tokens); i++ {
		call := s.tokens[i].kind == word && s.is(i+1, "(") && s.is(i+2, ")") && !s.is(i-1, ".")
		switch {
		case kill && (s.is(i, "query_id") || s.is(i, "initial_query_id")):
			put(i, i, clientID)
		case kill && !call && (s.is(i, "user") || s.is(i, "initial_user")):
			put(i, i, who.owner())
		case !kill && strings.EqualFold(s.name(i), "system") && s.is(i+1, ".") && strings.EqualFold(s.name(i+2), "processes") &&
			!s.is(i+3, ".") && (s.is(i-1, "FROM") || s.is(i-1, "JOIN") || s.is(i-1, ",")):
			put(i, i+2, who.processes())
			i += 2
		case call && (s.is(i, "queryID") || s.is(i, "query_id") || s.is(i, "initialQueryID") || s.is(i, "initial_query_id")):
			put(i, i+2, "getSetting('log_comment')")
		case call && s.is(i, "serverUUID"):
			put(i, i+2, "toUUID("+literal(who.uuid)+")")
		case call && who.version != "" && s.is(i, "version"):
			put(i, i+2, literal(who.version))
		case call && (s.is(i, "currentUser") || s.is(i, "user")):
			put(i, i+2, literal(who.user))
		}
	}
	b.WriteString(s.text[done:])
	return b.String()
}
