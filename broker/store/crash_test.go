package store

import (
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/message"
)

// ledger remembers what was tried and what was acknowledged, and checks a store against it.
type ledger struct {
	mu        sync.Mutex
	attempted map[string]QueueID // body → its queue; bodies are distinct
	acked     map[QueueID]map[int64]string
}

func newLedger() *ledger {
	return &ledger{attempted: map[string]QueueID{}, acked: map[QueueID]map[int64]string{}}
}

func (l *ledger) clone() *ledger {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &ledger{attempted: maps.Clone(l.attempted), acked: map[QueueID]map[int64]string{}}
	for q, m := range l.acked {
		c.acked[q] = maps.Clone(m)
	}
	return c
}

func (l *ledger) try(q QueueID, body string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.attempted[body] = q
}

func (l *ledger) ack(q QueueID, offset int64, body string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.acked[q] == nil {
		l.acked[q] = map[int64]string{}
	}
	l.acked[q][offset] = body
}

// forget is called before a topic is deleted.
func (l *ledger) forget(topic string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for q := range l.acked {
		if q.Topic == topic {
			delete(l.acked, q)
		}
	}
}

// check reads everything: offsets are dense, each has one body that was sent there, and
// what was acknowledged is there unless retention took it.
func (l *ledger) check(s *Store, ackedMustBeThere bool) error {
	found := map[string]bool{}
	for _, q := range s.Queues() {
		lo, hi, _ := s.QueueRange(q.Topic, q.ID)
		got, err := bodies(s, q.Topic, q.ID)
		if err != nil {
			return err
		}
		if int64(len(got)) != hi-lo {
			return fmt.Errorf("%v: %d messages between %d and %d", q, len(got), lo, hi)
		}
		for i, body := range got {
			offset := lo + int64(i)
			if at, ok := l.attempted[body]; !ok || at != q {
				return fmt.Errorf("%v offset %d: %q was never sent there", q, offset, body)
			}
			if found[body] {
				return fmt.Errorf("%v offset %d: %q is there twice", q, offset, body)
			}
			found[body] = true
			if want, ok := l.acked[q][offset]; ok && want != body && ackedMustBeThere {
				return fmt.Errorf("%v offset %d: %q, but %q was acknowledged", q, offset, body, want)
			}
		}
	}
	if !ackedMustBeThere {
		return nil
	}
	for q, m := range l.acked {
		lo, hi, _ := s.QueueRange(q.Topic, q.ID)
		for offset, body := range m {
			if offset >= hi || offset < lo && s.MinPhysical() == 0 {
				return fmt.Errorf("%v offset %d: %q was acknowledged and is lost (the queue is %d to %d)", q, offset, body, lo, hi)
			}
		}
	}
	return nil
}

// send puts bodies, all at once, and waits for the answers.
func (l *ledger) send(s *Store, q QueueID, bodies ...string) {
	var wg sync.WaitGroup
	for _, body := range bodies {
		l.try(q, body)
		wg.Add(1)
		s.Put(&PutRequest{Record: testRecord(q.Topic, q.ID, body, message.PropertyKeys, "k"+body), Done: func(r PutResult) {
			if r.Err == nil {
				l.ack(q, r.QueueOffset, body)
			}
			wg.Done()
		}})
	}
	wg.Wait()
}

func (l *ledger) sendBatch(s *Store, q QueueID, bodies ...string) {
	var recs []message.Record
	for _, body := range bodies {
		l.try(q, body)
		recs = append(recs, *testRecord(q.Topic, q.ID, body))
	}
	done := make(chan PutResult, 1)
	s.Put(&PutRequest{Batch: recs, Done: func(r PutResult) { done <- r }})
	if r := <-done; r.Err == nil {
		for i, body := range bodies {
			l.ack(q, r.QueueOffset+int64(i), body)
		}
	}
}

// crashWorkload crosses every kind of step: bursts, batches, file ends, checkpoints,
// retention, a deleted topic and clean restarts.
func crashWorkload(t *testing.T, fsys vfs.FS, cfg Config, l *ledger) {
	n := 0
	name := func() string { n++; return "m" + strconv.Itoa(n) + "-" + strings.Repeat("x", n*37%300) }
	burst := func(k int) (out []string) {
		for range k {
			out = append(out, name())
		}
		return out
	}
	a, b, c := QueueID{"orders", 0}, QueueID{"orders", 1}, QueueID{"gone", 0}
	for round := range 3 {
		s := start(t, fsys, cfg)
		for i := range 6 {
			l.send(s.Store, a, burst(1+i)...)
			l.send(s.Store, b, burst(2)...)
			l.sendBatch(s.Store, a, burst(3)...)
			if round < 2 {
				l.send(s.Store, c, burst(1)...)
			}
		}
		s.settle()
		if round == 1 {
			l.forget("gone")
			if err := s.DeleteTopic("gone"); err != nil {
				t.Fatal(err)
			}
			l.send(s.Store, c, burst(2)...)
		}
		s.settle()
		if err := s.Store.checkpoint(); err != nil {
			t.Fatal(err)
		}
		l.send(s.Store, b, burst(4)...)
		s.mustStop()
	}
}

type crashState struct {
	step   string
	fs     *vfs.Mem
	ledger *ledger
}

// crashes runs work on a memory file system and returns what a crash at each step that
// changes something would leave.
func crashes(opts []vfs.CrashOpts, base *vfs.Mem, l *ledger, work func(vfs.FS)) (states []crashState, steps int) {
	var mu sync.Mutex
	work(errorfs.Wrap(base, errorfs.Func(func(op errorfs.Op) errorfs.Action {
		if !op.Kind.Changes() {
			return errorfs.Action{}
		}
		mu.Lock()
		defer mu.Unlock()
		steps++
		// First the acknowledgements: what is acknowledged by now must be in the clone.
		known := l.clone()
		for _, o := range opts {
			o.Seed += uint64(steps) * 1000
			states = append(states, crashState{
				step: fmt.Sprintf("before step %d (%s %s, %d bytes at %d), mode %d, seed %d", steps, op.Kind, op.Path, op.Len,
					op.Offset, o.Mode, o.Seed),
				fs:     base.CrashClone(o),
				ledger: known,
			})
		}
		return errorfs.Action{}
	})))
	return states, steps
}

// verify opens what a crash left, checks it, goes on with it, crashes it again, and checks
// that too.
func (c crashState) verify(t *testing.T, cfg Config, ackedMustBeThere bool) error {
	t.Helper()
	cfg.RetentionBytes = 0 // a check looks at bounds first and reads then
	fail := func(what string, err error) error { return fmt.Errorf("crash %s: %s: %w", c.step, what, err) }
	s, err := Open(cfg, c.fs, nil, nil)
	if err != nil {
		return fail("open", err)
	}
	l := c.ledger.clone()
	if err := l.check(s, ackedMustBeThere); err != nil {
		s.Close()
		return fail("after the crash", err)
	}
	if !ackedMustBeThere {
		l.acked = map[QueueID]map[int64]string{} // what was lost may be given out again
	}
	r := run(t, s)
	for i := range 3 {
		for _, q := range []QueueID{{"orders", 0}, {"orders", 1}, {"new", 0}} {
			l.send(r.Store, q, fmt.Sprintf("after %v %d", q, i))
		}
	}
	r.settle()
	if err := l.check(r.Store, true); err != nil {
		return fail("going on", err)
	}
	again := c.fs.CrashClone(vfs.CrashOpts{Mode: vfs.CrashLose})
	if cfg.FlushDiskType == FlushAsync {
		again = c.fs.CrashClone(vfs.CrashOpts{Mode: vfs.CrashKeep})
	}
	if err := r.stop(); err != nil {
		return fail("stop", err)
	}
	if s, err = Open(cfg, again, nil, nil); err != nil {
		return fail("open after the second crash", err)
	}
	defer s.Close()
	if err := l.check(s, true); err != nil {
		return fail("after the second crash", err)
	}
	return nil
}

// seed can be given in MILLRACE_SEED to replay a run.
func seed(t *testing.T) uint64 {
	n := uint64(time.Now().UnixNano())
	if v := os.Getenv("MILLRACE_SEED"); v != "" {
		var err error
		if n, err = strconv.ParseUint(v, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("MILLRACE_SEED=%d", n)
	return n
}

func TestNothingAcknowledgedIsLostAtAnyStep(t *testing.T) {
	n := seed(t)
	for _, tc := range []struct {
		flush FlushDiskType
		modes []vfs.CrashMode
		acked bool // must what was acknowledged be there?
		once  bool // checkpoints sync queues all at once
	}{
		{FlushSync, []vfs.CrashMode{vfs.CrashTorn, vfs.CrashLose, vfs.CrashKeep}, true, false},
		{FlushSync, []vfs.CrashMode{vfs.CrashTorn}, true, true},
		{FlushAsync, []vfs.CrashMode{vfs.CrashKeep}, true, false},
		{FlushAsync, []vfs.CrashMode{vfs.CrashTorn, vfs.CrashLose}, false, false},
	} {
		t.Run(fmt.Sprintf("%s, modes %v, queues at once %v", tc.flush, tc.modes, tc.once), func(t *testing.T) {
			cfg := testConfig("/store")
			cfg.FlushDiskType = tc.flush
			cfg.RetentionBytes = 3 * cfg.FileSizeCommitLog
			cfg.RetentionInterval = time.Millisecond
			cfg.FlushInterval = time.Millisecond
			if tc.once {
				cfg.SyncAllAbove = 0
			}
			var opts []vfs.CrashOpts
			for _, m := range tc.modes {
				opts = append(opts, vfs.CrashOpts{Mode: m, Seed: n})
			}
			l := newLedger()
			states, steps := crashes(opts, vfs.NewMem(), l, func(fsys vfs.FS) { crashWorkload(t, fsys, cfg, l) })
			t.Logf("%d steps, %d crash states", steps, len(states))
			for _, c := range states {
				if err := c.verify(t, cfg, tc.acked); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestRecoveryMayCrashAtAnyStep(t *testing.T) {
	n := seed(t)
	cfg := testConfig("/store")
	l := newLedger()
	states, _ := crashes([]vfs.CrashOpts{{Seed: n}}, vfs.NewMem(), l, func(fsys vfs.FS) { crashWorkload(t, fsys, cfg, l) })
	total := 0
	for i := 0; i < len(states); i += max(1, len(states)/12) {
		c := states[i]
		again, steps := crashes([]vfs.CrashOpts{{Seed: n}}, c.fs, c.ledger, func(fsys vfs.FS) {
			s, err := Open(cfg, fsys, nil, nil)
			if err != nil {
				t.Fatalf("crash %s: open: %v", c.step, err)
			}
			s.Close()
		})
		total += steps
		for _, c2 := range again {
			c2.step = c.step + "; then " + c2.step
			if err := c2.verify(t, cfg, true); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d steps of recovery", total)
}
