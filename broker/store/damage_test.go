package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/broker/store/consumequeue"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/message"
)

// flip changes a byte of a file.
func flip(t *testing.T, fsys vfs.FS, name string, at int64) {
	t.Helper()
	f, err := fsys.OpenReadWrite(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

// renumber overwrites the queue offset in a record.
func renumber(t *testing.T, fsys vfs.FS, cfg Config, at PutResult, offset int64) {
	t.Helper()
	pos, size := at.PhysicalOffset, cfg.FileSizeCommitLog
	f, err := fsys.OpenReadWrite(fmt.Sprintf("/store/commitlog/%020d", pos-pos%size))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(binary.BigEndian.AppendUint64(nil, uint64(offset)), pos%size+message.QueueOffsetAt); err != nil {
		t.Fatal(err)
	}
}

// forget removes the checkpoints: the next start makes everything from the log again.
func forget(t *testing.T, fsys vfs.FS) {
	t.Helper()
	for _, name := range []string{"dispatchCheckpoint", "checkpoint"} {
		if err := fsys.Remove("/store/" + name); err != nil {
			t.Fatal(err)
		}
	}
}

// zero clears a file from a position on.
func zero(t *testing.T, fsys vfs.FS, name string, from int64) {
	t.Helper()
	f, err := fsys.OpenReadWrite(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, _ := f.Size()
	for _, n := range []int64{from, size} {
		if err := f.Truncate(n); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

// killed returns what a kill of the process leaves of a store with n messages, and where
// the messages are.
func killed(t *testing.T, cfg Config, n int) (*vfs.Mem, []PutResult) {
	t.Helper()
	fsys := vfs.NewMem()
	s := start(t, fsys, cfg)
	var at []PutResult
	for i := range n {
		at = append(at, s.mustPut(testRecord("orders", 0, fmt.Sprintf("%d%s", i, strings.Repeat("x", 100)))))
	}
	s.settle()
	return fsys.CrashClone(vfs.CrashOpts{Mode: vfs.CrashKeep}), at
}

func TestADamagedMiddleIsNeverCutOff(t *testing.T) {
	for _, checkpoints := range []int64{1 << 30, 4096} {
		cfg := testConfig("/store")
		cfg.CheckpointBytes = checkpoints
		fsys, at := killed(t, cfg, 60)
		size := cfg.FileSizeCommitLog
		for _, i := range []int{0, 7, 30, 58, 59} {
			// Size, magic, place, body: wherever it is hit.
			for _, in := range []int64{1, 5, 30, 95} {
				c := fsys.CrashClone(vfs.CrashOpts{Mode: vfs.CrashKeep})
				pos := at[i].PhysicalOffset
				flip(t, c, fmt.Sprintf("/store/commitlog/%020d", pos-pos%size), pos%size+in)
				s, err := Open(cfg, c, nil, nil)
				if err == nil {
					// Recovery had no need to look there: then who reads it is told.
					_, err = bodies(s, "orders", 0)
					if _, _, rerr := s.ReadRecord(pos); rerr == nil {
						t.Errorf("message %d, byte %d: ReadRecord served it", i, in)
					}
					s.Close()
				}
				if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "/store/co") {
					t.Errorf("message %d, byte %d: %v; want ErrCorrupt that names a file", i, in, err)
				}
			}
		}
	}
}

// A record's queue offset is under no checksum. When the queues are made again from the
// log, one that is damaged costs that message and no other, and takes no more files.
func TestADamagedQueueOffsetCostsOneMessage(t *testing.T) {
	cfg := testConfig("/store")
	const n = 60
	fsys, at := killed(t, cfg, n)
	forget(t, fsys)
	sound := fsys.CrashClone(vfs.CrashOpts{Mode: vfs.CrashKeep})
	s, err := Open(cfg, sound, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want, err := bodies(s, "orders", 0)
	if err != nil || len(want) != n {
		t.Fatalf("%d messages: %v", len(want), err)
	}
	s.Close()
	files, _ := sound.ReadDir("/store/consumequeue/orders/0")

	for _, i := range []int{1, 7, n - 2, n - 1} {
		for _, offset := range []int64{-1, 1 << 62, 1<<55 + 3, 1 << 40, int64(i) + 1, int64(i) + 5, int64(i) - 1} {
			if i == n-1 && offset == 0 {
				continue // the topic may have been made anew
			}
			c := fsys.CrashClone(vfs.CrashOpts{Mode: vfs.CrashKeep})
			renumber(t, c, cfg, at[i], offset)
			s, err := Open(cfg, c, nil, nil)
			if err != nil {
				t.Fatalf("message %d says %d: %v", i, offset, err)
			}
			if _, top, _ := s.QueueRange("orders", 0); top != n {
				t.Errorf("message %d says %d: the queue ends at %d, not %d", i, offset, top, n)
			}
			for k := range int64(n) {
				res, err := s.Get("orders", 0, k, GetOptions{MaxMsgs: 1})
				switch {
				case int(k) == i:
					if !errors.Is(err, ErrCorrupt) {
						t.Errorf("message %d says %d and is served: %v", i, offset, err)
					}
				case err != nil || res.Count != 1 || !bytes.Contains(res.Buf, []byte(want[k])):
					t.Errorf("message %d says %d: message %d is lost: status %d, %v", i, offset, k, res.Status, err)
				}
			}
			// Who reads many at a time gets those in front of it, then the error.
			from := int64(max(0, i-5))
			if res, err := s.Get("orders", 0, from, GetOptions{MaxMsgs: 32}); err != nil || int64(res.Count) != int64(i)-from ||
				res.NextOffset != int64(i) {
				t.Errorf("message %d says %d: from %d on %d messages, next %d: %v", i, offset, from, res.Count, res.NextOffset, err)
			}
			s.Close()
			if now, _ := c.ReadDir("/store/consumequeue/orders/0"); len(now) > len(files)+1 {
				t.Errorf("message %d says %d: %d consume queue files, where %d do", i, offset, len(now), len(files))
			}
		}
	}
}

// Two damaged neighbours cost two messages, and not what stands before them.
func TestDamagedNeighboursCostNoOtherMessage(t *testing.T) {
	cfg := testConfig("/store")
	const n = 60
	fsys, at := killed(t, cfg, n)
	forget(t, fsys)
	for _, offsets := range [][2]int64{{1 << 40, 1 << 41}, {1 << 41, 1 << 40}, {1 << 40, -1}, {3, 1 << 40}, {1 << 40, 1 << 40}} {
		c := fsys.CrashClone(vfs.CrashOpts{Mode: vfs.CrashKeep})
		renumber(t, c, cfg, at[20], offsets[0])
		renumber(t, c, cfg, at[21], offsets[1])
		s, err := Open(cfg, c, nil, nil)
		if err != nil {
			t.Fatalf("%d: %v", offsets, err)
		}
		if low, top, _ := s.QueueRange("orders", 0); low != 0 || top != n {
			t.Errorf("%d: the queue holds %d to %d, not 0 to %d", offsets, low, top, n)
		}
		for k := range int64(n) {
			_, err := s.Get("orders", 0, k, GetOptions{MaxMsgs: 1})
			if damaged := k == 20 || k == 21; damaged != errors.Is(err, ErrCorrupt) || !damaged && err != nil {
				t.Errorf("%d: message %d: %v", offsets, k, err)
			}
		}
		s.Close()
	}
}

// A log whose every record leaves a hole takes files, not memory.
func TestHolesDoNotPileUpInMemory(t *testing.T) {
	cfg := testConfig("/store")
	s, err := Open(cfg, vfs.NewMem(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r := placer{s: s, queues: map[*consumequeue.Queue]*placing{}}
	for i := range int64(20) {
		rec := testRecord("orders", 0, "x")
		rec.QueueOffset = i * maxHoles
		if err := r.place(&s.dispatch, rec, i*100, 100); err != nil {
			t.Fatal(err)
		}
		if s.queue("orders", 0).cq.Full() {
			t.Fatalf("after record %d the entries wait in memory", i)
		}
	}
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
	if top := s.queue("orders", 0).cq.Max(); top < 18*maxHoles {
		t.Errorf("the queue ends at %d", top)
	}
}

// A topic that was deleted and made again in a store of RocketMQ begins at zero, behind
// records of the deleted one.
func TestAHoleKeepsItsOffsetsAndANewTopicBeginsAnew(t *testing.T) {
	cfg := testConfig("/store")
	fsys, at := killed(t, cfg, 60)
	forget(t, fsys)
	for _, c := range []struct {
		name     string
		from     int
		offset   func(i int) int64
		min, top int64
		holes    []int64
	}{
		{"three are missing", 20, func(i int) int64 { return int64(i) + 3 }, 0, 63, []int64{20, 21, 22}},
		{"made anew", 20, func(i int) int64 { return int64(i) - 20 }, 0, 40, nil},
		{"made anew, one message", 59, func(i int) int64 { return 0 }, 0, 1, nil},
		{"more are missing than a hole can be", 20, func(i int) int64 { return int64(i) + 1<<20 }, 20 + 1<<20, 60 + 1<<20, nil},
	} {
		m := fsys.CrashClone(vfs.CrashOpts{Mode: vfs.CrashKeep})
		for i := c.from; i < len(at); i++ {
			renumber(t, m, cfg, at[i], c.offset(i))
		}
		s, err := Open(cfg, m, nil, nil)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if low, top, _ := s.QueueRange("orders", 0); low != c.min || top != c.top {
			t.Errorf("%s: the queue holds %d to %d, not %d to %d", c.name, low, top, c.min, c.top)
		}
		for k := c.min; k < c.top; k++ {
			_, err := s.Get("orders", 0, k, GetOptions{MaxMsgs: 1})
			if hole := slices.Contains(c.holes, k); hole != errors.Is(err, ErrCorrupt) || !hole && err != nil {
				t.Errorf("%s: offset %d: %v", c.name, k, err)
			}
		}
		s.Close()
	}
}

// Whatever became of a consume queue's files, the log has what they held.
func TestConsumeQueueFilesThatCannotBeUsedAreMadeAgain(t *testing.T) {
	cfg := testConfig("/store")
	fsys, at := killed(t, cfg, 5)
	for name, sizes := range map[string]map[int64]int64{
		"the first has no content":  {0: 0, cfg.FileSizeConsumeQueue: cfg.FileSizeConsumeQueue},
		"one in between is missing": {0: cfg.FileSizeConsumeQueue, 2 * cfg.FileSizeConsumeQueue: cfg.FileSizeConsumeQueue},
		"the last is longer":        {0: 2 * cfg.FileSizeConsumeQueue},
	} {
		c := fsys.CrashClone(vfs.CrashOpts{Mode: vfs.CrashKeep})
		dir := "/store/consumequeue/orders/0"
		if err := errors.Join(vfs.RemoveTree(c, dir), vfs.MkdirAllSync(c, dir)); err != nil {
			t.Fatal(err)
		}
		for start, size := range sizes {
			if err := vfs.WriteFileAtomic(c, fmt.Sprintf("%s/%020d", dir, start), make([]byte, size)); err != nil {
				t.Fatal(err)
			}
		}
		s, err := Open(cfg, c, nil, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, err := bodies(s, "orders", 0); err != nil || len(got) != len(at) {
			t.Errorf("%s: %d of %d messages: %v", name, len(got), len(at), err)
		}
		s.Close()
	}
}

func TestALostTailIsFoundAndNamed(t *testing.T) {
	cfg := testConfig("/store")
	for name, cut := range map[string]func(*vfs.Mem, []PutResult){
		"files are missing": func(m *vfs.Mem, _ []PutResult) {
			names, _ := m.ReadDir("/store/commitlog")
			for _, n := range names[2:] {
				if err := m.Remove("/store/commitlog/" + n); err != nil {
					t.Fatal(err)
				}
			}
		},
		"the end is missing": func(m *vfs.Mem, at []PutResult) {
			names, _ := m.ReadDir("/store/commitlog")
			for _, n := range names[3:] {
				if err := m.Remove("/store/commitlog/" + n); err != nil {
					t.Fatal(err)
				}
			}
			// In front of a record: a part of one would be damage, which is never cut off.
			file := 2 * cfg.FileSizeCommitLog
			i := slices.IndexFunc(at, func(r PutResult) bool { return r.PhysicalOffset > file })
			zero(t, m, "/store/commitlog/"+names[2], at[i].PhysicalOffset-file)
		},
		"consume queues are missing as well": func(m *vfs.Mem, _ []PutResult) {
			names, _ := m.ReadDir("/store/commitlog")
			if err := errors.Join(vfs.RemoveTree(m, "/store/consumequeue"), m.Remove("/store/commitlog/"+names[len(names)-1]), m.Remove("/store/commitlog/"+names[len(names)-2])); err != nil {
				t.Fatal(err)
			}
		},
		"everything is missing": func(m *vfs.Mem, _ []PutResult) {
			if err := vfs.RemoveTree(m, "/store/commitlog"); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			fsys, at := killed(t, cfg, 120)
			cut(fsys, at)
			if _, err := Open(cfg, fsys, nil, nil); !errors.Is(err, ErrLostTail) || !strings.Contains(err.Error(), "/store/commitlog/") ||
				!strings.Contains(err.Error(), "acceptLostTail") {
				t.Fatalf("%v; want ErrLostTail that names the file and the way out", err)
			}
			accept := cfg
			accept.AcceptLostTail = true
			s := start(t, fsys, accept)
			got := s.bodies("orders", 0)
			r := s.mustPut(testRecord("orders", 0, "goes on"))
			if name != "everything is missing" && (len(got) == 0 || r.QueueOffset != int64(len(got))) {
				t.Fatalf("%d messages are left, the next offset is %d", len(got), r.QueueOffset)
			}
			if r.PhysicalOffset > at[len(at)-1].PhysicalOffset+cfg.FileSizeCommitLog {
				t.Fatalf("it goes on at %d", r.PhysicalOffset)
			}
			s.settle()
			s.mustStop()
			start(t, fsys, cfg) // accepted once is enough
		})
	}
}

// No log is said to have lost what a checkpoint promises that somebody else has written over.
func TestACheckpointThatWasOverwrittenPromisesNothing(t *testing.T) {
	cfg := testConfig("/store")
	for _, at := range []int64{24, 27, 31, 33, 39} { // of the flushed position, which stands there twice
		fsys, put := killed(t, cfg, 60)
		flip(t, fsys, "/store/checkpoint", at)
		s := start(t, fsys, cfg)
		if got := s.bodies("orders", 0); len(got) != len(put) {
			t.Errorf("byte %d: %d of %d messages", at, len(got), len(put))
		}
		s.mustStop()
	}
}

func TestAMissingFileInTheMiddleIsNamed(t *testing.T) {
	cfg := testConfig("/store")
	fsys, _ := killed(t, cfg, 120)
	name := fmt.Sprintf("/store/commitlog/%020d", cfg.FileSizeCommitLog)
	if err := fsys.Remove(name); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg, fsys, nil, nil); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), path.Base(name)) {
		t.Fatalf("%v; want ErrCorrupt that names %s", err, name)
	}
}

// tree reads all files below dir.
func tree(t *testing.T, fsys vfs.FS, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	names, err := fsys.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, n := range names {
		name := path.Join(dir, n)
		if info, err := fsys.Stat(name); err == nil && info.IsDir() {
			for k, v := range tree(t, fsys, name) {
				out[k] = v
			}
			continue
		}
		b, err := vfs.ReadFile(fsys, name)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = string(b)
	}
	return out
}

// Whatever is derived from the log can be made again from it, byte for byte.
func TestWhatIsDerivedCanBeMadeAgain(t *testing.T) {
	cfg := testConfig("/store")
	cfg.IndexEntries = 1000 // one file: its name is a time
	fsys := vfs.NewMem()
	s := start(t, fsys, cfg)
	for i := range 90 {
		s.mustPut(testRecord([]string{"a", "b"}[i%2], int32(i%3), fmt.Sprint(i), "TAGS", fmt.Sprint("t", i%4), "KEYS", fmt.Sprint("k", i%7)))
	}
	s.settle()
	s.mustStop()
	live := tree(t, fsys, "/store")
	for name, remove := range map[string][]string{
		"the checkpoint":       {"/store/dispatchCheckpoint"},
		"both checkpoints":     {"/store/dispatchCheckpoint", "/store/checkpoint"},
		"all consume queues":   {"/store/consumequeue"},
		"one consume queue":    {"/store/consumequeue/a/0"},
		"the index":            {"/store/index"},
		"index and checkpoint": {"/store/index", "/store/dispatchCheckpoint"},
		"all that is derived":  {"/store/index", "/store/dispatchCheckpoint", "/store/consumequeue", "/store/checkpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			c := fsys.CrashClone(vfs.CrashOpts{Mode: vfs.CrashKeep})
			for _, r := range remove {
				if info, err := c.Stat(r); err == nil && info.IsDir() {
					err = vfs.RemoveTree(c, r)
					if err != nil {
						t.Fatal(err)
					}
				} else if err := c.Remove(r); err != nil {
					t.Fatal(err)
				}
			}
			start(t, c, cfg).mustStop()
			got := tree(t, c, "/store")
			for name, want := range live {
				if strings.Contains(name, "dispatchCheckpoint") || strings.HasPrefix(name, "/store/checkpoint") {
					continue // the order of queues, times
				}
				if strings.Trim(want, "\x00") == "" {
					continue // a file made ahead of need
				}
				if got[name] != want {
					t.Errorf("%s differs", name)
				}
			}
		})
	}
}

func TestADamagedConsumeQueueIsMadeAgainAtTheNextStart(t *testing.T) {
	cfg := testConfig("/store")
	fsys := vfs.NewMem()
	s := start(t, fsys, cfg)
	for i := range 30 {
		s.mustPut(testRecord("orders", 0, fmt.Sprint(i)))
	}
	s.settle()
	want := s.bodies("orders", 0)
	s.mustStop()
	flip(t, fsys, "/store/consumequeue/orders/0/"+strings.Repeat("0", 20), 5*20+7)
	s = start(t, fsys, cfg)
	if _, err := bodies(s.Store, "orders", 0); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("reading it: %v, want ErrCorrupt", err)
	}
	s.mustStop()
	s = start(t, fsys, cfg)
	if got := s.bodies("orders", 0); !reflect.DeepEqual(got, want) {
		t.Fatalf("made again it holds %q", got)
	}
}

func TestEmptyAndShortLastFilesDoNotStopTheStart(t *testing.T) {
	cfg := testConfig("/store")
	fsys := vfs.NewMem()
	s := start(t, fsys, cfg)
	for i := range 30 {
		s.mustPut(testRecord("orders", 0, fmt.Sprint(i)))
	}
	s.settle()
	s.mustStop()
	logs, err := fsys.ReadDir("/store/commitlog")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		fmt.Sprintf("/store/consumequeue/orders/0/%020d", 3*cfg.FileSizeConsumeQueue),
		fmt.Sprintf("/store/commitlog/%020d", int64(len(logs))*cfg.FileSizeCommitLog),
	} {
		c := fsys.CrashClone(vfs.CrashOpts{Mode: vfs.CrashKeep})
		if _, err := c.Stat(name); err == nil {
			zero(t, c, name, 0)
		} else if f, err := c.Create(name); err != nil {
			t.Fatal(err)
		} else {
			f.Close()
		}
		s := start(t, c, cfg)
		s.mustPut(testRecord("orders", 0, "more"))
		s.settle()
		if got := s.bodies("orders", 0); len(got) != 31 {
			t.Errorf("with %s empty: %d messages", name, len(got))
		}
		s.mustStop()
	}
}
