package link

// Wait says why a queue's reader stands and waits for the next BEGIN of its table.
type Wait string

// The reasons.
const (
	None Wait = ""
	// New: the target has no mark and the queue no longer holds its first message.
	New Wait = "NEW"
	// Gap: the message behind the mark is gone.
	Gap Wait = "GAP"
	// LostTail: the broker's end is before the mark, or another identity stands at it: the
	// broker lost what the target already has.
	LostTail Wait = "LOST_TAIL"
	// NeedsSnapshot: retention gave the queue up.
	NeedsSnapshot Wait = "NEEDS_SNAPSHOT"
	// Refused: the target cannot take a record behind the mark. Only a person asks for the
	// attempt that ends it: it may be refused again.
	Refused Wait = "REFUSED"
)

// Waits are all reasons.
func Waits() []Wait { return []Wait{New, Gap, LostTail, NeedsSnapshot, Refused} }

// Explain says in words what a reader met. It stands behind the reason's name.
func (w Wait) Explain() string {
	switch w {
	case New:
		return "the target has nothing of the table yet, and the queue's first messages are gone"
	case Gap:
		return "messages behind what the target has are gone from the broker"
	case LostTail:
		return "the broker lacks what the target has: it lost its end, or another process with a broker of its own " +
			"writes into this target (let only one of them)"
	case NeedsSnapshot:
		return "the broker's retention took messages before the sink had read them"
	case Refused:
		return "the target cannot take a record of the table"
	}
	return ""
}
