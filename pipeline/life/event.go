package life

import "github.com/millrace/millrace/pipeline/event"

// Kind says what happened to a table.
type Kind uint8

// The kinds of events.
const (
	Opened    Kind = iota // a publisher was opened: Recorded is what the records say
	Taken                 // the file takes the table in, by the route of its queues
	Misrouted             // the file asks for another route: Reason
	LeftOut               // the file does not take it in: Reason
	Asked                 // somebody asked to pause it; no record has it yet
	Withdrawn             // somebody asked to resume it
	Paused                // its rows are handed over no longer: Reason
	Resumed               // they are again
	Due                   // a snapshot of it is owed: Cause
	Begun                 // BEGIN of Attempt was handed over
	Advanced              // a chunk of Attempt was
	Ended                 // END of Attempt was
	Dropped               // the source dropped it: Reason
	Created               // the source has it again
	kinds
)

var kindNames = [kinds]string{"opened", "taken", "misrouted", "left out", "asked", "withdrawn", "paused", "resumed",
	"due", "begun", "advanced", "ended", "dropped", "created"}

func (k Kind) String() string { return kindNames[k] }

// Event is something that happened to a table.
type Event struct {
	Kind     Kind
	Reason   event.PauseReason
	Cause    string
	Attempt  event.Attempt
	Recorded Recorded
}

// Recorded is what the records say of a table.
type Recorded struct {
	// Pause is why it stands; without a code it does not. The code dropped says that the
	// source has it no longer.
	Pause event.PauseReason
	// Attempt is under way, or owed when it has no BEGIN; nil is neither.
	Attempt *event.Attempt
}
