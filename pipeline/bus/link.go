package bus

import "github.com/millrace/millrace/pipeline/link"

// Wait says why a queue's reader stands and waits for the next BEGIN of its table.
type Wait = link.Wait

// The reasons of the link rule, under the names that a subscription's users know.
const (
	WaitNone          = link.None
	WaitNew           = link.New
	WaitGap           = link.Gap
	WaitLostTail      = link.LostTail
	WaitNeedsSnapshot = link.NeedsSnapshot
	WaitRefused       = link.Refused
)

// Waits are all reasons.
func Waits() []Wait { return link.Waits() }
