package inspect_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/broker/store"
	"github.com/millrace/millrace/broker/store/inspect"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/message"
)

const stored = 200

// filled is the directory of a store that was filled and closed: two queues, several
// files.
func filled(t *testing.T) string {
	t.Helper()
	cfg := small(t)
	inStore(t, cfg, func(s *store.Store) {
		for i := range stored {
			put(t, s, "orders", int32(i%2), fmt.Sprintf("body %d", i))
		}
	})
	return cfg.Dir
}

func small(t *testing.T) store.Config {
	cfg := store.DefaultConfig()
	cfg.Dir = filepath.Join(t.TempDir(), "store")
	cfg.FileSizeCommitLog, cfg.FileSizeConsumeQueue, cfg.PreWriteBytes, cfg.MaxMessageSize = 8192, 20*16, 8192, 2048
	cfg.IndexSlots, cfg.IndexEntries = 64, 1024
	cfg.StoreHost = netip.MustParseAddrPort("127.0.0.1:10911")
	return cfg
}

// inStore runs fn with a running store and closes the store.
func inStore(t *testing.T, cfg store.Config, fn func(*store.Store)) {
	t.Helper()
	s, err := store.Open(cfg, vfs.OS(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	fn(s)
	if err := s.WaitDispatched(ctx, s.MaxPhysical()); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, s *store.Store, topic string, queue int32, body string) {
	t.Helper()
	answer := make(chan store.PutResult, 1)
	s.Put(&store.PutRequest{
		Record: &message.Record{Topic: topic, QueueID: queue, Body: []byte(body), BornHost: netip.MustParseAddrPort("127.0.0.1:10911")},
		Done:   func(r store.PutResult) { answer <- r },
	})
	if r := <-answer; r.Err != nil {
		t.Fatal(r.Err)
	}
}

// The records that Walk shows share memory that is used again for those behind them.
func TestTopicsOfALargeLogAreToldApart(t *testing.T) {
	cfg := small(t)
	cfg.FileSizeCommitLog, cfg.PreWriteBytes, cfg.MaxMessageSize = 64<<20, 1<<20, 1<<20
	inStore(t, cfg, func(s *store.Store) {
		for i := range 24 {
			for topic := range 1 + i%7 {
				put(t, s, fmt.Sprintf("topic%d", topic), 0, strings.Repeat("x", 70_000*(topic+1)+i))
			}
		}
	})
	report, err := inspect.Store{Dir: cfg.Dir}.Verify()
	if err != nil || report.Queues != 7 || report.Behind != 0 || len(report.Problems) != 0 {
		t.Errorf("%v, %+v", err, report)
	}
}

func TestATopicThatWasDeletedAndMadeAgainIsNoDamage(t *testing.T) {
	cfg := small(t)
	inStore(t, cfg, func(s *store.Store) {
		put(t, s, "orders", 0, "before")
		put(t, s, "orders", 0, "before")
		if err := s.WaitDispatched(t.Context(), s.MaxPhysical()); err != nil {
			t.Fatal(err)
		}
		if err := s.DeleteTopic("orders"); err != nil {
			t.Fatal(err)
		}
		put(t, s, "orders", 0, "after")
	})
	report, err := inspect.Store{Dir: cfg.Dir}.Verify()
	if err != nil || report.Behind != 0 || len(report.Problems) != 0 {
		t.Errorf("%v, %+v", err, report)
	}
}

func TestALogAndItsQueuesAgree(t *testing.T) {
	report, err := inspect.Store{Dir: filled(t)}.Verify()
	if err != nil {
		t.Fatal(err)
	}
	if report.Records != stored || report.Units != stored || report.Queues != 2 || report.Behind != 0 || len(report.Problems) != 0 {
		t.Errorf("%+v", report)
	}
}

func TestWalkBeginsAndStopsWhereItIsTold(t *testing.T) {
	s := inspect.Store{Dir: filled(t)}
	var offsets []int64
	if err := s.Walk(0, func(_ *message.Record, phys int64, _ int) error { offsets = append(offsets, phys); return nil }); err != nil {
		t.Fatal(err)
	}
	seen := 0
	err := s.Walk(offsets[150], func(r *message.Record, _ int64, _ int) error {
		if seen == 0 && string(r.Body) != "body 150" {
			t.Errorf("begins with %q", r.Body)
		}
		if seen++; seen == 10 {
			return inspect.ErrStop
		}
		return nil
	})
	if err != nil || seen != 10 {
		t.Errorf("%d records, %v", seen, err)
	}
}

func TestDamageIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		at   int64
		says string
	}{
		"a body":  {"commitlog/00000000000000000000", 90, "commit log offset 0"},
		"a size":  {"commitlog/00000000000000000000", 1, "at offset 0"},
		"a queue": {"consumequeue/orders/0/00000000000000000000", 7, "consume queue orders/0 offset 0"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filled(t)
			path := filepath.Join(dir, c.file)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			data[c.at] ^= 0x55
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			report, err := inspect.Store{Dir: dir}.Verify()
			if err != nil || !strings.Contains(strings.Join(report.Problems, "\n"), c.says) {
				t.Errorf("%v, problems %q", err, report.Problems)
			}
		})
	}
}
