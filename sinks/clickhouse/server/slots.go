package server

import (
	"context"
	"fmt"
	"time"

	"github.com/millrace/millrace/pipeline"
)

// slots are the pool's connections. Who finds none free waits here, and not in the driver,
// which gives up as if the server could not be reached.
type slots struct {
	free chan struct{}
	wait time.Duration
}

func newSlots(n int, wait time.Duration) slots {
	return slots{free: make(chan struct{}, n), wait: wait}
}

// take takes a connection's place, which give gives back.
func (s slots) take(ctx context.Context) error {
	select {
	case s.free <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(s.wait)
	defer timer.Stop()
	select {
	case s.free <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return fmt.Errorf("%w: all %d connections of this sink are busy, and none came free in %s: the server is slow to answer the other "+
			"tables (see timeout of the sink; it goes on by itself)",
			pipeline.ErrUnwritable, cap(s.free), s.wait)
	}
}

func (s slots) give() { <-s.free }
