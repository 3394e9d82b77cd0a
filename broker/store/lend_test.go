package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/message"
)

// batchedStore holds three queues in real files, in stretches of many messages or of one,
// so that some of what a large read brings can be lent.
func batchedStore(t *testing.T) (*running, [3]int) {
	cfg := testConfig(t.TempDir())
	cfg.FileSizeCommitLog = 1 << 20
	cfg.CheckpointBytes = 1 << 30
	s := start(t, vfs.OS(), cfg)
	rnd := rand.New(rand.NewPCG(21, 22))
	var counts [3]int
	for i := 0; i < 3000; {
		q := rnd.IntN(3)
		for range []int{1, 2, 40}[rnd.IntN(3)] {
			s.mustPut(testRecord("batched", int32(q), fmt.Sprintf("%d:%s", i, strings.Repeat("x", rnd.IntN(1900)))))
			counts[q]++
			i++
		}
	}
	s.settle()
	return s, counts
}

// copied is what a Get brings without Lend, or the error.
func copied(s *running, q int32, at int64, o GetOptions) ([]byte, GetResult, error) {
	o.Lend = false
	res, err := s.Get("batched", q, at, o)
	return res.Buf, res, err
}

// lentParts counts the parts that are not pieces of Buf.
func lentParts(res *GetResult) (n int) {
	for _, p := range res.Parts {
		inBuf := false
		for i := range res.Buf {
			inBuf = inBuf || &res.Buf[i] == &p[0]
		}
		if !inBuf {
			n++
		}
	}
	return n
}

// What is lent is what would have been copied, whoever else reads and lets go.
func TestLentAnswersAreWhatCopiedOnesAre(t *testing.T) {
	s, counts := batchedStore(t)
	var lent, whole, mixed sync.Map
	var wg sync.WaitGroup
	for reader := range uint64(3) {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(23, reader))
			for round := range 150 {
				q := rnd.IntN(3)
				at := int64(rnd.IntN(counts[q]))
				o := GetOptions{MaxMsgs: 1 + rnd.IntN(600), MaxBytes: 1 + rnd.IntN(700<<10), Lend: true}
				switch rnd.IntN(8) {
				case 0:
					s.clog.TrimReads()
				case 1:
					o.MessageFilter = func(*message.Record) bool { return true }
				case 2:
					o.Filter = func(int64) bool { return true }
				}
				want, wantRes, wantErr := copied(s, int32(q), at, o)
				res, err := s.Get("batched", int32(q), at, o)
				got := bytes.Join(res.Parts, nil)
				if len(res.Parts) == 0 {
					got = res.Buf
				}
				if err != nil || wantErr != nil || !bytes.Equal(got, want) || res.Size() != len(want) || len(res.Messages()) != res.Count {
					t.Errorf("queue %d from %d, %+v: %d bytes, %v; copied %d bytes, %v", q, at, o, len(got), err, len(want), wantErr)
				}
				if res.Count != wantRes.Count || res.NextOffset != wantRes.NextOffset || res.Status != wantRes.Status || res.LastPhysical != wantRes.LastPhysical {
					t.Errorf("queue %d from %d: %+v; copied %+v", q, at, res, wantRes)
				}
				n := lentParts(&res)
				lent.Store(n > 0, round)
				whole.Store(n > 0 && len(res.Buf) == 0, round)
				mixed.Store(n > 0 && len(res.Buf) > 0, round)
				res.Release()
				res.Release() // is nothing
			}
		})
	}
	wg.Wait()
	for name, seen := range map[string]*sync.Map{"lent": &lent, "lent as a whole": &whole, "lent in part": &mixed} {
		if _, ok := seen.Load(true); !ok {
			t.Errorf("no answer was %s", name)
		}
	}
}

func TestDamageInWhatWouldBeLentIsTold(t *testing.T) {
	s, _ := batchedStore(t)
	o := GetOptions{MaxMsgs: 200, MaxBytes: 1 << 20, Lend: true}
	res, err := s.Get("batched", 1, 0, o)
	if err != nil || lentParts(&res) == 0 {
		t.Fatalf("nothing was lent: %v", err)
	}
	phys, size := res.LastPhysical, s.cfg.FileSizeCommitLog
	res.Release()
	name := filepath.Join(s.cfg.Dir, fmt.Sprintf("commitlog/%020d", phys-phys%size))
	flip(t, vfs.OS(), name, phys%size+95)
	before := s.metrics.damage.Load()
	if res, err = s.Get("batched", 1, 0, o); !errors.Is(err, ErrCorrupt) || len(res.Parts) > 0 {
		t.Fatalf("a damaged body: %v and %d parts, want ErrCorrupt", err, len(res.Parts))
	}
	if n := s.metrics.damage.Load() - before; n != 1 {
		t.Errorf("it was counted %d times", n)
	}
	flip(t, vfs.OS(), name, phys%size+95)
	if res, err = s.Get("batched", 1, 0, o); err != nil || res.LastPhysical != phys {
		t.Fatalf("mended again: %v", err)
	}
	res.Release()
}

// A file that somebody cuts off while it is mapped is an error to who reads, not a fault.
func TestAFileThatIsCutWhileItIsMappedIsAnError(t *testing.T) {
	for _, loaded := range []bool{false, true} {
		t.Run(fmt.Sprintf("loaded=%t", loaded), func(t *testing.T) {
			s, _ := batchedStore(t)
			o := GetOptions{MaxMsgs: 200, MaxBytes: 1 << 20, Lend: true}
			if loaded {
				res, err := s.Get("batched", 0, 0, o)
				if err != nil || lentParts(&res) == 0 {
					t.Fatalf("nothing was lent: %v", err)
				}
				res.Release()
			}
			name := filepath.Join(s.cfg.Dir, "commitlog", strings.Repeat("0", 20))
			if err := os.Truncate(name, 8192); err != nil {
				t.Fatal(err)
			}
			if res, err := s.Get("batched", 0, 0, o); err == nil {
				t.Fatalf("%d messages of a file that is cut", res.Count)
			}
			if err := os.Truncate(name, s.cfg.FileSizeCommitLog); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// What is lent stays as it is when retention removes its file, whose space counts as free
// already and comes when the answer is written.
func TestLentBytesOutliveTheirFile(t *testing.T) {
	s, _ := batchedStore(t)
	res, err := s.Get("batched", 2, 0, GetOptions{MaxMsgs: 100, MaxBytes: 600 << 10, Lend: true})
	if err != nil || lentParts(&res) == 0 {
		t.Fatalf("nothing was lent: %v", err)
	}
	want := bytes.Clone(bytes.Join(res.Parts, nil))
	size := s.cfg.FileSizeCommitLog
	if ok, err := s.deleteFirst(size, ExpiredSize); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if !bytes.Equal(bytes.Join(res.Parts, nil), want) {
		t.Error("the bytes changed")
	}
	if n := s.clog.Removed(); n != size {
		t.Errorf("%d bytes are held, want %d", n, size)
	}
	res.Release()
	if n := s.clog.Removed(); n != 0 {
		t.Errorf("%d bytes are held when nothing is lent", n)
	}
	if res, err := s.Get("batched", 2, 0, GetOptions{MaxMsgs: 100, Lend: true}); err != nil || res.Status != OffsetTooSmall {
		t.Errorf("below the minimum: %d, %v", res.Status, err)
	}
}
