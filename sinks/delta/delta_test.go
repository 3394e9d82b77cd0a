package delta

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/sinks/objects"
)

// on is the store of a file system.
func on(fsys vfs.FS) objects.Store { return objects.NewLocal(fsys, "r") }

func openLog(t testing.TB, fsys vfs.FS) *Log {
	t.Helper()
	l, err := Open(context.Background(), on(fsys), "t")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func commit(t testing.TB, l *Log, actions ...Action) int64 {
	t.Helper()
	v, err := l.Commit(context.Background(), actions)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func begin() []Action {
	return []Action{
		{Protocol: &Protocol{MinReaderVersion: 3, MinWriterVersion: 7, ReaderFeatures: []string{"timestampNtz"}, WriterFeatures: []string{"timestampNtz", "domainMetadata"}}},
		{Metadata: &Metadata{ID: "id", Format: Format{Provider: "parquet", Options: map[string]string{}}, SchemaString: (&Schema{Fields: []Field{{Name: "größe", Type: "long"}}}).Text(),
			PartitionColumns: []string{"_dt"}, Configuration: map[string]string{"a": "b"}, CreatedTime: 5}},
	}
}

func add(n int) Action {
	return Action{Add: &Add{Path: fmt.Sprintf("f%d.parquet", n), PartitionValues: map[string]string{"_dt": "2026-08-21"}, Size: int64(n), DataChange: true,
		Stats: `{"numRecords":1,"minValues":{"größe":"𝄞"}}`, Tags: map[string]string{"k": "v"}}}
}

func remove(n int, at int64) Action {
	return Action{Remove: &Remove{Path: fmt.Sprintf("f%d.parquet", n), DeletionTimestamp: at, DataChange: true, Size: int64(n)}}
}

// same compares two snapshots but for what checkpoints do not keep.
func same(t *testing.T, got, want *Snapshot) {
	t.Helper()
	for _, c := range []struct {
		name      string
		got, want any
	}{{"version", got.Version, want.Version}, {"protocol", got.Protocol, want.Protocol}, {"metadata", got.Metadata, want.Metadata},
		{"txns", got.Txns, want.Txns}, {"domains", got.Domains, want.Domains}, {"paths", got.Paths(), want.Paths()}} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Fatalf("%s: %+v, not %+v", c.name, c.got, c.want)
		}
	}
	for p, f := range want.Files {
		g := *got.Files[p]
		g.DataChange = f.DataChange
		if !reflect.DeepEqual(g, *f) {
			t.Fatalf("file %s: %+v, not %+v", p, g, *f)
		}
	}
	for p, r := range want.Removed {
		if g := got.Removed[p]; g == nil || g.DeletionTimestamp != r.DeletionTimestamp || g.Size != r.Size {
			t.Fatalf("removed %s: %+v, not %+v", p, g, *r)
		}
	}
}

func TestReopeningShowsWhatWasCommitted(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		mem := vfs.NewMem()
		l := openLog(t, mem)
		commit(t, l, begin()...)
		for n := range 60 {
			actions := []Action{add(n), {Txn: &Txn{AppID: fmt.Sprint("q", rng.IntN(3)), Version: int64(n), LastUpdated: int64(n)}},
				{Domain: &Domain{Domain: fmt.Sprint("d", rng.IntN(4)), Configuration: fmt.Sprint(n), Removed: rng.IntN(5) == 0}}}
			if n > 3 && rng.IntN(2) == 0 {
				actions = append(actions, remove(rng.IntN(n), int64(1000+n)))
			}
			commit(t, l, actions...)
			switch rng.IntN(8) {
			case 0:
				if err := l.Checkpoint(context.Background(), time.UnixMilli(0)); err != nil {
					t.Fatal(err)
				}
			case 1:
				if _, err := l.CleanLog(context.Background(), time.Now(), int64(n)); err != nil {
					t.Fatal(err)
				}
			case 2:
				same(t, openLog(t, mem).Snapshot(), l.Snapshot())
			}
		}
		same(t, openLog(t, mem).Snapshot(), l.Snapshot())
	}
}

func TestOfManyWritersOneSucceeds(t *testing.T) {
	mem := vfs.NewMem()
	commit(t, openLog(t, mem), begin()...)
	const writers, each = 8, 20
	var wg sync.WaitGroup
	for w := range writers {
		l := openLog(t, mem)
		wg.Go(func() {
			for n := range each {
				for {
					_, err := l.Commit(context.Background(), []Action{add(w*each + n), {Txn: &Txn{AppID: fmt.Sprint(w), Version: int64(n)}}})
					if err == nil {
						break
					}
					if !errors.Is(err, ErrConflict) {
						t.Error(err)
						return
					}
					if _, err := l.Refresh(context.Background()); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	s := openLog(t, mem).Snapshot()
	if s.Version != writers*each || len(s.Files) != writers*each {
		t.Fatalf("version %d with %d files", s.Version, len(s.Files))
	}
}

func TestAFailedCommitIsNotThereOrUnknown(t *testing.T) {
	for n := int64(1); ; n++ {
		mem := vfs.NewMem()
		commit(t, openLog(t, mem), begin()...)
		count := int64(0)
		l := openLog(t, errorfs.Wrap(mem, errorfs.Func(func(op errorfs.Op) errorfs.Action {
			if op.Kind.Changes() {
				if count++; count == n {
					return errorfs.Action{Err: syscall.ENOSPC}
				}
			}
			return errorfs.Action{}
		})))
		_, err := l.Commit(context.Background(), []Action{add(1)})
		there := openLog(t, mem).Snapshot().Version == 1
		switch {
		case err == nil && !there:
			t.Fatalf("step %d: acknowledged and not there", n)
		case errors.Is(err, ErrNotCommitted) && there:
			t.Fatalf("step %d: there, but %v", n, err)
		}
		if err == nil && n > 10 {
			return
		}
	}
}

func TestAnAcknowledgedCommitSurvivesEveryCrash(t *testing.T) {
	mem := vfs.NewMem()
	acked := int64(-1)
	var l *Log
	steps := 0
	fsys := errorfs.Wrap(mem, errorfs.Func(func(op errorfs.Op) errorfs.Action {
		if !op.Kind.Changes() {
			return errorfs.Action{}
		}
		steps++
		for _, mode := range []vfs.CrashMode{vfs.CrashLose, vfs.CrashTorn, vfs.CrashKeep} {
			found, err := Open(context.Background(), on(mem.CrashClone(vfs.CrashOpts{Mode: mode, Seed: uint64(steps)})), "t")
			if err != nil {
				t.Fatalf("step %d (%s %s), mode %d: %v", steps, op.Kind, op.Path, mode, err)
			}
			if v := found.Snapshot().Version; v < acked || v > acked+1 {
				t.Fatalf("step %d (%s %s), mode %d: version %d, acknowledged %d", steps, op.Kind, op.Path, mode, v, acked)
			}
		}
		return errorfs.Action{}
	}))
	l = openLog(t, fsys)
	acked = commit(t, l, begin()...)
	for n := range 6 {
		acked = commit(t, l, add(n))
		if n%2 == 1 {
			if err := l.Checkpoint(context.Background(), time.UnixMilli(0)); err != nil {
				t.Fatal(err)
			}
			if _, err := l.CleanLog(context.Background(), time.Now(), acked); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestDamageIsNamed(t *testing.T) {
	build := func() (*vfs.Mem, *Log) {
		mem := vfs.NewMem()
		l := openLog(t, mem)
		commit(t, l, begin()...)
		for n := range 4 {
			commit(t, l, add(n))
		}
		return mem, l
	}
	rewrite := func(mem *vfs.Mem, name, text string) {
		if err := vfs.WriteFileAtomic(mem, "r/t/_delta_log/"+name, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name   string
		damage func(*vfs.Mem)
		want   error
		text   string
	}{
		{"a missing entry", func(m *vfs.Mem) { m.Remove("r/t/_delta_log/" + entryName(2)) }, ErrCorrupt, entryName(2)},
		{"an empty entry", func(m *vfs.Mem) { rewrite(m, entryName(2), "") }, ErrCorrupt, entryName(2)},
		{"a file without a path", func(m *vfs.Mem) { rewrite(m, entryName(2), `{"add":{"size":1}}`) }, ErrCorrupt, entryName(2)},
		{"a deletion vector", func(m *vfs.Mem) {
			rewrite(m, entryName(2), `{"add":{"path":"x","deletionVector":{"storageType":"u"}}}`)
		}, ErrUnsupported, "deletion vector"},
		{"column mapping", func(m *vfs.Mem) {
			rewrite(m, entryName(2), `{"metaData":{"id":"x","configuration":{"delta.columnMapping.mode":"name"}}}`)
		}, ErrUnsupported, "column mapping"},
		{"a feature", func(m *vfs.Mem) {
			rewrite(m, entryName(2), `{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["v2Checkpoint"]}}`)
		}, ErrUnsupported, "v2Checkpoint"},
		{"no JSON", func(m *vfs.Mem) { rewrite(m, entryName(2), `{"add":`) }, nil, entryName(2)},
	} {
		mem, _ := build()
		c.damage(mem)
		_, err := Open(context.Background(), on(mem), "t")
		if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	// A damaged checkpoint does no harm while the entries are there.
	mem, l := build()
	if err := l.Checkpoint(context.Background(), time.UnixMilli(0)); err != nil {
		t.Fatal(err)
	}
	data, err := vfs.ReadFile(mem, "r/t/_delta_log/"+checkpointName(4))
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(data); n += 97 {
		rewrite(mem, checkpointName(4), string(data[:n]))
		if got := openLog(t, mem).Snapshot(); got.Version != 4 || len(got.Files) != 4 {
			t.Fatalf("checkpoint cut to %d bytes: version %d", n, got.Version)
		}
	}
}

func TestVacuumTakesWhatNoCommitNames(t *testing.T) {
	mem := vfs.NewMem()
	l := openLog(t, mem)
	commit(t, l, begin()...)
	for _, n := range []string{"r/t/f1.parquet", "r/t/f2.parquet", "r/t/f3.parquet", "r/t/orphan.parquet", "r/t/.x-1.tmp", "r/t/side.bin", "r/t/_delta_log/_commit_x-1.tmp"} {
		if err := vfs.WriteFileAtomic(mem, n, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	commit(t, l, add(1), add(2), add(3))
	commit(t, l, remove(2, now.Add(-time.Hour).UnixMilli()), remove(3, now.UnixMilli()))
	n, err := l.Vacuum(context.Background(), VacuumOptions{RemovedBefore: now.Add(-time.Minute), OrphansBefore: now, Live: func(n string) bool { return n == "side.bin" }})
	if err != nil || n != 4 {
		t.Fatalf("%d files went: %v", n, err)
	}
	for name, want := range map[string]bool{"f1.parquet": true, "f2.parquet": false, "f3.parquet": true, "orphan.parquet": false, "side.bin": true} {
		if _, err := mem.Stat("r/t/" + name); (err == nil) != want || err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	data, err := encode(append(begin(), add(1), remove(1, 5), Action{Txn: &Txn{AppID: "a", Version: 1}}, Action{Domain: &Domain{Domain: "d"}}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"add":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		actions, err := decode(b)
		if err != nil {
			return
		}
		s := newSnapshot()
		if s.apply(0, actions) == nil {
			s.Paths()
		}
	})
}

func FuzzDecodeCheckpoint(f *testing.F) {
	data, err := encodeCheckpoint(append(begin(), add(1), remove(2, 5)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 1<<16 {
			decodeCheckpoint(b)
		}
	})
}
