package selfcheck

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/millrace/millrace/internal/pause"
)

// targetShare is how much faster a target may be read than the source: it is files, and they
// are kept only so long after they were replaced.
const targetShare = 10

// pace lets so many rows of a side pass in a second.
type pace struct {
	rate map[string]float64
	next map[string]time.Time
}

func newPace(rowsPerSecond int) *pace {
	return &pace{
		rate: map[string]float64{"source": float64(rowsPerSecond), "target": targetShare * float64(rowsPerSecond)},
		next: map[string]time.Time{},
	}
}

// wait waits as long as the rows that were read are worth.
func (p *pace) wait(ctx context.Context, side string, rows int) error {
	now := time.Now()
	next := p.next[side]
	if next.Before(now) {
		next = now
	}
	next = next.Add(time.Duration(float64(rows) / p.rate[side] * float64(time.Second)))
	p.next[side] = next
	return pause.For(ctx, time.Until(next))
}

// room refuses to fill a disk that others write on.
func room(dir string) error {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return fmt.Errorf("room of the self-check: %w", err)
	}
	if s.Bavail < s.Blocks/20 {
		return fmt.Errorf("room of the self-check: the disk of %s has less than a twentieth free, which is left to others; "+
			"make room, or set verify.every: off", dir)
	}
	return nil
}
