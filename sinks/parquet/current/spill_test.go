package current

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/objects"
)

// What was put aside comes back once, in order, in the passes that its hash belongs to.
func TestASpillGivesBackWhatItTook(t *testing.T) {
	const seed = 11
	for _, depth := range []int{0, 3, spillDepth, spillDepth + 2} {
		t.Run(fmt.Sprint(depth), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, uint64(depth)))
			fsys := vfs.NewMem()
			s, err := newSpill(scratchFor(t, fsys))
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{}
			add := func(key, row []byte, seq event.Seq, del bool) {
				t.Helper()
				if err := s.add(xxhash.Sum64(key), key, seq, del, row); err != nil {
					t.Fatal(err)
				}
				want[string(key)] += fmt.Sprintf("%d %t %x\n", seq, del, row)
			}
			for i := range 20_000 {
				key := binary.AppendUvarint(nil, uint64(rnd.IntN(5000)))
				add(key, bytes.Repeat([]byte{byte(i)}, rnd.IntN(300)), event.Seq(i), rnd.IntN(4) == 0)
			}
			add([]byte("large"), make([]byte, 2*spillBlockBytes), 1, false)
			add(nil, nil, 2, true)
			if err := s.full(); err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for n := range uint64(1) << depth {
				p := bucket{depth: depth}
				if depth > 0 {
					p.prefix = n << (64 - depth)
				}
				err := s.each(p, func(key []byte, seq event.Seq, del bool, row []byte) error {
					if p.has(xxhash.Sum64(key)) {
						got[string(key)] += fmt.Sprintf("%d %t %x\n", seq, del, row)
					}
					return nil
				}, func() error { return nil })
				if err != nil {
					t.Fatal(err)
				}
			}
			if len(got) != len(want) {
				t.Fatalf("%d keys came back, %d were put in", len(got), len(want))
			}
			for k := range want {
				if got[k] != want[k] {
					t.Fatalf("key %x: %.200q, want %.200q", k, got[k], want[k])
				}
			}
			s.remove()
			if _, err := fsys.Stat("scratch"); err == nil {
				t.Fatal("the scratch file stays")
			}
		})
	}
}

func TestEveryCutBlockOfASpillIsAnError(t *testing.T) {
	s, err := newSpill(scratchFor(t, vfs.NewMem()))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.add(0, []byte("key"), 7, false, bytes.Repeat([]byte{1}, 200)); err != nil {
		t.Fatal(err)
	}
	whole := s.parts[0].fill
	nothing := func([]byte, event.Seq, bool, []byte) error { return nil }
	for n := range len(whole) {
		if err := eachSpilled(whole[:n], nothing); n > 0 && !errors.Is(err, errSpill) {
			t.Fatalf("%d of %d bytes: %v", n, len(whole), err)
		}
	}
	if err := eachSpilled(whole, nothing); err != nil {
		t.Fatal(err)
	}
}

func FuzzSpilled(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 'k', 2, 'r', 'w'})
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		size := 0
		err := eachSpilled(b, func(key []byte, _ event.Seq, _ bool, row []byte) error {
			size += 11 + len(key) + len(row)
			return nil
		})
		if size > len(b) {
			t.Fatalf("%d bytes came out of %d", size, len(b))
		}
		if err != nil && !errors.Is(err, errSpill) {
			t.Fatal(err)
		}
	})
}

// Rows of megabytes pass through: no part keeps room for the largest that it had.
func TestSpillKeepsNoRoomForLargeRows(t *testing.T) {
	s, err := newSpill(scratchFor(t, vfs.NewMem()))
	if err != nil {
		t.Fatal(err)
	}
	defer s.remove()
	row := make([]byte, 40*spillBlockBytes)
	const changes = 512
	for i := range uint64(changes) {
		if err := s.add(i<<(64-spillDepth), []byte{byte(i)}, event.Seq(i), false, row[:len(row)>>(i%10)]); err != nil {
			t.Fatal(err)
		}
	}
	kept := 0
	for i := range s.parts {
		kept += cap(s.parts[i].fill)
	}
	if most := 2 * spillBlockBytes * len(s.parts); kept > most {
		t.Errorf("%d bytes are kept in memory, more than %d", kept, most)
	}
	if err := s.full(); err != nil {
		t.Fatal(err)
	}
	got := 0
	if err := s.each(bucket{}, func(_ []byte, seq event.Seq, _ bool, r []byte) error {
		if len(r) != len(row)>>(seq%10) {
			t.Errorf("the row of %d has %d bytes", seq, len(r))
		}
		got++
		return nil
	}, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	if got != changes {
		t.Errorf("%d of %d changes came back", got, changes)
	}
}

// scratchFor is a scratch on a file system.
func scratchFor(t testing.TB, fsys vfs.FS) *objects.Scratch {
	t.Helper()
	s, err := objects.OpenScratch(fsys, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
