package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/errorfs"
)

// eventually waits for a condition that other goroutines bring about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(25 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func TestAFailedWriteOrSyncEndsAcknowledgements(t *testing.T) {
	for _, tc := range []struct {
		flush FlushDiskType
		kind  errorfs.Kind
	}{
		{FlushSync, errorfs.Sync}, {FlushSync, errorfs.WriteAt}, {FlushAsync, errorfs.WriteAt},
	} {
		t.Run(fmt.Sprintf("%s/%s", tc.flush, tc.kind), func(t *testing.T) {
			var faults errorfs.Script
			base := vfs.NewMem()
			cfg := testConfig("/store")
			cfg.FlushDiskType = tc.flush
			cfg.PreWriteBytes = 0
			l := newLedger()
			s := start(t, errorfs.Wrap(base, &faults), cfg)
			q := QueueID{"orders", 0}
			l.send(s.Store, q, "before")
			// One failure is enough: that the next try would succeed proves nothing.
			faults.Set(errorfs.Rule{Kind: tc.kind, Path: "commitlog", Times: 1, Action: errorfs.Action{Err: syscall.EIO}})
			for i := range 3 {
				body := fmt.Sprintf("during %d", i)
				l.try(q, body)
				if res := s.put(testRecord(q.Topic, q.ID, body)); !errors.Is(res.Err, ErrFailed) || !errors.Is(res.Err, syscall.EIO) {
					t.Fatalf("put %d: error is %v, want ErrFailed with its cause", i, res.Err)
				}
			}
			if err := s.stop(); !errors.Is(err, ErrFailed) {
				t.Fatalf("Run returned %v, want ErrFailed", err)
			}
			re := start(t, base.CrashClone(vfs.CrashOpts{}), cfg)
			if err := l.check(re.Store, tc.flush == FlushSync); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestAsyncSyncFailureFailsWhoWaitsForIt(t *testing.T) {
	var faults errorfs.Script
	cfg := testConfig("/store")
	cfg.FlushDiskType, cfg.FlushInterval = FlushAsync, time.Hour
	s := start(t, errorfs.Wrap(vfs.NewMem(), &faults), cfg)
	s.mustPut(testRecord("orders", 0, "makes the file"))
	faults.Set(errorfs.Rule{Kind: errorfs.Sync, Path: "commitlog", Action: errorfs.Action{Err: syscall.EIO}})
	s.mustPut(testRecord("orders", 0, "asks for nothing"))
	done := make(chan PutResult, 1)
	s.Put(&PutRequest{Record: testRecord("orders", 0, "must be durable"), MustBeDurable: true, Done: func(r PutResult) { done <- r }})
	if r := <-done; !errors.Is(r.Err, ErrFailed) {
		t.Fatalf("error is %v, want ErrFailed", r.Err)
	}
}

func TestAFullDiskIsWaitedFor(t *testing.T) {
	var faults errorfs.Script
	cfg := testConfig("/store")
	cfg.SyncFlushTimeout = 20 * time.Millisecond
	l := newLedger()
	q := QueueID{"orders", 0}
	base := vfs.NewMem()
	s := start(t, errorfs.Wrap(base, &faults), cfg)
	l.send(s.Store, q, "before")
	s.settle()

	faults.Set(errorfs.Rule{Kind: errorfs.WriteAt, Path: "commitlog", Action: errorfs.Action{Err: syscall.ENOSPC, Tear: 50}})
	l.try(q, "caught by it")
	if res := s.put(testRecord(q.Topic, q.ID, "caught by it")); !errors.Is(res.Err, ErrFlushTimeout) {
		t.Fatalf("a put that is caught: error is %v, want ErrFlushTimeout", res.Err)
	}
	if res := s.put(testRecord(q.Topic, q.ID, "refused")); !errors.Is(res.Err, ErrDiskFull) {
		t.Fatalf("a put while the disk is full: error is %v, want ErrDiskFull", res.Err)
	}
	if err := s.Err(); !errors.Is(err, ErrDiskFull) {
		t.Fatalf("Err is %v, want ErrDiskFull", err)
	}
	if got := s.bodies(q.Topic, q.ID); len(got) != 1 {
		t.Fatalf("readers see %q", got)
	}

	faults.Set()
	eventually(t, "the store takes writes again", func() bool { return s.Err() == nil })
	l.send(s.Store, q, "after")
	s.settle()
	if got := s.bodies(q.Topic, q.ID); fmt.Sprint(got) != "[before caught by it after]" {
		t.Fatalf("the queue holds %q", got)
	}
	re := start(t, base.CrashClone(vfs.CrashOpts{Mode: vfs.CrashLose}), cfg)
	if err := l.check(re.Store, true); err != nil {
		t.Fatal(err)
	}
}

func TestNoSpaceForANewFileIsWaitedFor(t *testing.T) {
	var faults errorfs.Script
	cfg := testConfig("/store")
	cfg.PreWriteBytes = 0
	s := start(t, errorfs.Wrap(vfs.NewMem(), &faults), cfg)
	faults.Set(errorfs.Rule{Kind: errorfs.Create, Path: "commitlog", Action: errorfs.Action{Err: syscall.ENOSPC}})
	var results []chan PutResult
	for i := range 40 {
		ch := make(chan PutResult, 1)
		results = append(results, ch)
		s.Put(&PutRequest{Record: testRecord("orders", 0, fmt.Sprintf("%03d%s", i, strings.Repeat("x", 200))), Done: func(r PutResult) { ch <- r }})
	}
	eventually(t, "the disk is found full", func() bool { return errors.Is(s.Err(), ErrDiskFull) })
	faults.Set()
	for _, ch := range results {
		if r := <-ch; r.Err != nil && !errors.Is(r.Err, ErrDiskFull) {
			t.Fatal(r.Err)
		}
	}
	eventually(t, "the store takes writes again", func() bool { return s.Err() == nil })
	s.settle()
	s.bodies("orders", 0)
}

func TestADiskAboveItsRatioRefusesWritesUntilItIsBelow(t *testing.T) {
	fsys := vfs.NewMem()
	cfg := testConfig("/store")
	cfg.RetentionInterval = time.Millisecond
	s := start(t, fsys, cfg)
	s.mustPut(testRecord("orders", 0, "before"))
	fsys.SetUsage(vfs.Usage{Total: 100, Free: 5})
	eventually(t, "writes are refused", func() bool { return errors.Is(s.Err(), ErrDiskFull) })
	if res := s.put(testRecord("orders", 0, "refused")); !errors.Is(res.Err, ErrDiskFull) {
		t.Fatalf("error is %v, want ErrDiskFull", res.Err)
	}
	done := make(chan PutResult, 1)
	s.Put(&PutRequest{Record: testRecord("orders", 0, "carried forward"), WhenFull: true, Done: func(r PutResult) { done <- r }})
	if r := <-done; r.Err != nil {
		t.Fatalf("what retention carries forward was refused: %v", r.Err)
	}
	fsys.SetUsage(vfs.Usage{Total: 100, Free: 50})
	eventually(t, "writes are taken", func() bool { return s.Err() == nil })
	s.mustPut(testRecord("orders", 0, "after"))
}

// Whatever operation fails once, with whatever error: what was acknowledged is there after
// a power cut, and what is served is whole.
func TestAnyOperationMayFailOnce(t *testing.T) {
	cfg := testConfig("/store")
	cfg.SyncFlushTimeout = time.Millisecond
	work := func(fsys vfs.FS, l *ledger) {
		s, err := Open(cfg, fsys, nil, nil)
		if err != nil {
			return
		}
		defer s.Close()
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		for i := range 12 {
			l.send(s, QueueID{"orders", 0}, fmt.Sprintf("a%d", i), fmt.Sprintf("b%d%s", i, strings.Repeat("x", 300)))
			if i == 6 {
				_ = s.checkpoint()
			}
		}
		cancel()
		<-done
	}
	count := errorfs.Wrap(vfs.NewMem(), errorfs.Func(func(errorfs.Op) errorfs.Action { return errorfs.Action{} }))
	work(count, newLedger())
	t.Logf("%d operations", count.Steps())
	for _, fault := range []error{syscall.EIO, syscall.ENOSPC} {
		for n := int64(1); n <= count.Steps(); n++ {
			base, l := vfs.NewMem(), newLedger()
			var failed errorfs.Op
			work(errorfs.Wrap(base, errorfs.Func(func(op errorfs.Op) errorfs.Action {
				if op.N != n {
					return errorfs.Action{}
				}
				failed = op
				return errorfs.Action{Err: fault, Tear: op.Len / 2}
			})), l)
			s, err := Open(cfg, base.CrashClone(vfs.CrashOpts{Seed: uint64(n)}), nil, nil)
			if err == nil {
				err = l.check(s, true)
				s.Close()
			}
			if err != nil {
				t.Fatalf("operation %d (%s %s) failed with %v, then the power: %v", n, failed.Kind, failed.Path, fault, err)
			}
		}
	}
}
