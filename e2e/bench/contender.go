package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// contender is a started broker that waits for its turns.
type contender struct {
	system
	*running
	drop   func()
	freeze bool // stopped (SIGSTOP) while another is measured

	warm     time.Duration // under the present work's load, before its rounds
	unsteady bool
}

// startAll starts the brokers of a session. Those that were started are returned with an
// error as well.
func (b *bench) startAll(ctx context.Context, s session, systems []system) (all []*contender, err error) {
	for _, sys := range systems {
		name := strings.ToLower(strings.NewReplacer(" ", "-", ".", "-", "(", "", ")", "", "/", "").Replace(sys.name))
		dir, drop, err := b.scratch(name + "-" + s.name)
		if err != nil {
			return all, err
		}
		r, err := sys.start(ctx, dir, s.flush)
		if err != nil {
			drop()
			return all, fmt.Errorf("start %s: %w", sys.name, err)
		}
		c := &contender{system: sys, running: r, drop: drop, freeze: s.spins}
		all = append(all, c)
		c.signal(syscall.SIGSTOP)
	}
	return all, nil
}

// signal stops or continues the broker where it must not run beside the others.
func (c *contender) signal(s syscall.Signal) {
	if c.freeze {
		_ = syscall.Kill(c.pid, s) // one that has ended is noticed by what comes next
	}
}

func (c *contender) stop(b *bench) {
	c.signal(syscall.SIGCONT)
	if err := c.running.stop(); err != nil {
		b.say("%s did not stop in order: %v", c.name, err)
	}
	c.drop()
}

// turn lets the broker run for as long as fn does.
func (b *bench) turn(ctx context.Context, c *contender, fn func() error) error {
	c.signal(syscall.SIGCONT)
	defer c.signal(syscall.SIGSTOP)
	if c.freeze {
		if err := b.known(ctx, c); err != nil {
			return err
		}
	}
	if err := fn(); err != nil {
		return err
	}
	return b.writeBack()
}

// writeBack has the disk take what the turn has written, so that no one's turn pays for
// another's.
func (b *bench) writeBack() error {
	dir, err := os.Open(b.root)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Syncfs(int(dir.Fd())); err != nil {
		return fmt.Errorf("write %s back: %w", b.root, err)
	}
	return nil
}

// ready puts in what the work reads, and warms the broker.
func (b *bench) ready(ctx context.Context, c *contender, w work) error {
	if w.fill != nil {
		if _, err := b.measure(ctx, c.running, w.fill, b.seconds, 0); err != nil {
			return fmt.Errorf("fill: %w", err)
		}
	}
	return b.warmUp(ctx, c, w)
}

// known waits until the name server knows the broker again: it forgets one that was silent
// for two minutes.
func (b *bench) known(ctx context.Context, c *contender) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		err := b.registered(ctx, c.namesrv)
		if err == nil {
			return nil
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

const (
	warmSlice  = 3 * time.Second
	warmSlices = 3    // that must agree
	warmAgree  = 0.08 // the most that they may differ by, of the highest
	warmLimit  = 30 * time.Second
)

// warmUp puts the broker under the very load that is measured until its rate, or at a
// fixed rate its cost, is steady: a JVM compiles what runs often, and goes on doing so for
// some twenty seconds.
func (b *bench) warmUp(ctx context.Context, c *contender, w work) error {
	c.warm, c.unsteady = 0, false
	limit, slice := warmLimit, warmSlice
	if w.short {
		limit, slice = limit/2, slice/2
	}
	if b.quick {
		limit, slice = 6*time.Second, 2*time.Second
	}
	var figures []float64
	for {
		one, err := b.measure(ctx, c.running, w.args, slice, 0)
		if err != nil {
			return err
		}
		c.warm += slice
		figure := one.PerSecond
		if w.id == "rate-10k" {
			figure = one.CPUMicros
		}
		figures = append(figures, figure)
		if c.warm >= c.minimumWarmth && steady(figures, warmSlices, warmAgree) {
			return nil
		}
		if c.warm >= limit {
			c.unsteady = true
			b.say("%s is not steady after %s of %s; it is measured all the same", c.name, c.warm, w.title)
			return nil
		}
	}
}

// steady reports whether the last n figures differ by no more than a part of the highest.
func steady(figures []float64, n int, part float64) bool {
	if len(figures) < n {
		return false
	}
	low, high := figures[len(figures)-1], figures[len(figures)-1]
	for _, f := range figures[len(figures)-n:] {
		low, high = min(low, f), max(high, f)
	}
	return high-low <= part*high
}
