package held

import (
	"fmt"
	"testing"

	"github.com/millrace/millrace/connectors/mysql/stream"
	"github.com/millrace/millrace/internal/vfs"
)

// TestAPreparedTransactionLeavesMemoryToOthers prepares ones that fill all memory, and one
// that goes far beyond it: those that come behind are held in memory all the same, and each
// comes back whole with its commit.
func TestAPreparedTransactionLeavesMemoryToOthers(t *testing.T) {
	const memory = 1 << 20
	store := NewStore(vfs.OS(), t.TempDir(), memory)
	a := New(true, store, nil)
	rows := map[string]int{"a": 900, "b": 3000, "c": 200, "d": 400}
	at := uint64(4)
	take := func(e stream.Event) (steps []Step) {
		t.Helper()
		e.Place = stream.Place{File: "f", Start: at, End: at + 10}
		at += 10
		if err := a.Take(&e); err != nil {
			t.Fatal(err)
		}
		for {
			s, ok, err := a.Next()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				return steps
			}
			one := *s.Event
			one.Body = append([]byte(nil), one.Body...)
			s.Event = &one
			steps = append(steps, s)
		}
	}
	query := func(sql string) []Step {
		return take(stream.Event{Type: stream.QueryEvent, Body: append(make([]byte, 14), sql...)})
	}
	name := func(id string) string { return fmt.Sprintf("X'%x',X'',1", id) }
	for id, n := range rows {
		query("XA START " + name(id))
		for i := range n {
			take(stream.Event{Type: stream.WriteRowsV1, Body: append(make([]byte, 1000), byte(i), byte(i>>8))})
		}
		take(stream.Event{Type: stream.XAPrepareEvent, Body: prepareBody(id, false)})
		if used, _ := store.Held(); used > memory/2 {
			t.Fatalf("%d bytes of memory are taken by what waits", used)
		}
		_, before := store.Held()
		query("BEGIN")
		for range 100 {
			take(stream.Event{Type: stream.WriteRowsV1, Body: make([]byte, 1000)})
		}
		if _, disk := store.Held(); disk != before {
			t.Errorf("behind %s a small transaction went to a file", id)
		}
		take(stream.Event{Type: stream.XIDEvent})
	}
	for id, n := range rows {
		came := 0
		for _, s := range query("XA COMMIT " + name(id)) {
			if s.Event.Type != stream.WriteRowsV1 {
				continue
			}
			if got := int(s.Event.Body[1000]) | int(s.Event.Body[1001])<<8; got != came {
				t.Fatalf("%s: row %d came for row %d", id, got, came)
			}
			came++
		}
		if came != n {
			t.Errorf("%s: %d rows of %d", id, came, n)
		}
	}
	if m, disk := store.Held(); m != 0 || disk != 0 || store.parked != 0 {
		t.Errorf("%d bytes of memory (%d parked) and %d in files stay", m, store.parked, disk)
	}
}
