package held

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/millrace/millrace/connectors/mysql/stream"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/errorfs"
)

// TestScripts gives logs to an Assembler and shows what becomes of each event. Each script
// is run with everything in memory, with everything in files, and with a part in each.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd != "mariadb" && d.Cmd != "mysql" {
				t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
			}
			first := runScript(t, d, DefaultMemory)
			for _, memory := range []int64{0, 3 * (overhead + 10), 8 * (overhead + 10)} {
				if again := runScript(t, d, memory); again != first {
					t.Errorf("%s: with %d bytes of memory\n%s\nwith enough\n%s", d.Pos, memory, again, first)
				}
			}
			return first
		})
	})
}

func runScript(t *testing.T, d *datadriven.TestData, memory int64) string {
	t.Helper()
	var b strings.Builder
	store := NewStore(vfs.OS(), t.TempDir(), memory)
	a := New(d.Cmd == "mariadb", store, func(at stream.Place) { fmt.Fprintf(&b, "torn at %d\n", at.Start) })
	for i, line := range strings.Split(strings.TrimSpace(d.Input), "\n") {
		if line == "reset" {
			a.Reset()
			continue
		}
		e := scriptEvent(t, line, uint64(10*i))
		if err := a.Take(&e); err != nil {
			fmt.Fprintf(&b, "%s: %v\n", line, err)
			continue
		}
		for {
			s, ok, err := a.Next()
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			if !ok {
				break
			}
			b.WriteString(stepText(&s))
		}
	}
	if a.Open() {
		fmt.Fprintf(&b, "%d events wait\n", a.cur.events)
	}
	for id, w := range a.prepared {
		fmt.Fprintf(&b, "prepared %s, %d events\n", id, w.log.events)
	}
	a.Close()
	if m, disk := store.Held(); m != 0 || disk != 0 {
		t.Errorf("%s: after all was dropped %d bytes of memory and %d in files are in use", d.Pos, m, disk)
	}
	return b.String()
}

var frameNames = map[Frame]string{
	GTID: "gtid", Begin: "begin", Savepoint: "savepoint", RollbackTo: "rollback-to", Release: "release", XAStart: "xa-start", XAEnd: "xa-end",
	Statement: "statement", Commit: "commit", Rollback: "rollback", Prepared: "prepared", XACommit: "xa-commit", XARollback: "xa-rollback",
}

func stepText(s *Step) string {
	text := frameNames[s.Frame]
	switch {
	case s.Event.Type == stream.TableMapEvent:
		text = "map"
	case Rows(s.Event.Type):
		text = fmt.Sprintf("rows %s at %d", s.Event.Body, s.Event.Place.Start)
	case text == "":
		text = fmt.Sprintf("type %d", s.Event.Type)
	}
	for _, flag := range []struct {
		on   bool
		name string
	}{{s.Last, "last"}, {s.Withdrawn, "withdrawn"}, {s.Unknown, "unknown"}, {s.Doubt, "doubt"}} {
		if flag.on {
			text += " " + flag.name
		}
	}
	if s.XA != "" {
		text += " " + s.XA
	}
	return text + "\n"
}

func scriptEvent(t *testing.T, line string, at uint64) stream.Event {
	t.Helper()
	word, rest, _ := strings.Cut(line, " ")
	e := stream.Event{Place: stream.Place{File: "f", Start: at, End: at + 10}}
	switch word {
	case "gtid":
		flags := byte(0)
		if rest == "standalone" {
			flags = 1
		}
		e.Type, e.Body = stream.MariaGTIDEvent, append(make([]byte, 12), flags)
	case "anonymous":
		e.Type = stream.AnonymousGTIDEvent
	case "map":
		e.Type = stream.TableMapEvent
	case "rows":
		e.Type, e.Body = stream.WriteRowsV1, []byte(rest)
	case "annotate":
		e.Type = stream.AnnotateRowsEvent
	case "xid":
		e.Type = stream.XIDEvent
	case "beat":
		e.Type = stream.HeartbeatEvent
	case "rotate":
		e.Type = stream.RotateEvent
	case "incident":
		e.Type = stream.IncidentEvent
	case "prepare", "one-phase":
		e.Type, e.Body = stream.XAPrepareEvent, prepareBody(rest, word == "one-phase")
	case "broken-prepare":
		e.Type = stream.XAPrepareEvent
	case "query":
		e.Type, e.Body = stream.QueryEvent, append(make([]byte, 14), rest...)
	default:
		t.Fatalf("unknown event %q", line)
	}
	return e
}

func prepareBody(gtrid string, onePhase bool) []byte {
	b := []byte{0}
	if onePhase {
		b[0] = 1
	}
	b = binary.LittleEndian.AppendUint32(b, 1)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(gtrid)))
	b = binary.LittleEndian.AppendUint32(b, 0)
	return append(b, gtrid...)
}

// TestAFullDiskIsSaid holds more than fits and names the directory.
func TestAFullDiskIsSaid(t *testing.T) {
	dir := t.TempDir()
	for _, kind := range []errorfs.Kind{errorfs.MkdirAll, errorfs.Create, errorfs.Remove, errorfs.WriteAt} {
		fs := errorfs.Wrap(vfs.OS(), errorfs.Func(func(op errorfs.Op) errorfs.Action {
			if op.Kind == kind {
				return errorfs.Action{Err: syscall.ENOSPC}
			}
			return errorfs.Action{}
		}))
		a := New(true, NewStore(fs, dir, 0), nil)
		body := make([]byte, spoolBuffer)
		err := a.Take(&stream.Event{Type: stream.WriteRowsV1, Body: body})
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s fails: %v", kind, err)
		}
		a.Close()
	}
}

// TestLargeEventsComeBack holds events around the size of what is read at once.
func TestLargeEventsComeBack(t *testing.T) {
	store := NewStore(vfs.OS(), t.TempDir(), 1000)
	a := New(true, store, nil)
	sizes := []int{10, spoolBuffer - spoolHead, spoolBuffer - spoolHead + 1, 5 * spoolBuffer, 0, 3, spoolBuffer, 1}
	for i, n := range sizes {
		body := []byte(strings.Repeat(string(rune('a'+i)), n))
		if err := a.Take(&stream.Event{Type: stream.WriteRowsV1, Body: body, Flags: uint16(i), Time: uint32(i), Packed: i%2 == 0,
			Place: stream.Place{File: "f", Start: uint64(i), Checksum: uint32(n)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Take(&stream.Event{Type: stream.XIDEvent}); err != nil {
		t.Fatal(err)
	}
	for i, n := range sizes {
		s, ok, err := a.Next()
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		e := s.Event
		if string(e.Body) != strings.Repeat(string(rune('a'+i)), n) || e.Flags != uint16(i) || e.Packed != (i%2 == 0) ||
			e.Place.Start != uint64(i) || e.Place.Checksum != uint32(n) {
			t.Errorf("event %d of %d bytes came back as one of %d: %+v", i, n, len(e.Body), e.Place)
		}
	}
}

// TestAResetKeepsWhatWasTaken forgets the open transaction after some of the Steps of an XA
// transaction were taken: with the last one it is prepared, or decided, and before it is not.
func TestAResetKeepsWhatWasTaken(t *testing.T) {
	const id = "X'61',X'',1"
	prepare := []string{"gtid", "map", "rows 1", "query XA END " + id, "prepare a"}
	for _, c := range []struct {
		name  string
		lines []string
		steps int  // of the last line's that are taken
		held  bool // afterwards
	}{
		{"prepare", prepare, 3, true},
		{"prepare, one less", prepare, 2, false},
		{"prepare, none", prepare, 0, false},
		{"commit", append(prepare, "gtid", "query XA COMMIT "+id), 4, false},
		{"commit, one less", append(prepare, "gtid", "query XA COMMIT "+id), 3, true},
		{"commit, the frame alone", append(prepare, "gtid", "query XA COMMIT "+id), 1, true},
		{"rollback", append(prepare, "gtid", "query XA ROLLBACK "+id), 2, false},
		{"rollback, one less", append(prepare, "gtid", "query XA ROLLBACK "+id), 1, true},
	} {
		for _, memory := range []int64{0, DefaultMemory} {
			store := NewStore(vfs.OS(), t.TempDir(), memory)
			a := New(true, store, nil)
			for i, line := range c.lines {
				e := scriptEvent(t, line, uint64(10*i))
				if err := a.Take(&e); err != nil {
					t.Fatal(err)
				}
				last := false
				for n := 0; i+1 < len(c.lines) || n < c.steps; n++ {
					s, ok, err := a.Next()
					if err != nil {
						t.Fatal(err)
					}
					if !ok {
						break
					}
					last = s.Last
				}
				if i+1 == len(c.lines) && last == strings.Contains(c.name, ",") {
					t.Fatalf("%s: the last step was taken: %v", c.name, last)
				}
			}
			a.Reset()
			if a.Holds(id) != c.held {
				t.Errorf("%s, %d bytes of memory: held is %v", c.name, memory, a.Holds(id))
			}
			a.Close()
			if m, disk := store.Held(); m != 0 || disk != 0 {
				t.Errorf("%s: %d bytes of memory and %d in files stay", c.name, m, disk)
			}
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add(appendRecord(nil, &stream.Event{Type: stream.WriteRowsV1, Body: []byte("abc"), Packed: true}, Commit, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		e := entry{ev: &stream.Event{}}
		if parseRecord(b, []string{"f"}, &e) != nil {
			return
		}
		if again := appendRecord(nil, e.ev, e.frame, 0); string(again) != string(b) {
			t.Errorf("%x reads as what is written as %x", b, again)
		}
	})
}

func FuzzPreparedID(f *testing.F) {
	f.Add([]byte("\x00\x01\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00one"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if id, _, err := preparedID(b); (err == nil) != (id != "") {
			t.Errorf("%q, %v", id, err)
		}
	})
}

func TestPreparedIDs(t *testing.T) {
	whole := []byte("\x00\x01\x00\x00\x00\x03\x00\x00\x00\x01\x00\x00\x00one2")
	if id, onePhase, err := preparedID(whole); id != "X'6f6e65',X'32',1" || onePhase || err != nil {
		t.Errorf("%q, %v, %v", id, onePhase, err)
	}
	for n := range whole {
		if _, _, err := preparedID(whole[:n]); err == nil {
			t.Errorf("%d bytes of %d are taken", n, len(whole))
		}
	}
}

// FuzzStatement looks at any text as at a frame: nothing panics, and no frame is found
// where the words do not stand.
func FuzzStatement(f *testing.F) {
	for _, w := range frameWords {
		f.Add([]byte(w.words + " `a`"))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, rest := statement(b)
		if frame != Statement && len(rest) >= len(b) {
			t.Errorf("%q is frame %d with %q behind it", b, frame, rest)
		}
		_ = folded(name(rest))
	})
}

// FuzzAssembler gives events of any type and bytes: nothing panics, every event comes back
// at most once and in order, and all memory does.
func FuzzAssembler(f *testing.F) {
	f.Add(true, []byte{1, 2, 3, 4, 5, 6})
	f.Add(false, []byte{0, 5, 1, 2, 3, 7, 2, 3, 8, 9, 10, 11})
	lines := []string{"gtid", "gtid standalone", "map", "rows x", "xid", "query BEGIN", "query SAVEPOINT a",
		"query ROLLBACK TO a", "query SAVEPOINT b",
		"query ROLLBACK", "prepare x", "query XA COMMIT X'78',X'',1", "query XA ROLLBACK X'78',X'',1", "rotate", "beat", "one-phase x", "query XA START x", "query DROP TABLE t"}
	f.Fuzz(func(t *testing.T, maria bool, picks []byte) {
		if len(picks) > 200 {
			return
		}
		store := NewStore(vfs.NewMem(), "d", 3*overhead)
		a := New(maria, store, nil)
		last := uint64(0)
		for i, pick := range picks {
			e := scriptEvent(t, lines[int(pick)%len(lines)], uint64(i+1))
			if err := a.Take(&e); err != nil {
				t.Fatal(err)
			}
			for {
				s, ok, err := a.Next()
				if err != nil {
					t.Fatal(err)
				}
				if !ok {
					break
				}
				if s.Event.Place.Start < last {
					t.Fatalf("event %d comes behind event %d", s.Event.Place.Start, last)
				}
				last = s.Event.Place.Start
			}
		}
		a.Close()
		if m, disk := store.Held(); m != 0 || disk != 0 {
			t.Fatalf("%d bytes of memory and %d in files stay", m, disk)
		}
	})
}

func BenchmarkSingleRowTransactions(b *testing.B) {
	a := New(false, NewStore(vfs.OS(), b.TempDir(), DefaultMemory), nil)
	var events []stream.Event
	for _, line := range []string{"anonymous", "query BEGIN", "map", "rows x", "xid"} {
		events = append(events, scriptEvent(&testing.T{}, line, 1))
	}
	b.ReportAllocs()
	for b.Loop() {
		for i := range events {
			if err := a.Take(&events[i]); err != nil {
				b.Fatal(err)
			}
			for {
				if _, ok, err := a.Next(); err != nil || !ok {
					break
				}
			}
		}
	}
}

// BenchmarkLargeTransaction holds 64 MiB of row events of 8 KiB.
func BenchmarkLargeTransaction(b *testing.B) {
	a := New(false, NewStore(vfs.OS(), b.TempDir(), DefaultMemory), nil)
	body := make([]byte, 8<<10)
	b.SetBytes(64 << 20)
	for b.Loop() {
		for range 8 << 10 {
			if err := a.Take(&stream.Event{Type: stream.WriteRowsV2, Body: body}); err != nil {
				b.Fatal(err)
			}
		}
		if err := a.Take(&stream.Event{Type: stream.XIDEvent}); err != nil {
			b.Fatal(err)
		}
		for {
			if _, ok, err := a.Next(); err != nil {
				b.Fatal(err)
			} else if !ok {
				break
			}
		}
	}
}
