package crash

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/pipeline/pipelinetest"
)

// Runs wait more than they work: a few of them go side by side.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// seed is MILLRACE_SEED, or a new one.
func seed(t testing.TB) uint64 {
	s := rand.Uint64N(1_000_000)
	if text := os.Getenv("MILLRACE_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("MILLRACE_SEED: %v", err)
		}
		s = n
	}
	t.Logf("MILLRACE_SEED=%d", s)
	return s
}

// stop is one way of stopping at a step of a run.
type stop struct {
	name   string
	sample int // how many steps are tried
	// count runs undisturbed and returns the number of steps.
	count func(w *world) (int64, error)
	// run stops at step k, and says whether the run got that far.
	run func(w *world, k int64) (reached bool, err error)
}

var stops = []stop{
	{"before a request", 24, countClients(true), dieAt(true)},
	{"after a request", 24, countClients(false), dieAt(false)},
	{"at a target", 24, countTargets, dieAtTarget},
	{"at the broker", 16, countBroker, cutAt},
}

// sampled are the steps that are tried: about n, evenly, or all.
func sampled(total int64, n int, rng *rand.Rand) (steps []int64) {
	if os.Getenv("MILLRACE_STEPS") == "all" {
		n = int(total)
	}
	n = min(n, int(total))
	for i := range int64(n) {
		low, high := i*total/int64(n), (i+1)*total/int64(n)
		steps = append(steps, 1+low+rng.Int64N(high-low))
	}
	return steps
}

// TestStoppedAnywhere stops the whole way at each sampled step in each of the four ways.
func TestStoppedAnywhere(t *testing.T) {
	s := seed(t)
	for i, how := range stops {
		t.Run(how.name, func(t *testing.T) {
			total, err := how.count(newWorld(t, s))
			if err != nil {
				t.Fatal(err)
			}
			steps := sampled(total, how.sample, rand.New(rand.NewPCG(s, uint64(i))))
			var reached atomic.Int64
			t.Cleanup(func() {
				t.Logf("%d steps %s; stopped at %d of them", total, how.name, reached.Load())
			})
			for _, k := range steps {
				t.Run(fmt.Sprint(k), func(t *testing.T) {
					t.Parallel()
					w := newWorld(t, s)
					got, err := how.run(w, k)
					if got {
						reached.Add(1)
					}
					if err == nil {
						err = w.check()
					}
					if err != nil {
						t.Fatalf("MILLRACE_SEED=%d, stopped %s, step %d: %v", s, how.name, k, err)
					}
				})
			}
		})
	}
}

func countClients(before bool) func(*world) (int64, error) {
	return func(w *world) (int64, error) {
		steps := &pipelinetest.Steps{}
		l := w.start(steps, before)
		err := w.await(l, nil)
		n := steps.Taken()
		return n, errors.Join(err, l.Stop())
	}
}

// dieAt kills the daemon at a request or an answer, and runs another to the end.
func dieAt(before bool) func(*world, int64) (bool, error) {
	return func(w *world, k int64) (bool, error) {
		reached, err := w.die(k, before)
		if err != nil {
			return reached, err
		}
		_, err = w.finish()
		return reached, err
	}
}

// die runs a daemon that stops at step k.
func (w *world) die(k int64, before bool) (bool, error) {
	stopped := make(chan struct{})
	steps := &pipelinetest.Steps{At: k}
	left := w.disk
	steps.Stopped = func() {
		left = w.disk.CrashClone(vfs.CrashOpts{Mode: vfs.CrashMode(k % 3), Seed: uint64(k)})
		close(stopped)
	}
	l := w.start(steps, before)
	err := w.await(l, stopped)
	reached := steps.Dead()
	steps.Stop() // a run that came to its end is killed there
	stop := l.Stop()
	w.disk = left
	w.found = append(w.found, left.CrashClone(vfs.CrashOpts{Mode: vfs.CrashKeep}))
	if stop != nil && !errors.Is(stop, pipelinetest.ErrStopped) {
		err = errors.Join(err, stop)
	}
	return reached, err
}

func countTargets(w *world) (int64, error) {
	w.writes = true
	return countClients(true)(w)
}

// dieAtTarget kills the daemon at a step of a target.
func dieAtTarget(w *world, k int64) (bool, error) {
	w.writes = true
	reached, err := w.die(k, true)
	if err != nil {
		return reached, err
	}
	_, err = w.finish()
	return reached, err
}

func countBroker(w *world) (int64, error) {
	n := new(atomic.Int64)
	err := w.restart(errorfs.Func(func(op errorfs.Op) errorfs.Action {
		if op.Kind.Changes() {
			n.Add(1)
		}
		return errorfs.Action{}
	}))
	if err == nil {
		_, err = w.finish()
	}
	return n.Load(), err
}

// restart starts the broker anew over an injector, for that life alone.
func (w *world) restart(i errorfs.Injector) error {
	w.cluster.Down()
	w.cluster.Inject(i)
	defer w.cluster.Inject(nil)
	return w.cluster.TryUp()
}

// cutAt cuts the broker's power at a step of its disk; the daemon goes on.
func cutAt(w *world, k int64) (bool, error) {
	f := &fuse{w: w, at: k, off: make(chan struct{})}
	if err := w.restart(f); err != nil { // it was on its way up
		if !f.blown() {
			return false, err
		}
		w.cluster.Blackout(f.left)
		_, err := w.finish()
		return true, err
	}
	l := w.start(&pipelinetest.Steps{}, true)
	err := w.await(l, f.off)
	reached := f.blown()
	if reached {
		w.cluster.Blackout(f.left)
		if err == nil {
			err = w.await(l, nil)
		}
	}
	return reached, errors.Join(err, l.Stop())
}

// fuse cuts the broker's power at a step of its disk, once.
type fuse struct {
	w   *world
	at  int64
	off chan struct{} // closed when the power is off

	mu    sync.Mutex
	taken int64
	over  bool     // there is nothing to cut any more
	left  *vfs.Mem // what is on the disk then
}

func (f *fuse) Step(op errorfs.Op) errorfs.Action {
	if !op.Kind.Changes() {
		return errorfs.Action{}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.taken++; f.over || f.taken != f.at {
		return errorfs.Action{}
	}
	f.over = true
	f.left = f.w.cluster.Freeze(vfs.CrashOpts{Mode: vfs.CrashMode(f.at % 3), Seed: uint64(f.at)})
	close(f.off)
	return errorfs.Action{Err: errors.New("the power is off")}
}

// blown reports whether the power is off. If it is not, it stays on: a broker goes on
// writing after a run, and what looks at it then must not lose it.
func (f *fuse) blown() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
	return f.left != nil
}
