package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
)

// ErrNoBase says that reading does not begin with a whole Base.
var ErrNoBase = errors.New("no base is whole where reading the checkpoint queue begins")

// Message is a record and the place where it stands.
type Message struct {
	Offset int64
	Record *Record
}

// Log is the valid part of a stretch of the checkpoint queue: where it begins, and every
// group behind that.
type Log struct {
	// Base is the state with which the stretch begins; BaseOffset is the offset of the
	// Base's last message, -1 when the stretch begins with the queue's first record.
	Base       *State
	BaseOffset int64
	// Groups are the valid groups behind Base, in order. Bases on the way hold changes that
	// no group does; they are in bases, by the number of groups before them.
	Groups []*Group
	bases  map[int]*State
	// NewestBase is the offset of the last message of the newest valid Base.
	NewestBase int64
	// LastValid is the number of the last valid Group or Base, Term the highest Open.
	LastValid uint64
	Term      uint64
}

// ReadLog judges consecutive messages of the checkpoint queue. They begin with the first
// part of a valid Base, or with the queue's first message (whole). A record that is not
// valid is left out, as the rule says.
func ReadLog(messages []Message, whole bool) (*Log, error) {
	l := &Log{BaseOffset: -1, NewestBase: -1, bases: map[int]*State{}}
	if whole {
		l.Base = NewState()
	}
	var parts []Message
	for _, m := range messages {
		r := m.Record
		if r.Type == TypeOpen {
			l.Term = max(l.Term, r.Term)
			parts = nil
			continue
		}
		if l.Base == nil && len(parts) == 0 && l.LastValid == 0 {
			l.LastValid = r.Pred // where reading begins, what came before is taken for valid
		}
		if !l.valid(r, parts) {
			parts = nil
			continue
		}
		if r.Type == TypeGroup {
			if err := l.addGroup(r); err != nil {
				return nil, err
			}
			parts = nil
			continue
		}
		if r.Part.Index == 0 {
			parts = nil
		}
		parts = append(parts, m)
		if r.Part.Index < r.Part.Of-1 {
			continue
		}
		if err := l.addBase(parts); err != nil {
			return nil, err
		}
		parts = nil
	}
	if l.Base == nil {
		return nil, ErrNoBase
	}
	return l, nil
}

// valid is the rule of the chain. The parts of a Base all name the same predecessor and
// follow each other without a gap.
func (l *Log) valid(r *Record, parts []Message) bool {
	if r.Term < l.Term || r.Pred != l.LastValid {
		return false
	}
	if r.Type == TypeBase && r.Part.Index > 0 {
		if len(parts) != r.Part.Index {
			return false
		}
		last := parts[len(parts)-1].Record
		return last.Part.Of == r.Part.Of && last.Term == r.Term && last.Num+1 == r.Num
	}
	return true
}

func (l *Log) addGroup(r *Record) error {
	if l.Base == nil {
		return ErrNoBase
	}
	l.Groups = append(l.Groups, r.Group)
	l.LastValid = r.Num
	return nil
}

func (l *Log) addBase(parts []Message) error {
	last := parts[len(parts)-1]
	s, err := JoinBase(parts)
	if err != nil {
		return err
	}
	if l.Base == nil {
		l.Base, l.BaseOffset = s, last.Offset
	} else {
		l.bases[len(l.Groups)] = s
	}
	l.NewestBase, l.LastValid = last.Offset, last.Record.Num
	return nil
}

// State is the state after all of the log.
func (l *Log) State() (*State, error) { return l.StateAt(len(l.Groups)) }

// StateAt is the state behind the first n groups, before the group that follows.
func (l *Log) StateAt(n int) (*State, error) {
	s := l.Base.Clone()
	for i := 0; ; i++ {
		if b := l.bases[i]; b != nil {
			s = b.Clone()
		}
		if i == n {
			return s, nil
		}
		if err := s.Apply(l.Groups[i]); err != nil {
			return nil, err
		}
	}
}

// SplitBase cuts a state into the data of a Base's parts, each at most size bytes.
func SplitBase(s *State, size int) ([][]byte, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode the state: %w", err)
	}
	var parts [][]byte
	for len(b) > size {
		parts = append(parts, b[:size])
		b = b[size:]
	}
	if parts = append(parts, b); len(parts) > maxParts {
		return nil, fmt.Errorf("the state is too large for a base: %d parts of %d bytes", len(parts), size)
	}
	return parts, nil
}

// JoinBase reads the state out of all parts of a Base.
func JoinBase(parts []Message) (*State, error) {
	var b []byte
	for _, p := range parts {
		b = append(b, p.Record.Part.Data...)
	}
	s := new(State)
	if err := decodeStrictly(b, s); err != nil {
		return nil, fmt.Errorf("base at offset %d: %w", parts[len(parts)-1].Offset, err)
	}
	return s, nil
}
