package bus

import (
	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline/event"
)

// Wait says why a queue's reader stands and waits for the next BEGIN of its table.
type Wait string

// The reasons of the link rule (delivery K3).
const (
	WaitNone Wait = ""
	// WaitNew: the target has no mark and the queue no longer holds its first message.
	WaitNew Wait = "NEW"
	// WaitGap: the message behind the mark is gone.
	WaitGap Wait = "GAP"
	// WaitLostTail: the broker's end is before the mark, or another identity stands at it:
	// the broker lost what the target already has.
	WaitLostTail Wait = "LOST_TAIL"
	// WaitNeedsSnapshot: retention gave the queue up.
	WaitNeedsSnapshot Wait = "NEEDS_SNAPSHOT"
	// WaitRefused: the target cannot take a record behind the mark. Nobody asks for the
	// attempt that ends it but a person: it may be refused again.
	WaitRefused Wait = "REFUSED"
)

// Waits are all reasons.
func Waits() []Wait { return []Wait{WaitNew, WaitGap, WaitLostTail, WaitNeedsSnapshot, WaitRefused} }

// Explain says in words what a reader met. It stands behind the reason's name.
func (w Wait) Explain() string {
	switch w {
	case WaitNew:
		return "the target has nothing of the table yet, and the queue's first messages are gone"
	case WaitGap:
		return "messages behind what the target has are gone from the broker"
	case WaitLostTail:
		return "the broker lacks what the target has: it lost its end, or another process with a broker of its own " +
			"writes into this target (let only one of them)"
	case WaitNeedsSnapshot:
		return "the broker's retention took messages before the sink had read them"
	case WaitRefused:
		return "the target cannot take a record of the table"
	}
	return ""
}

// verdict is what the link rule says of one slice.
type verdict uint8

const (
	deliver  verdict = iota // the slice, or what is left of it above the mark
	drop                    // at or below the mark: it is in the target
	seekBack                // its predecessor was not seen: read from further back
	adopt                   // the BEGIN that a waiting queue takes up again with
)

// link is one queue's position and the rule that moves it. It is pure: the caller reads
// messages and does what the verdict says.
type link struct {
	mark event.Seq
	id   event.Identity
	wait Wait
	// refused is the number that a BEGIN must be above to end WaitRefused: one before what
	// was refused would only lead to it again.
	refused event.Seq
}

// judge applies the rule to the next slice. A slice that is delivered moves the mark; rows
// at or below the old mark are cut off it.
func (l *link) judge(s *event.Slice) verdict {
	if l.wait != WaitNone {
		if s.Kind != event.KindBegin || s.Lo <= max(l.mark, l.refused) {
			return drop
		}
		l.mark, l.id, l.wait = s.Hi, s.To, WaitNone
		return adopt
	}
	switch {
	case s.Hi <= l.mark:
		return drop
	case s.Prev > l.mark && !seeded.On(seeded.GapUnnoticed):
		return seekBack
	}
	if s.Lo <= l.mark {
		cut(s, l.mark)
	}
	l.mark, l.id = s.Hi, s.To
	return deliver
}

// cut takes the rows at or below mark off a slice.
func cut(s *event.Slice, mark event.Seq) {
	for i := range s.Rows {
		if s.Rows[i].Seq > mark {
			s.Rows = s.Rows[i:]
			return
		}
	}
	s.Rows = nil
}
