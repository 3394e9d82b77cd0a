package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/vfs"
)

// FuzzRecovery opens stores whose log was changed in places: that is an error which says
// where, or the store serves nothing that was not put.
func FuzzRecovery(f *testing.F) {
	f.Add([]byte{0, 0, 1}, true)
	f.Add([]byte{0x0f, 0xff, 0x80, 0x10, 0x00, 0x01}, false)
	f.Add([]byte("\x00\x04\xff\x00\x05\xff\x00\x06\xff\x00\x07\xff"), true)
	cfg := testConfig("/store")
	base := vfs.NewMem()
	s, err := Open(cfg, base, nil, nil)
	if err != nil {
		f.Fatal(err)
	}
	r := run(f, s)
	l := newLedger()
	for i := range 40 {
		l.send(r.Store, QueueID{"orders", int32(i % 2)}, fmt.Sprintf("%d%s", i, strings.Repeat("y", i*11%150)))
	}
	r.settle()
	crashed := base.CrashClone(vfs.CrashOpts{Mode: vfs.CrashKeep})
	top := r.MaxPhysical()

	f.Fuzz(func(t *testing.T, changes []byte, rebuild bool) {
		fsys := crashed.CrashClone(vfs.CrashOpts{Mode: vfs.CrashKeep})
		if rebuild { // without checkpoints everything is read, and any end is believed
			forget(t, fsys)
		}
		for ; len(changes) >= 3; changes = changes[3:] {
			pos := int64(binary.BigEndian.Uint16(changes)) % (top + 64)
			name := fmt.Sprintf("/store/commitlog/%020d", pos-pos%cfg.FileSizeCommitLog)
			file, err := fsys.OpenReadWrite(name)
			if err != nil {
				continue
			}
			if _, err := file.WriteAt(changes[2:3], pos%cfg.FileSizeCommitLog); err != nil {
				t.Fatal(err)
			}
			file.Close()
		}
		s, err := Open(cfg, fsys, nil, nil)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrLostTail) && !errors.Is(err, ErrBadRecord) {
				t.Fatalf("an error that does not say what it is: %v", err)
			}
			return
		}
		defer s.Close()
		for _, q := range s.Queues() {
			got, err := bodies(s, q.Topic, q.ID)
			if err != nil && !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%v: %v", q, err)
			}
			for _, body := range got {
				if _, ok := l.attempted[body]; !ok {
					t.Fatalf("%v serves %q, which nobody sent", q, body)
				}
			}
		}
	})
}

func FuzzParsePoint(f *testing.F) {
	p := point{pos: 7, timestamp: 8, queues: []queuePoint{{QueueID{"a", 1}, 2, 3}}, tombs: map[string]int64{"b": 5}}
	whole := p.encode()
	f.Add(whole)
	for n := range whole {
		if _, err := parsePoint(whole[:n]); err == nil {
			f.Fatalf("the first %d of %d bytes are taken for a checkpoint", n, len(whole))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parsePoint(b)
		if err != nil {
			return
		}
		again, err := parsePoint(p.encode())
		if err != nil || len(again.queues) != len(p.queues) || again.pos != p.pos {
			t.Fatalf("%+v comes back as %+v, %v", p, again, err)
		}
	})
}
