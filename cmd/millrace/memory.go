package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// memoryFloor is how much memory the Go runtime may hold before it collects more eagerly
	// and returns what it does not use.
	memoryFloor = 160 << 20
	// memoryLook is how often the limit is set anew.
	memoryLook = 500 * time.Millisecond
)

// keepMemoryLow makes the garbage collector work harder for pipelines, which hold much for
// a short time in few large pieces: collecting those costs little, and their peaks are what
// people see. The limit follows what is alive, so that a process that needs more is not
// slowed down. $GOGC and $GOMEMLIMIT, where set, decide instead. It returns when ctx ends.
func keepMemoryLow(ctx context.Context) error {
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		if _, ok := lookupEnv(name); ok {
			return nil
		}
	}
	debug.SetGCPercent(50)
	tick := time.NewTicker(memoryLook)
	defer tick.Stop()
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	for was := int64(0); ; {
		metrics.Read(sample)
		if limit := memoryLimit(sample[0].Value.Uint64()); limit != was {
			debug.SetMemoryLimit(limit)
			was = limit
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// memoryLimit leaves room for half as much again as is alive, and for stacks and the like.
func memoryLimit(live uint64) int64 {
	return max(memoryFloor, int64(live+live/2)+32<<20)
}
