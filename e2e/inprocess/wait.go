package inprocess

import (
	"context"
	"testing"
	"time"
)

// Eventually waits for a condition that others make true.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	if !Await(ok) {
		t.Fatalf("waited in vain for %s", what)
	}
}

// Await says whether a condition came true within a minute.
func Await(ok func() bool) bool {
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			return false
		case <-tick.C:
		}
	}
	return true
}

// Until asks every so often until ok says so, for as long as ctx lasts. What ok saw last is
// told if it never does.
func Until(ctx context.Context, t testing.TB, what string, every time.Duration, ok func() (done bool, state string)) {
	t.Helper()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		done, state := ok()
		if done {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s: %v; at last: %s", what, ctx.Err(), state)
		}
	}
}
