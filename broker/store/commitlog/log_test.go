package commitlog

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/broker/store/segment"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/message"
)

type entry struct {
	phys int64
	done chan error
}

func (e *entry) Admit() error { return nil }
func (e *entry) Place(b []byte, phys, ts int64) {
	e.phys = phys
	message.PatchStored(b, 0, phys, ts)
}
func (e *entry) Done(err error) { e.done <- err }

func newLog(t *testing.T, fsys vfs.FS, change func(*Config)) *Log {
	t.Helper()
	files, err := segment.Open(fsys, segment.NewCache(fsys, 8), "/log", 4096)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Sync: true, FlushInterval: time.Hour, Overdue: time.Hour, MaxBuffer: 4096, MaxRecord: 4096,
		Now:      func() int64 { return 1 },
		Readable: func(int64, int64, []byte) bool { return false },
		Flushed:  func(int64, int64) {},
	}
	change(&cfg)
	l := New(files, cfg, slog.New(slog.DiscardHandler))
	if err := l.Recover(Recovery{}, func(*message.Record, int64, int32) error { return nil }); err != nil {
		t.Fatal(err)
	}
	return l
}

func record(t *testing.T, size int) []byte {
	t.Helper()
	b, err := message.AppendRecord(nil, &message.Record{Topic: "t", Body: make([]byte, size)})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func appendTo(l *Log, b []byte, durable bool) *entry {
	e := &entry{done: make(chan error, 1)}
	l.Append(e, b, durable)
	return e
}

// A sync that hangs answers those who wait for it; what comes after it is stored all the same.
func TestAnOverdueSyncIsAnswered(t *testing.T) {
	var stuck atomic.Bool
	release := make(chan struct{})
	fsys := errorfs.Wrap(vfs.NewMem(), errorfs.Func(func(op errorfs.Op) errorfs.Action {
		if op.Kind == errorfs.Sync && stuck.Load() {
			<-release
		}
		return errorfs.Action{}
	}))
	l := newLog(t, fsys, func(c *Config) { c.Overdue = 4 * time.Millisecond })
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- l.Run(ctx) }()
	if err := <-appendTo(l, record(t, 10), false).done; err != nil {
		t.Fatal(err)
	}
	stuck.Store(true)
	late := appendTo(l, record(t, 10), false)
	if err := <-late.done; !errors.Is(err, ErrTimeout) {
		t.Fatalf("an append behind a stuck sync: %v, want ErrTimeout", err)
	}
	if l.Readable() > late.phys {
		t.Fatal("it is readable before it is synced")
	}
	stuck.Store(false)
	close(release)
	if err := <-appendTo(l, record(t, 10), false).done; err != nil {
		t.Fatal(err)
	}
	if l.Readable() <= late.phys {
		t.Fatal("what came late is not readable")
	}
	cancel()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	if err := <-appendTo(l, record(t, 10), false).done; !errors.Is(err, ErrStopped) {
		t.Fatalf("an append after the end: %v, want ErrStopped", err)
	}
}

func TestUnderAsyncFlushOnlyWhoAsksWaitsForTheSync(t *testing.T) {
	var syncs atomic.Int64
	fsys := errorfs.Wrap(vfs.NewMem(), errorfs.Func(func(op errorfs.Op) errorfs.Action {
		if op.Kind == errorfs.Sync {
			syncs.Add(1)
		}
		return errorfs.Action{}
	}))
	l := newLog(t, fsys, func(c *Config) { c.Sync = false })
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- l.Run(ctx) }()
	if err := <-appendTo(l, record(t, 10), false).done; err != nil {
		t.Fatal(err)
	}
	before := syncs.Load()
	if err := <-appendTo(l, record(t, 10), false).done; err != nil || syncs.Load() != before || l.Flushed() != 0 {
		t.Fatalf("%v; %d syncs, flushed up to %d", err, syncs.Load()-before, l.Flushed())
	}
	asks := appendTo(l, record(t, 10), true)
	if err := <-asks.done; err != nil || l.Flushed() <= asks.phys {
		t.Fatalf("%v; flushed up to %d, it stands at %d", err, l.Flushed(), asks.phys)
	}
	cancel()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
}

func TestAppendsWaitForBufferSpaceAndAreBounded(t *testing.T) {
	l := newLog(t, vfs.NewMem(), func(*Config) {})
	if err := <-appendTo(l, record(t, 5000), false).done; !errors.Is(err, ErrTooLarge) {
		t.Fatalf("larger than a file: %v", err)
	}
	// Before Run nothing is written: the second of these must wait, and goes on with Run.
	first := appendTo(l, record(t, 3000), false)
	second := make(chan *entry)
	go func() { second <- appendTo(l, record(t, 3000), false) }()
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- l.Run(ctx) }()
	if err := <-first.done; err != nil {
		t.Fatal(err)
	}
	e := <-second
	if err := <-e.done; err != nil || e.phys != 4096 {
		t.Fatalf("%v, at %d; want the next file", err, e.phys)
	}
	n := 0
	if end, err := l.Scan(0, func(*message.Record, int64, int32) error { n++; return nil }); n != 2 || err != nil || end != l.Max() {
		t.Fatalf("%d records up to %d, %v", n, end, err)
	}
	cancel()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
}

func TestThePrewriterNeverTouchesData(t *testing.T) {
	z := &prewriter{}
	z.init()
	z.reset(5000)
	z.beforeWrite(5000, 5100)
	z.advance(5100, 100)
	from, to, ok := z.next(20_000, 1<<20)
	if !ok || from != 8192 || to > 5100+20_000 || to <= from {
		t.Fatalf("zeroes from %d to %d", from, to)
	}
	wrote := make(chan struct{})
	go func() { z.beforeWrite(5100, from+1); close(wrote) }()
	select {
	case <-wrote:
		t.Fatal("the writer did not wait for zeroes that are under way where it writes")
	default:
	}
	z.done(nil)
	<-wrote
	z.advance(from+12_000, 100)
	if next, _, _ := z.next(20_000, 1<<20); next < to {
		t.Fatalf("zeroes again from %d, written up to %d", next, to)
	}
	z.done(nil)
	z.stop()
	if _, _, ok := z.next(20_000, 1<<20); ok {
		t.Fatal("it goes on after the end")
	}
}
