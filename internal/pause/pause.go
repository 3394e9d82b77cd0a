package pause

import (
	"context"
	"time"
)

// For returns nil after d, or, when ctx ends before, its error. Without a time to wait it
// looks at ctx alone.
func For(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
