package pipeline

import "time"

// Verified is what the self-check knows of one target table.
type Verified struct {
	// Through is the time up to which a whole pass found source and target equal: what was
	// committed before it is right in the target. Zero is never.
	Through time.Time `json:"through,omitzero"`
	// State is the outcome of the last look: equal, differs, behind, unsettled, unreadable,
	// or skipped; empty before the first. Reason says more of all but equal.
	State  string `json:"state,omitempty"`
	Reason string `json:"reason,omitempty"`
	// At is when the last look ended.
	At time.Time `json:"at,omitzero"`
	// Rows were compared by it; Differences of them differ for certain.
	Rows        int64 `json:"rows"`
	Differences int64 `json:"differences"`
	// Repaired is when the table was last asked to be read anew because of what differs, Repairs
	// how often that was. Neither is forgotten when it is found equal.
	Repaired time.Time `json:"repaired,omitzero"`
	Repairs  int64     `json:"repairs,omitempty"`
}

// VerifiedSkipped is the State of a table that was not looked at, with the reason.
const VerifiedSkipped = "skipped"
