package runner

import (
	"testing"
	"time"
)

// TestGatheringEndsWithTheIntervalUnlessRowsAreOld plays deliveries against the clock: at
// which of them, or after how much silence, a flush comes.
func TestGatheringEndsWithTheIntervalUnlessRowsAreOld(t *testing.T) {
	const interval, pause = 500 * time.Millisecond, 125 * time.Millisecond
	for name, c := range map[string]struct {
		age   time.Duration
		every time.Duration // between deliveries; 0 is none after the first
		want  time.Duration // when the flush comes
	}{
		"fresh rows, many":                    {age: 50 * time.Millisecond, every: 10 * time.Millisecond, want: interval},
		"fresh rows, few":                     {age: 50 * time.Millisecond, every: 300 * time.Millisecond, want: interval},
		"fresh rows, no more":                 {age: 50 * time.Millisecond, want: interval},
		"rows of an interval, no more":        {age: interval, want: interval},
		"rows of the future":                  {age: -time.Hour, every: 10 * time.Millisecond, want: interval},
		"rows of two seconds":                 {age: 2 * time.Second, every: 10 * time.Millisecond, want: interval},
		"rows of four seconds":                {age: 4 * time.Second, every: 10 * time.Millisecond, want: time.Second},
		"rows of an hour":                     {age: time.Hour, every: 10 * time.Millisecond, want: 4 * interval},
		"rows of an hour, in groups":          {age: time.Hour, every: 100 * time.Millisecond, want: 4 * interval},
		"rows of an hour, now and then":       {age: time.Hour, every: 300 * time.Millisecond, want: pause},
		"rows of more than an interval, once": {age: interval + 1, want: pause},
		"rows of an hour, no more":            {age: time.Hour, want: pause},
	} {
		began := time.Unix(1_700_000_000, 0)
		now, g := began, gather(began, c.age, interval)
		next := began.Add(c.every)
		if c.every == 0 {
			next = began.Add(time.Hour)
		}
		for {
			deadline := g.deadline(now)
			more := !next.After(deadline)
			if now = deadline; more {
				now, next = next, next.Add(c.every)
			}
			if g.over(now, more) {
				break
			}
		}
		if got := now.Sub(began); got != c.want {
			t.Errorf("%s: flushed after %s, want %s", name, got, c.want)
		}
	}
}
