package stream

import (
	"errors"
	"os"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func TestSetsGrowLikeTheServers(t *testing.T) {
	const u = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
	s, err := ParseSet(false, u+":1-5:7,\n"+u+":app:1-3")
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		g    GTID
		want string
	}{
		{GTID{Source: u, Number: 8}, u + ":1-5:7-8:app:1-3"},
		{GTID{Source: u, Number: 6}, u + ":1-8:app:1-3"},
		{GTID{Source: u + ":app", Number: 9}, u + ":1-8:app:1-3:9"},
		{GTID{Source: "00000000-71ca-11e1-9e33-c80aa9429562", Number: 1}, "00000000-71ca-11e1-9e33-c80aa9429562:1," + u + ":1-8:app:1-3:9"},
	} {
		s.Add(&step.g)
		if s.String() != step.want {
			t.Errorf("after %s:%d the set is %s, want %s", step.g.Source, step.g.Number, s, step.want)
		}
		if !s.Has(&step.g) {
			t.Errorf("%s:%d is missing", step.g.Source, step.g.Number)
		}
		again, err := ParseSet(false, s.String())
		if err != nil || !again.Contains(s) || !s.Contains(again) {
			t.Errorf("%s is read back as %s, %v", s, again, err)
		}
		if _, err := s.encode(); err != nil {
			t.Error(err)
		}
	}
	m, err := ParseSet(true, "1-7-9,0-1-5")
	if err != nil {
		t.Fatal(err)
	}
	m.Add(&GTID{Domain: 0, Server: 2, Number: 6})
	if m.String() != "0-2-6,1-7-9" {
		t.Errorf("MariaDB's set is %s", m)
	}
	for _, bad := range []string{u + ":", u + ":5-1", u + ":0", "1-2", "a-b-c"} {
		if _, err := ParseSet(bad[0] != '3', bad); err == nil {
			t.Errorf("%q is a set", bad)
		}
	}
}

func TestEveryCutLogIsAnError(t *testing.T) {
	for _, kind := range []string{"mariadb", "mysql"} {
		raw, err := os.ReadFile("../testdata/" + kind + ".binlog")
		if err != nil {
			t.Fatal(err)
		}
		whole, err := ParseFile("f", raw)
		if err != nil {
			t.Fatal(err)
		}
		ends := map[int]bool{4: true}
		for _, e := range whole {
			ends[int(e.Place.End)] = true
		}
		for i := range raw {
			if _, err := ParseFile("f", raw[:i]); !ends[i] && !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s cut at %d: %v", kind, i, err)
			}
		}
		// A flipped bit fails the checksum.
		for i := 4; i < len(raw); i += 7 {
			raw[i] ^= 4
			if _, err := ParseFile("f", raw); err == nil {
				t.Errorf("%s with a bit flipped at %d is accepted", kind, i)
			}
			raw[i] ^= 4
		}
	}
}

func TestPositionsBeyondFourGigabytes(t *testing.T) {
	f := framer{file: "f", pos: 1<<32 - 10}
	for _, c := range []struct {
		logPos uint32
		size   uint32
		want   uint64
	}{{40, 50, 1<<32 + 40}, {0, 50, 1<<32 + 40}, {140, 100, 1<<32 + 140}} {
		if got := f.end(header{logPos: c.logPos, size: c.size}); got != c.want {
			t.Errorf("LogPos %d: end %d, want %d", c.logPos, got, c.want)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	enc, _ := zstd.NewWriter(nil)
	inner := append(make([]byte, 9), 19+3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3)
	z := enc.EncodeAll(inner, nil)
	f.Add(append([]byte{2, 1, 0, 1, 1, byte(len(z)), 3, 1, byte(len(inner)), 0}, z...))
	f.Add(append([]byte{2, 3, 0xfc, 255, 0, 0}, inner...))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		_ = unpack(&Event{Body: b}, func(Event) error {
			if n++; n > 1000 {
				return errors.New("enough")
			}
			return nil
		})
	})
}

func FuzzFrame(f *testing.F) {
	raw, err := os.ReadFile("../testdata/mysql.binlog")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw[4:])
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = ParseFile("f", append([]byte("\xfebin"), b...))
		e := Event{Type: GTIDEvent, Body: b}
		for _, typ := range []Type{GTIDEvent, GTIDTaggedEvent, MariaGTIDEvent} {
			e.Type = typ
			_, _ = ParseGTID(&e)
		}
		for _, typ := range []Type{QueryEvent, MariaQueryCompressed} {
			e.Type = typ
			_, _ = ParseQuery(&e)
		}
	})
}

func TestReached(t *testing.T) {
	const state = "0-1-7, 0-2-3,5-1-1"
	for gtid, want := range map[string]bool{"0-1-7": true, "0-1-6": true, "0-1-8": false, "0-2-4": false, "5-1-1": true, "5-2-1": false, "": false, "0-1-x": false} {
		if got := Reached(state, gtid); got != want {
			t.Errorf("%q in %q: %t", gtid, state, got)
		}
	}
}
