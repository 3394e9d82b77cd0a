package store

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/message"
)

// No checksum covers a record's properties: recovery tells a sector that a power cut lost
// by its zeroes. Properties that look like that are refused, wherever in the log they would
// stand; the others are found whole after a restart.
func TestPropertiesThatLookLikeALostSector(t *testing.T) {
	zeroes := func(n int) []byte { return make([]byte, n) }
	key := message.AppendProperty(nil, message.PropertyKeys, "k")
	for _, tc := range []struct {
		name    string
		props   []byte
		refused bool
	}{
		{"text", key, false},
		{"none", nil, false},
		{"a zero within", bytes.Join([][]byte{key, key}, zeroes(1)), false},
		{"511 zeroes within", bytes.Join([][]byte{key, key}, zeroes(511)), false},
		{"512 zeroes within", bytes.Join([][]byte{key, key}, zeroes(512)), true},
		{"a zero in front", append(zeroes(1), key...), true},
		{"a zero at the end", append(bytes.Clone(key), 0), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fsys, cfg := vfs.NewMem(), testConfig("/store")
			s := start(t, fsys, cfg)
			stored := 0
			for i := range 600 { // so that the record ends everywhere in a sector
				rec := testRecord("t", 0, fmt.Sprintf("%0*d", 1+i%512, i))
				rec.Properties = tc.props
				r := s.put(rec)
				if refused := errors.Is(r.Err, ErrBadRecord); refused != tc.refused || r.Err != nil && !refused {
					t.Fatalf("put %d: %v", i, r.Err)
				}
				if r.Err == nil {
					stored++
				}
			}
			s.settle()
			found := fsys.CrashClone(vfs.CrashOpts{Mode: vfs.CrashKeep})
			if err := found.Remove("/store/" + pointFile); err != nil { // all of the log is looked at
				t.Fatal(err)
			}
			again, err := Open(cfg, found, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			if _, end, _ := again.QueueRange("t", 0); end != int64(stored) {
				t.Errorf("%d of %d messages are there after a restart", end, stored)
			}
			s.mustStop()
		})
	}
}

// A power cut takes the end of a record that nobody was told about, which has no
// properties: the topic shows it.
func TestARecordWhoseTopicLacksASector(t *testing.T) {
	fsys, cfg := vfs.NewMem(), testConfig("/store")
	s := start(t, fsys, cfg)
	const topic, name = "orders-of-customers", "/store/commitlog/00000000000000000000"
	at := s.mustPut(testRecord(topic, 0, "first")).PhysicalOffset
	_, b, err := s.waitRecord(at)
	if err != nil {
		t.Fatal(err)
	}
	before := fsys.CrashClone(vfs.CrashOpts{Mode: vfs.CrashKeep})
	from := at + int64(len(b))
	// Its last sector begins in the middle of the topic, behind which are the two bytes of
	// the properties' length.
	size := (from/512+2)*512 + int64(len(topic)/2) + 2 - from
	last := s.mustPut(testRecord(topic, 0, strings.Repeat("x", int(size)-(len(b)-len("first")))))
	if last.PhysicalOffset != from {
		t.Fatalf("the second record stands at %d, not at %d", last.PhysicalOffset, from)
	}
	whole, err := vfs.ReadFile(fsys, name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := before.OpenReadWrite(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(whole[from:(from+size)/512*512], from); err != nil {
		t.Fatal(err)
	}
	again, err := Open(cfg, before, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if _, end, _ := again.QueueRange(topic, 0); end != 1 || again.MaxPhysical() != from {
		t.Errorf("%d messages, the log ends at %d; want 1 and %d", end, again.MaxPhysical(), from)
	}
}
