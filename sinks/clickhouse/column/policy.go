package column

import "fmt"

// Choice is what is done with a value that its column can't hold.
type Choice string

// The choices.
const (
	Clamp Choice = "clamp" // the nearest value that it can hold
	Null  Choice = "null"  // NULL; where the column has none, as Clamp
	Error Choice = "error" // the record is refused
	Epoch Choice = "epoch" // of zero dates: 1970-01-01
)

// Policy says what is done with values that a type of the target can't hold.
type Policy struct {
	// Range is for dates before or behind what the target knows.
	Range Choice
	// ZeroDate is for dates that are no day of the calendar (0000-00-00, 2026-02-30).
	ZeroDate Choice
}

// DefaultPolicy is what holds where nothing is said.
func DefaultPolicy() Policy { return Policy{Range: Clamp, ZeroDate: Null} }

// Validate names what is wrong with a policy.
func (p Policy) Validate() error {
	switch p.Range {
	case Clamp, Null, Error:
	default:
		return fmt.Errorf("out_of_range must be clamp, null or error, not %q", p.Range)
	}
	switch p.ZeroDate {
	case Null, Epoch, Error:
		return nil
	}
	return fmt.Errorf("zero_date must be null, epoch or error, not %q", p.ZeroDate)
}

// Changed says what became of a value.
type Changed uint8

// What can become of a value.
const (
	Kept    Changed = iota // it is in the target as it is in the source
	Clamped                // the nearest one is there
	Nulled                 // NULL is there
	Zeroed                 // the type's zero is there, for want of a NULL
)
