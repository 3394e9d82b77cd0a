package charset

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Set is one character set. It is immutable; any goroutine may use it.
type Set struct {
	name   string
	maxLen int
	// append converts; plain reports whether bytes are UTF-8 already and mean the same.
	append func(dst, b []byte) ([]byte, int)
	plain  func(b []byte) bool
	table  func() *table // nil where a set is code
}

// Named is the set of that name, nil when no server has it.
func Named(name string) *Set { return sets[name] }

// Names lists the sets that Named knows.
func Names() []string { return slices.Sorted(maps.Keys(sets)) }

// Name is the name that servers list it under.
func (s *Set) Name() string { return s.name }

// MaxLen is how many bytes its longest character has.
func (s *Set) MaxLen() int { return s.maxLen }

// Plain reports whether b is its own conversion.
func (s *Set) Plain(b []byte) bool { return s.plain != nil && s.plain(b) }

// ASCII reports whether all of ASCII is its own conversion, and of nothing else.
func (s *Set) ASCII() bool { return s.plain != nil && s.plain([]byte{'\\'}) }

// MaxExpansion bounds how many bytes of UTF-8 one byte of text can become.
const MaxExpansion = 3

// Append appends b as UTF-8. unmappable counts the U+FFFD that stand for bytes which are
// no character of the set. It takes no memory beyond dst.
func (s *Set) Append(dst, b []byte) (out []byte, unmappable int) { return s.append(dst, b) }

// ErrAmbiguous says that other bytes of the set give the same UTF-8.
var ErrAmbiguous = errors.New("other bytes of the character set are the same text")

// Unique returns nil when no other bytes of the set give the same UTF-8 as b, so that b
// may be a key. Bytes without a character never are unique; nor, in sets that have some
// characters twice, is the one that the server would not write itself.
func (s *Set) Unique(b []byte) error {
	if s.Plain(b) {
		return nil
	}
	if _, bad := s.append(nil, b); bad > 0 {
		return fmt.Errorf("%w: %d sequences of %#x are no characters of %s", ErrAmbiguous, bad, clip(b), s.name)
	}
	if s.table == nil {
		return nil
	}
	return s.table().twinIn(b, s.name)
}

func clip(b []byte) []byte { return b[:min(len(b), 64)] }
