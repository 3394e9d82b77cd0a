package store

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/vfs"
)

// fill puts messages of 300 bytes into two queues.
func fill(s *running, n int) {
	s.t.Helper()
	for i := range n {
		s.mustPut(testRecord("orders", int32(i%2), fmt.Sprintf("%d%s", i, strings.Repeat("x", 200))))
	}
	s.settle()
}

func TestRetentionBySizeMovesEveryMinimum(t *testing.T) {
	cfg := testConfig("/store")
	cfg.RetentionInterval = time.Millisecond
	cfg.RetentionBytes = 3 * cfg.FileSizeCommitLog
	fsys := vfs.NewMem()
	s := start(t, fsys, cfg)
	fill(s, 200)
	eventually(t, "the log is short enough", func() bool {
		return s.MaxPhysical()-s.MinPhysical() <= cfg.RetentionBytes
	})
	for q := range int32(2) {
		lo, hi, _ := s.QueueRange("orders", q)
		if lo == 0 || hi != 100 || len(s.bodies("orders", q)) != int(hi-lo) {
			t.Errorf("queue %d is %d to %d", q, lo, hi)
		}
		res, err := s.Get("orders", q, 0, GetOptions{})
		if err != nil || res.Status != OffsetTooSmall || res.NextOffset != lo {
			t.Errorf("below the minimum: status %d, next %d, %v; want %d", res.Status, res.NextOffset, err, lo)
		}
	}
	first := "/store/consumequeue/orders/0/" + strings.Repeat("0", 20)
	eventually(t, "consume queue files go too", func() bool { _, err := fsys.Stat(first); return err != nil })
	lo, hi, _ := s.QueueRange("orders", 0)
	s.mustStop()
	s = start(t, fsys, cfg)
	if lo2, hi2, _ := s.QueueRange("orders", 0); lo2 != lo || hi2 != hi {
		t.Errorf("after a restart queue 0 is %d to %d, was %d to %d", lo2, hi2, lo, hi)
	}
}

func TestAnExpiredQueueKeepsItsOffsets(t *testing.T) {
	cfg := testConfig("/store")
	cfg.RetentionInterval = time.Millisecond
	cfg.RetentionBytes = 2 * cfg.FileSizeCommitLog
	fsys := vfs.NewMem()
	s := start(t, fsys, cfg)
	for range 5 {
		s.mustPut(testRecord("idle", 0, "x"))
	}
	fill(s, 200)
	eventually(t, "the idle queue is empty", func() bool { lo, hi, _ := s.QueueRange("idle", 0); return lo == hi })
	s.mustStop()
	// Neither a restart nor a rebuild of everything that is derived may give offsets again.
	for _, rebuild := range []bool{false, true} {
		if rebuild {
			if err := fsys.Remove("/store/dispatchCheckpoint"); err != nil {
				t.Fatal(err)
			}
		}
		s = start(t, fsys, cfg)
		if lo, hi, ok := s.QueueRange("idle", 0); lo != 5 || hi != 5 || !ok {
			t.Fatalf("rebuild %v: the idle queue is %d to %d, %v; want 5 to 5", rebuild, lo, hi, ok)
		}
		for _, b := range []Boundary{Lower, Upper} {
			for _, at := range []int64{0, 1 << 50} {
				if got, err := s.OffsetByTime("idle", 0, at, b); got != 5 || err != nil {
					t.Fatalf("rebuild %v: the offset at %d is %d, %v; want 5", rebuild, at, got, err)
				}
			}
		}
		s.mustStop()
	}
	s = start(t, fsys, cfg)
	if r := s.mustPut(testRecord("idle", 0, "y")); r.QueueOffset != 5 {
		t.Fatalf("the next offset is %d, want 5", r.QueueOffset)
	}
}

func TestRetentionByTimeKeepsTheFileInUse(t *testing.T) {
	cfg := testConfig("/store")
	cfg.RetentionInterval = time.Millisecond
	cfg.FileReservedTime = time.Millisecond
	s := start(t, vfs.NewMem(), cfg)
	fill(s, 100)
	eventually(t, "all files but the one in use are gone", func() bool {
		return s.MinPhysical() >= s.MaxPhysical()-s.MaxPhysical()%cfg.FileSizeCommitLog
	})
	s.mustPut(testRecord("orders", 0, "goes on"))
}

func TestADiskThatFillsUpLosesItsOldestFiles(t *testing.T) {
	fsys := vfs.NewMem()
	cfg := testConfig("/store")
	cfg.RetentionInterval = time.Millisecond
	s := start(t, fsys, cfg)
	fill(s, 100)
	fsys.SetUsage(vfs.Usage{Total: 100, Free: 12}) // above the cleaning ratio, below the full one
	eventually(t, "files are deleted before their time", func() bool { return s.MinPhysical() > 0 })
	s.mustPut(testRecord("orders", 0, "goes on"))
}

func TestWhoNeedsOldMessagesHoldsThem(t *testing.T) {
	cfg := testConfig("/store")
	cfg.RetentionInterval = time.Millisecond
	cfg.RetentionBytes = 1
	s, err := Open(cfg, vfs.NewMem(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var need, asked, uptoMax atomic.Int64
	refuse := atomic.Bool{}
	refuse.Store(true)
	s.HoldRetention(func(f Expired) bool { return need.Load() < f.Upto })
	s.BeforeDelete(func(upto int64) error {
		asked.Add(1)
		uptoMax.Store(max(uptoMax.Load(), upto))
		if refuse.Load() {
			return errors.New("not yet")
		}
		return nil
	})
	r := run(t, s)
	fill(r, 100)
	size := cfg.FileSizeCommitLog
	need.Store(3*size + 7)
	eventually(t, "the hook is asked", func() bool { return asked.Load() > 2 })
	if s.MinPhysical() != 0 {
		t.Fatal("a file went although what is needed of it was not carried forward")
	}
	refuse.Store(false)
	eventually(t, "what nobody needs goes", func() bool { return s.MinPhysical() == 3*size })
	before := asked.Load()
	eventually(t, "retention looks again", func() bool { s.retainForTest(t); return true })
	if s.MinPhysical() != 3*size || asked.Load() != before || uptoMax.Load() != 3*size {
		t.Fatalf("the log begins at %d, the hook was asked up to %d; %d is needed", s.MinPhysical(), uptoMax.Load(), need.Load())
	}
}

func (s *Store) retainForTest(t *testing.T) {
	t.Helper()
	if err := s.retain(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestADeletedTopicIsGoneAndBeginsAgain(t *testing.T) {
	cfg := testConfig("/store")
	fsys := vfs.NewMem()
	s := start(t, fsys, cfg)
	for i := range 30 {
		s.mustPut(testRecord("old", 0, fmt.Sprint("old ", i)))
		s.mustPut(testRecord("other", 0, fmt.Sprint(i)))
	}
	if err := s.DeleteTopic("old"); err != nil {
		t.Fatal(err)
	}
	if _, _, ok := s.QueueRange("old", 0); ok {
		t.Error("the queue is still there")
	}
	if _, err := fsys.Stat("/store/consumequeue/old"); err == nil {
		t.Error("its files are still there")
	}
	s.mustPut(testRecord("old", 0, "new 0"))
	s.settle()
	crashed := fsys.CrashClone(vfs.CrashOpts{Mode: vfs.CrashLose})
	s.mustStop()
	for _, fsys := range []*vfs.Mem{fsys, crashed} {
		s = start(t, fsys, cfg)
		if got := s.bodies("old", 0); fmt.Sprint(got) != "[new 0]" {
			t.Errorf("after a restart the topic holds %q", got)
		}
		if got := s.bodies("other", 0); len(got) != 30 {
			t.Errorf("the other topic holds %d messages", len(got))
		}
		s.mustStop()
	}
	if err := s.DeleteTopic("../x"); !errors.Is(err, ErrBadRecord) {
		t.Errorf("a path: %v", err)
	}
}
