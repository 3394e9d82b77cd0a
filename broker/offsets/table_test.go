package offsets

import (
	"errors"
	"log/slog"
	"maps"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/vfs"
)

var (
	orders = Key{Topic: "orders", Group: "lake"}
	now    = time.Unix(1700000000, 0)
	quiet  = slog.New(slog.DiscardHandler)
)

func TestCommitAndGet(t *testing.T) {
	table := New(2)
	if _, ok := table.Get(orders, 0); ok {
		t.Fatal("an empty table knows an offset")
	}
	for _, c := range []struct {
		queue  int32
		offset int64
		want   error
	}{{0, 5, nil}, {1, 7, nil}, {2, 9, ErrTooMany}, {0, 3, nil}} {
		if err := table.Commit(orders, c.queue, c.offset); !errors.Is(err, c.want) {
			t.Fatalf("commit %d %d: %v", c.queue, c.offset, err)
		}
	}
	if got := table.Queues(orders); !maps.Equal(got, map[int32]int64{0: 3, 1: 7}) {
		t.Fatalf("offsets %v", got)
	}
	table.DropTopic("orders")
	if err := table.Commit(orders, 2, 9); err != nil {
		t.Fatalf("dropped offsets still take room: %v", err)
	}
	table.DropGroup("lake")
	if keys := table.Keys(); len(keys) != 0 {
		t.Fatalf("left: %v", keys)
	}
}

func TestFileRoundTrip(t *testing.T) {
	fsys, name := vfs.OS(), t.TempDir()+"/consumerOffset.json"
	table := New(10)
	commit := func(queue int32, offset int64) {
		t.Helper()
		if err := table.Commit(orders, queue, offset); err != nil {
			t.Fatal(err)
		}
		if err := table.Flush(fsys, name, now); err != nil {
			t.Fatal(err)
		}
	}
	commit(0, 1)
	commit(0, 2)
	loaded := New(10)
	if err := loaded.Load(fsys, name, quiet); err != nil {
		t.Fatal(err)
	}
	if got := loaded.Queues(orders); !maps.Equal(got, map[int32]int64{0: 2}) {
		t.Fatalf("read back %v", got)
	}

	if err := vfs.WriteFileAtomic(fsys, name, []byte(`{"offsetTable":{"orders@lake":{"0":`)); err != nil {
		t.Fatal(err)
	}
	if err := loaded.Load(fsys, name, quiet); err != nil {
		t.Fatal(err)
	}
	if got := loaded.Queues(orders); !maps.Equal(got, map[int32]int64{0: 1}) {
		t.Fatalf("from the backup %v", got)
	}
	if err := vfs.WriteFileAtomic(fsys, name+vfs.BackupSuffix, []byte(`{`)); err != nil {
		t.Fatal(err)
	}
	if err := loaded.Load(fsys, name, quiet); err == nil {
		t.Fatal("two damaged files are an empty table")
	}
}

func TestFilesOfOthers(t *testing.T) {
	for _, c := range []struct {
		file string
		ok   bool
		want int64
	}{
		{`{"offsetTable":{"orders@lake":{0:12,1:0}}}`, true, 12},
		{`{"offsetTable":{"orders@lake":{"0":12}},"dataVersion":{"counter":1,"stateVersion":0,"timestamp":5}}`, true, 12},
		{`{"offsetTable":{"orders@lake":{ 0 : 12 }}}`, true, 12},
		{`{"offsetTable":{"orders":{"0":12}}}`, false, 0},
		{`{"offsetTable":{"orders@lake":{"x":12}}}`, false, 0},
		{`{"offsetTable":{"orders@lake":{"-1":12}}}`, false, 0},
		{``, false, 0},
	} {
		table := New(10)
		err := table.decode([]byte(c.file))
		got, _ := table.Get(orders, 0)
		if (err == nil) != c.ok || got != c.want {
			t.Errorf("%s: offset %d, %v", c.file, got, err)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(`{"offsetTable":{"orders@lake":{0:12,"1":0}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		table := New(10)
		if table.decode(data) != nil {
			return
		}
		again, err := table.Encode()
		if err != nil {
			t.Fatal(err)
		}
		second := New(10)
		if err := second.decode(again); err != nil {
			t.Fatalf("%s does not read back: %v", again, err)
		}
		for _, k := range table.Keys() {
			if !maps.Equal(table.Queues(k), second.Queues(k)) {
				t.Fatalf("%v: %v became %v", k, table.Queues(k), second.Queues(k))
			}
		}
	})
}
