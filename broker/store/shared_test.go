package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/message"
)

// mixedStore holds three queues whose messages lie mixed, so that large reads of one bring
// much of the others along, and returns the bodies of each.
func mixedStore(t *testing.T, fsys vfs.FS) (*running, [3][]string, []PutResult) {
	cfg := testConfig("/store")
	cfg.FileSizeCommitLog = 300 << 10
	cfg.CheckpointBytes = 1 << 30
	s := start(t, fsys, cfg)
	rnd := rand.New(rand.NewPCG(5, 6))
	var bodies [3][]string
	var first []PutResult
	for i := range 900 {
		q := rnd.IntN(3)
		body := fmt.Sprintf("%d:%s", i, strings.Repeat("x", rnd.IntN(1900)))
		bodies[q] = append(bodies[q], body)
		res := s.mustPut(testRecord("mixed", int32(q), body, message.PropertyTags, fmt.Sprint(i%2)))
		if q == 0 {
			first = append(first, res)
		}
	}
	s.settle()
	return s, bodies, first
}

// However much is asked for, wherever and in which order: a read brings what was put.
func TestMixedQueuesAreReadAsTheyWerePut(t *testing.T) {
	s, bodies, _ := mixedStore(t, vfs.NewMem())
	rnd := rand.New(rand.NewPCG(7, 8))
	for range 300 {
		q := rnd.IntN(3)
		at := rnd.IntN(len(bodies[q]))
		o := GetOptions{MaxMsgs: 1 + rnd.IntN(300), MaxBytes: 1 + rnd.IntN(400<<10)}
		if rnd.IntN(2) == 0 {
			memory := make([]byte, rnd.IntN(400<<10))
			o.Alloc = func(int) []byte { return memory }
		}
		res, err := s.Get("mixed", int32(q), int64(at), o)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		size := 0
		for i, b := range res.Messages() {
			rec, _, err := message.ParseRecord(b)
			if err != nil || rec.CheckCRC() != nil || rec.QueueOffset != int64(at+i) {
				t.Fatalf("message %d of the answer to %d: %v, %v, offset %d", i, at, err, rec.CheckCRC(), rec.QueueOffset)
			}
			size += len(b)
			want = append(want, string(rec.Body))
		}
		if n := len(want); n == 0 || !slices.Equal(want, bodies[q][at:at+n]) || n > o.MaxMsgs || size > o.MaxBytes && n > 1 {
			t.Fatalf("from %d: %d messages of %d bytes for %+v, or others than were put", at, n, size, o)
		}
		if n := len(want); n < o.MaxMsgs && at+n < len(bodies[q]) && size+len(bodies[q][at+n]) < o.MaxBytes-200 {
			t.Fatalf("from %d: %d messages of %d bytes, and there was room for more", at, n, size)
		}
	}
}

// Damage in what a large read brings ends it, whoever reads on is told, and what was read
// of it is not kept.
func TestDamageInAMixedReadIsTold(t *testing.T) {
	fsys := vfs.NewMem()
	s, bodies, first := mixedStore(t, fsys)
	size := s.cfg.FileSizeCommitLog
	o := GetOptions{MaxMsgs: 60, MaxBytes: 1 << 20}
	for range 2 {
		pos := first[20].PhysicalOffset
		flip(t, fsys, fmt.Sprintf("/store/commitlog/%020d", pos-pos%size), pos%size+95)
		if res, err := s.Get("mixed", 0, 0, o); err != nil || res.Count != 20 || res.NextOffset != 20 {
			t.Fatalf("in front of a damaged body: %d messages, next %d, %v", res.Count, res.NextOffset, err)
		}
		if _, err := s.Get("mixed", 0, 20, o); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("a damaged body: %v, want ErrCorrupt", err)
		}
		flip(t, fsys, fmt.Sprintf("/store/commitlog/%020d", pos-pos%size), pos%size+95)
		if res, err := s.Get("mixed", 0, 0, o); err != nil || res.Count != 60 || len(bodies[0]) < 60 {
			t.Fatalf("mended again: %d messages, %v", res.Count, err)
		}
		s.clog.TrimReads()
		s.clog.TrimReads()
	}
}
