package link

import (
	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline/event"
)

// Verdict is what the rule says of a slice.
type Verdict uint8

// The verdicts.
const (
	Steady   Verdict = iota // all of it is above the mark and nothing between is missing
	Partly                  // it reaches over the mark: its rows above the mark
	Drop                    // at or below the mark, or before the BEGIN that is waited for
	SeekBack                // the message before it was not seen: read from further back
	Adopt                   // the BEGIN with which a waiting queue goes on
)

// String is the verdict's name.
func (v Verdict) String() string {
	return [...]string{"steady", "partly", "drop", "seek back", "adopt"}[v]
}

// Judge compares a slice with a mark.
func Judge(mark event.Seq, s *event.Slice) Verdict {
	switch {
	case s.Hi <= mark:
		return Drop
	case s.Prev > mark:
		return SeekBack
	case s.Lo <= mark:
		return Partly
	}
	return Steady
}

// Above are the rows of a slice above a mark.
func Above(mark event.Seq, s *event.Slice) []event.Row {
	for i := range s.Rows {
		if s.Rows[i].Seq > mark {
			return s.Rows[i:]
		}
	}
	return nil
}

// Position is how far a queue's reader is. Whoever holds it reads messages and does what it
// says.
type Position struct {
	Mark event.Seq
	ID   event.Identity
	Wait Wait
	// Refused is the number that a BEGIN must be above to end the wait of that name: one before
	// what was refused would only lead to it again.
	Refused event.Seq
}

// Take applies the rule to the next slice. One that is to be applied moves the mark; rows at
// or below the old mark are cut off it.
func (p *Position) Take(s *event.Slice) Verdict {
	if p.Wait != None {
		if s.Kind != event.KindBegin || s.Lo <= max(p.Mark, p.Refused) {
			return Drop
		}
		p.Mark, p.ID, p.Wait = s.Hi, s.To, None
		return Adopt
	}
	v := Judge(p.Mark, s)
	if v == SeekBack && seeded.On(seeded.GapUnnoticed) {
		v = Steady
	}
	switch v {
	case Drop, SeekBack:
		return v
	case Partly:
		s.Rows = Above(p.Mark, s)
	}
	p.Mark, p.ID = s.Hi, s.To
	return v
}

// Begins says whether a queue that the target has never seen can be read from its oldest
// message on.
func Begins(oldest *event.Slice) Wait {
	if oldest.Prev != 0 {
		return New
	}
	return None
}

// Found says whether reading goes on at the first slice that reaches the mark, or, after, at
// the one that follows it, or why it waits. The slice must carry the mark's identity: a broker
// that lost its end may give the number to another row. oldest says that the broker has
// nothing before it.
func (p *Position) Found(s *event.Slice, oldest bool) (after bool, wait Wait) {
	switch {
	case s.Prev > p.Mark && seeded.On(seeded.GapUnnoticed):
		return false, None
	case s.Hi == p.Mark && (s.To == p.ID || seeded.On(seeded.IdentityUnchecked)):
		return true, None
	case s.Hi == p.Mark:
		return false, LostTail
	case s.Prev > p.Mark && oldest:
		return false, Gap
	case s.Prev > p.Mark: // the link is unbroken in a queue, so something else has this place
		return false, LostTail
	case s.Prev < p.Mark && !carries(s, p.Mark, p.ID): // grouped anew, and not the same
		return false, LostTail
	}
	return false, None
}

// carries reports whether a slice holds the item that a mark inside of it names: what was
// published again after a loss may be grouped otherwise.
func carries(s *event.Slice, mark event.Seq, id event.Identity) bool {
	for i := range s.Rows {
		if r := &s.Rows[i]; r.Seq == mark {
			return id == event.Identity{Tx: s.Txs[r.Tx].ID, Index: r.Index, Part: r.Part}
		}
	}
	for i := range s.Txs {
		if t := &s.Txs[i]; t.End && t.EndSeq == mark {
			return id == event.TxEndIdentity(t.ID)
		}
	}
	return false
}
