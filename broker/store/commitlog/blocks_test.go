package commitlog

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/broker/store/segment"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/message"
)

// largeLog holds more than blocks keep, in files that end inside a block, and a last block
// that is readable in part.
func largeLog(t *testing.T, fsys vfs.FS) *Log {
	t.Helper()
	files, err := segment.Open(fsys, segment.NewCache(fsys, 8), "/log", 300<<10)
	if err != nil {
		t.Fatal(err)
	}
	l := New(files, Config{
		Sync: true, FlushInterval: time.Hour, Overdue: time.Hour, MaxBuffer: 1 << 20, MaxRecord: 1 << 20,
		Now:      func() int64 { return 1 },
		Readable: func(int64, int64, []byte) bool { return false },
		Flushed:  func(int64, int64) {},
	}, slog.New(slog.DiscardHandler))
	if err := l.Recover(Recovery{}, func(*message.Record, int64, int32) error { return nil }); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	rnd := rand.New(rand.NewPCG(1, 2))
	for l.Max() < (maxReadBlocks+10)*readBlock {
		body := make([]byte, 1+rnd.IntN(40<<10))
		for i := range body {
			body[i] = byte(rnd.Uint32())
		}
		b, err := message.AppendRecord(nil, &message.Record{Topic: "t", Body: body})
		if err != nil {
			t.Fatal(err)
		}
		e := appendTo(l, b, true)
		if err := <-e.done; err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return l
}

// A cursor reads what the log reads, wherever and whoever else reads.
func TestACursorReadsWhatTheLogReads(t *testing.T) {
	l := largeLog(t, vfs.NewMem())
	end := l.Readable()
	var wg sync.WaitGroup
	for reader := range uint64(4) {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(3, reader))
			c := l.Cursor()
			defer c.Close()
			at := int64(0)
			for range 2000 {
				switch rnd.IntN(20) {
				case 0:
					at = rnd.Int64N(end)
				case 1:
					c.Forget()
				case 2:
					l.TrimReads()
				}
				got := make([]byte, 1+rnd.IntN(50<<10))
				want := bytes.Clone(got)
				err, wantErr := c.ReadAt(got, at), l.ReadAt(want, at)
				if errors.Is(err, ErrNotFound) != errors.Is(wantErr, ErrNotFound) || (err == nil) != (wantErr == nil) || !bytes.Equal(got, want) {
					t.Errorf("%d bytes at %d of %d: %v, the log says %v", len(got), at, end, err, wantErr)
					return
				}
				if at += rnd.Int64N(20 << 10); err != nil || at >= end {
					at = 0
				}
			}
		})
	}
	wg.Wait()
	if n, spare := len(l.blocks.kept), len(l.blocks.spare); n+spare > maxReadBlocks {
		t.Errorf("%d blocks are kept and %d spare, the limit is %d", n, spare, maxReadBlocks)
	}
	l.TrimReads()
	l.TrimReads()
	if n, spare := len(l.blocks.kept), len(l.blocks.spare); n+spare > 0 {
		t.Errorf("nobody reads any more, and %d blocks are kept, %d spare", n, spare)
	}
}

// Blocks that cursors stand on are not used for others, however many there are.
func TestBlocksInUseStay(t *testing.T) {
	l := largeLog(t, vfs.NewMem())
	cursors := make([]Cursor, maxReadBlocks+5)
	for i := range cursors {
		cursors[i] = l.Cursor()
		if err := cursors[i].ReadAt(make([]byte, 1), int64(i)*readBlock); err != nil {
			t.Fatal(err)
		}
	}
	for i := range cursors {
		var got, want [100]byte
		at := int64(i)*readBlock + 1
		if err := errors.Join(cursors[i].ReadAt(got[:], at), l.ReadAt(want[:], at)); err != nil || got != want {
			t.Errorf("cursor %d reads something else: %v", i, err)
		}
		cursors[i].Close()
	}
	if n := len(l.blocks.kept); n > maxReadBlocks {
		t.Errorf("%d blocks are kept, the limit is %d", n, maxReadBlocks)
	}
}

// What is below the oldest file is not read from a block, though one has it.
func TestDeletedBytesAreNotReadFromBlocks(t *testing.T) {
	l := largeLog(t, vfs.NewMem())
	c := l.Cursor()
	defer c.Close()
	if err := c.ReadAt(make([]byte, 10), 0); err != nil {
		t.Fatal(err)
	}
	if ok, err := l.Files().RemoveFirst(l.Files().FileSize()); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if err := c.ReadAt(make([]byte, 10), 20); !errors.Is(err, ErrNotFound) {
		t.Errorf("the cursor that stands there: %v, want ErrNotFound", err)
	}
}
