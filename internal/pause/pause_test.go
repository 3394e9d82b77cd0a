package pause

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestFor(t *testing.T) {
	for _, c := range []struct {
		name        string
		d, ends     time.Duration // of the pause and of its context
		took        time.Duration
		interrupted bool
	}{
		{"whole", time.Hour, 2 * time.Hour, time.Hour, false},
		{"interrupted", 2 * time.Hour, time.Hour, time.Hour, true},
		{"none", 0, time.Hour, 0, false},
		{"below none", -time.Hour, time.Hour, 0, false},
		{"none, of a context that has ended", 0, -1, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), c.ends)
				defer cancel()
				began := time.Now()
				err := For(ctx, c.d)
				if took := time.Since(began); took != c.took || (err != nil) != c.interrupted ||
					err != nil && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("after %s: %v", took, err)
				}
			})
		})
	}
}
