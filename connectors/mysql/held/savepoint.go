package held

import (
	"sort"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// savepoint is a place in a transaction to which it can be rolled back.
type savepoint struct {
	name string // as servers compare it
	at   int    // the first event behind it
}

// savepoints are those of a transaction in force, the newest last, as the server's own
// list (trans_savepoint, trans_rollback_to_savepoint and trans_release_savepoint in
// sql/transaction.cc of both servers).
type savepoints []savepoint

// set makes a savepoint; one of the same name that is in force is gone, those behind it
// stay.
func (s *savepoints) set(name string, at int) {
	name = folded(name)
	if i := s.find(name); i >= 0 {
		*s = append((*s)[:i], (*s)[i+1:]...)
	}
	*s = append(*s, savepoint{name: name, at: at})
}

// rollback goes back to a savepoint, which stays in force; later ones are gone.
func (s *savepoints) rollback(name string) (at int, ok bool) {
	i := s.find(folded(name))
	if i < 0 {
		return 0, false
	}
	*s = (*s)[:i+1]
	return (*s)[i].at, true
}

// release takes a savepoint and all later ones out of force.
func (s *savepoints) release(name string) {
	if i := s.find(folded(name)); i >= 0 {
		*s = (*s)[:i]
	}
}

func (s *savepoints) find(name string) int {
	for i := len(*s) - 1; i >= 0; i-- {
		if (*s)[i].name == name {
			return i
		}
	}
	return -1
}

// folded is a name as the servers compare names of savepoints (find_savepoint: the
// collation utf8_general_ci): neither case nor accents count.
func folded(name string) string {
	plain := true
	for i := 0; i < len(name); i++ {
		plain = plain && name[i] < 0x80
	}
	if plain {
		return strings.ToUpper(name)
	}
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return unicode.ToUpper(r)
	}, norm.NFD.String(name))
}

// span is a run of events of a transaction that was withdrawn.
type span struct{ from, to int }

// spans are the withdrawn ones of a transaction, ascending and apart.
type spans []span

// add withdraws the events from one on up to where the transaction stands: what was
// withdrawn behind it before is a part of that.
func (s *spans) add(from, to int) {
	for n := len(*s); n > 0 && (*s)[n-1].from >= from; n = len(*s) {
		*s = (*s)[:n-1]
	}
	if from < to {
		*s = append(*s, span{from, to})
	}
}

// has reports whether an event was withdrawn.
func (s spans) has(at int) bool {
	i := sort.Search(len(s), func(i int) bool { return s[i].to > at })
	return i < len(s) && s[i].from <= at
}
