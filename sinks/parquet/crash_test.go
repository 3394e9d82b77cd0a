package parquet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/pipeline"
)

func twinSink(t testing.TB, fsys vfs.FS) *Sink { return twinSinkAt(t, fsys, "lake") }

func twinSinkAt(t testing.TB, fsys vfs.FS, dir string) *Sink {
	t.Helper()
	s := testSink(t, fsys, testConfig(dir))
	cfg := twinConfig()
	cfg.Path = dir
	configure(s, cfg)
	return s
}

// crashes runs f on a file system in memory and, before each of its operations that
// changes anything, tries what a restart would find there.
type crashes struct {
	mu    sync.Mutex
	mem   *vfs.Mem
	steps int
	shift int // which way of crashing the first step is tried with; they take turns
	try   func(step int, op errorfs.Op, mode vfs.CrashMode, found *vfs.Mem)
	off   bool
}

func (c *crashes) Step(op errorfs.Op) errorfs.Action {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.off || !op.Kind.Changes() {
		return errorfs.Action{}
	}
	c.steps++
	modes := []vfs.CrashMode{vfs.CrashLose, vfs.CrashTorn, vfs.CrashKeep}
	mode := modes[(c.steps+c.shift)%len(modes)]
	c.try(c.steps, op, mode, c.mem.CrashClone(vfs.CrashOpts{Mode: mode, Seed: uint64(c.steps)}))
	return errorfs.Action{}
}

// smallWorld is a short history with everything in it.
func smallWorld(t testing.TB, seed uint64, keyless bool) *world {
	w := newWorld(t, seed, 2, keyless)
	for range 8 {
		w.insert()
	}
	w.update()
	w.delete()
	w.attempt()
	w.insert()
	w.ddl()
	w.update()
	w.truncate()
	for range 4 {
		w.insert()
	}
	w.settle()
	w.delete()
	return w
}

func TestEveryCrashRecovers(t *testing.T) {
	t.Parallel()
	for _, keyless := range []bool{false, true} {
		for _, seed := range seeds(t, 2) {
			t.Run(fmt.Sprintf("keyless=%v/seed=%d", keyless, seed), func(t *testing.T) { crashEverywhere(t, seed, keyless) })
		}
	}
}

func crashEverywhere(t *testing.T, seed uint64, keyless bool) {
	w := smallWorld(t, seed, keyless)
	mem := vfs.NewMem()
	var acked []int // what a Flush has promised
	c := &crashes{mem: mem, shift: int(seed)}
	c.try = func(step int, op errorfs.Op, mode vfs.CrashMode, found *vfs.Mem) {
		if err := recovers(t, w, found, acked); err != nil {
			t.Fatalf("seed %d: crash %d before %s %s (mode %d): %v", seed, step, op.Kind, op.Path, mode, err)
		}
	}
	sink := twinSink(t, errorfs.Wrap(mem, c))
	rng := rand.New(rand.NewPCG(seed, 3))
	gen := uint64(1)
	d := &deliverer{w: w, table: open(t, sink, claim(w.schemas, gen))}
	d.seek()
	acked = slices.Clone(d.flushed)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	for round := range 5 {
		for q := range w.queues {
			check(d.write(q, 3+rng.IntN(6)))
		}
		check(d.flush())
		acked = slices.Clone(d.flushed)
		check(d.table.current.MergeNow())
		switch round {
		case 1:
			check(d.table.changes.Checkpoint(context.Background(), keepOf(d.table)))
		case 2:
			d.table.Close()
			gen++
			d.table = open(t, sink, claim(w.schemas, gen))
			d.seek()
		case 3:
			check(d.table.changes.Vacuum(context.Background()))
			check(d.table.current.Log().Checkpoint(context.Background(), time.Now()))
		case 4:
			check(pack(d.table))
		}
	}
	c.mu.Lock()
	c.off = true
	c.mu.Unlock()
	if c.steps < 100 {
		t.Fatalf("only %d steps were tried", c.steps)
	}
}

// recovers opens what a crash left under a new generation, delivers from the marks, and
// compares with the twin.
func recovers(t *testing.T, w *world, found *vfs.Mem, acked []int) error {
	sink := twinSink(t, found)
	table, err := sink.openTable(context.Background(), claim(w.schemas, 100))
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer table.Close()
	d := &deliverer{w: w, table: table}
	d.seek()
	for q := range acked {
		if d.at[q] < acked[q] {
			return fmt.Errorf("queue %d: the mark is at message %d, %d were acknowledged", q, d.at[q], acked[q])
		}
	}
	for q := range w.queues {
		if err := d.write(q, len(w.queues[q])); err != nil {
			return err
		}
	}
	if err := d.flush(); err != nil {
		return err
	}
	if err := table.current.MergeNow(); err != nil {
		return err
	}
	w.identities(found, table.Dir, d.flushed)
	want := w.view(d.flushed)
	if got := shown(t, found, table.Dir, w.newestSchema(d.flushed)); !slices.Equal(got, want) {
		return fmt.Errorf("current/ shows\n  %s\nnot\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	return nil
}

// TestEveryFailedStepIsSurvived fails each operation once, in turn. The table either goes
// on by itself after the same rows are given again, or is opened under a new generation;
// in the end nothing is lost or doubled.
func TestEveryFailedStepIsSurvived(t *testing.T) {
	t.Parallel()
	for _, fault := range []error{syscall.ENOSPC, syscall.EIO} {
		for n := int64(1); ; n++ {
			if !failedStep(t, fault, n) {
				break
			}
		}
	}
}

// failedStep fails the n-th changing operation; it reports whether there was one.
func failedStep(t *testing.T, fault error, n int64) bool {
	w := smallWorld(t, 1, false)
	mem := vfs.NewMem()
	count := int64(0)
	hit := false
	var mu sync.Mutex
	fsys := errorfs.Wrap(mem, errorfs.Func(func(op errorfs.Op) errorfs.Action {
		mu.Lock()
		defer mu.Unlock()
		if !op.Kind.Changes() {
			return errorfs.Action{}
		}
		if count++; count == n {
			hit = true
			return errorfs.Action{Err: fault}
		}
		return errorfs.Action{}
	}))
	sink := twinSink(t, fsys)
	gen := uint64(0)
	d := &deliverer{w: w}
	reopen := func() bool {
		if d.table != nil {
			d.table.Close()
		}
		gen++
		table, err := sink.openTable(context.Background(), claim(w.schemas, gen))
		if err != nil {
			return false
		}
		d.table = table
		d.seek()
		return true
	}
	for !reopen() {
		if gen > 3 {
			t.Fatalf("step %d: the table cannot be opened", n)
		}
	}
	attempt := func(f func() error) {
		t.Helper()
		for tries := 0; ; tries++ {
			err := f()
			if err == nil {
				return
			}
			if tries > 2 {
				t.Fatalf("step %d (%v): %v", n, fault, err)
			}
			if errors.Is(err, pipeline.ErrUnwritable) {
				d.seek()
				continue
			}
			for !reopen() {
			}
		}
	}
	for range 3 {
		attempt(func() error {
			for q := range w.queues {
				if err := d.write(q, 6); err != nil {
					return err
				}
			}
			return d.flush()
		})
		attempt(func() error { d.table.current.MergeNow(); return d.table.current.MergeNow() })
	}
	attempt(func() error { return d.table.changes.Checkpoint(context.Background(), keepOf(d.table)) })
	attempt(func() error { return pack(d.table) })
	attempt(func() error {
		for q := range w.queues {
			if err := d.write(q, 1000); err != nil {
				return err
			}
		}
		return d.flush()
	})
	d.table.Close()
	if err := recovers(t, w, mem, d.flushed); err != nil {
		t.Fatalf("step %d (%v): %v", n, fault, err)
	}
	return hit
}
