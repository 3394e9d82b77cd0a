package pipeline

import (
	"encoding/json"
	"fmt"
	"time"
)

// Complete says, for each place on the way, a time by the source's clock: what the source's
// log held then is there. Zero = not known, or nothing is there yet.
type Complete struct {
	Source  time.Time `json:"source,omitzero"`  // read from the source
	Broker  time.Time `json:"broker,omitzero"`  // visible in the queues
	Target  time.Time `json:"target,omitzero"`  // in the target's change log
	Current time.Time `json:"current,omitzero"` // in the target's table as it is
}

// Lag is the source's time now minus the time of Complete: how old what a reader at each
// place sees may be. It grows while anything stands.
type Lag struct {
	Source  Seconds `json:"source"`
	Broker  Seconds `json:"broker"`
	Target  Seconds `json:"target"`
	Current Seconds `json:"current"`
}

// LagAt is the lag at a time of the source's clock.
func (c Complete) LagAt(now time.Time) Lag {
	return Lag{age(now, c.Source), age(now, c.Broker), age(now, c.Target), age(now, c.Current)}
}

// Least is, for each place, the earlier of both; not known where either is not.
func (c Complete) Least(d Complete) Complete {
	return Complete{least(c.Source, d.Source), least(c.Broker, d.Broker), least(c.Target, d.Target), least(c.Current, d.Current)}
}

func least(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a // the zero time is before every other
}

func age(now, at time.Time) Seconds {
	if at.IsZero() {
		return Seconds{}
	}
	return KnownSeconds(max(0, now.Sub(at).Seconds()))
}

// Seconds is a number of seconds that may not be known. The zero value is not known; in
// JSON that is "unknown".
type Seconds struct {
	value float64
	known bool
}

// KnownSeconds is a known number of seconds.
func KnownSeconds(s float64) Seconds { return Seconds{value: s, known: true} }

// Value is the number, and whether it is known.
func (s Seconds) Value() (seconds float64, known bool) { return s.value, s.known }

// Below reports whether the number is known and below a bound.
func (s Seconds) Below(bound float64) bool { return s.known && s.value < bound }

const unknown = "unknown"

// String is the number with its unit, or "unknown".
func (s Seconds) String() string {
	if !s.known {
		return unknown
	}
	return fmt.Sprintf("%.1fs", s.value)
}

// MarshalJSON writes a number, or "unknown".
func (s Seconds) MarshalJSON() ([]byte, error) {
	if !s.known {
		return json.Marshal(unknown)
	}
	return json.Marshal(s.value)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *Seconds) UnmarshalJSON(b []byte) error {
	*s = Seconds{}
	if string(b) == `"`+unknown+`"` {
		return nil
	}
	if err := json.Unmarshal(b, &s.value); err != nil {
		return fmt.Errorf("seconds %s: %w", b, err)
	}
	s.known = true
	return nil
}
