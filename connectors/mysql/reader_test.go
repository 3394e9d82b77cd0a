package mysql

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/connectors/mysql/schema"
	"github.com/millrace/millrace/connectors/mysql/stream"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// TestATimeAheadIsNotBelievedBehindTheLogsEnd has a session give its transactions a time
// that has come, while the reader is before the place where the log ended earlier.
func TestATimeAheadIsNotBelievedBehindTheLogsEnd(t *testing.T) {
	ts, _ := stillTables(t, true)
	source, err := New(*ts.cfg, ts.log, nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UnixMicro()
	for _, c := range []struct{ pos, want uint64 }{{10, uint64(now) - 9}, {20, uint64(now) - 1}, {30, uint64(now) - 1}} {
		r := reader{pulse: newPulse(t.Context(), source, ts.db), boundary: event.Position{File: "f", Pos: c.pos}}
		r.pulse.pending.Store(&proof{end: place{file: "f", pos: 20}, at: now - 9})
		if r.passTime(now - 1); r.boundary.Time != int64(c.want) {
			t.Errorf("at %d the time is %d, want %d", c.pos, r.boundary.Time, c.want)
		}
	}
}

// TestAQuestionThatIsNeverAnsweredIsSaid has the log come while the pulse's questions fail.
func TestAQuestionThatIsNeverAnsweredIsSaid(t *testing.T) {
	ts, _ := stillTables(t, true)
	source, err := New(*ts.cfg, ts.log, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := newPulse(t.Context(), source, ts.db)
	refused, long := errors.New("access denied"), time.Now().Add(-time.Hour)
	for _, c := range []struct {
		what string
		note func()
		said bool
	}{
		{"answered", func() { p.answered(place{}, nil, long) }, false},
		{"failed now", func() { p.answered(place{}, refused, time.Now()) }, false},
		{"answered again, then failed long ago", func() { p.answered(place{}, nil, long); p.answered(place{}, refused, long) }, true},
		{"and again", func() { p.answered(place{}, refused, time.Now()) }, true},
		{"answered at last", func() { p.answered(place{}, nil, time.Now()) }, false},
	} {
		c.note()
		p.heard(true)
		st := pipeline.SourceStatus{Connected: true}
		p.report(&st)
		if said := strings.Contains(st.Stalled, refused.Error()) && st.LastError != ""; said != c.said || !st.Connected {
			t.Errorf("%s: the status is %+v", c.what, st)
		}
	}
}

// TestTemporaryTablesEndWithTheirServer has a session make a temporary table in front of a
// captured one, and the server be started anew.
func TestTemporaryTablesEndWithTheirServer(t *testing.T) {
	format := func(created byte, flags uint16) *stream.Event {
		return &stream.Event{Type: stream.FormatEvent, Flags: flags, Body: append(make([]byte, 52), created, 0, 0, 0, 19)}
	}
	for _, c := range []struct {
		name string
		e    *stream.Event
		ends bool
	}{
		{"a later log", format(0, 0), false},
		{"made up for the connection", format(1, 0x20), false},
		{"cut short", &stream.Event{Type: stream.FormatEvent, Body: make([]byte, 55)}, false},
		{"a server's first log", format(1, 0), true},
	} {
		ts, _ := stillTables(t, true)
		stillTable(ts, tableA)
		o := &opening{tables: ts}
		apply := func(sql string, number uint64) int {
			return len(schema.Apply(schema.Statement{SQL: sql, DB: "shop", Number: number, MariaDB: true, Thread: 7, ThreadSpecific: true,
				Temporary: &ts.temporary, Table: ts.current, Captures: ts.filter.Match, Tables: ts.names}))
		}
		apply("CREATE TEMPORARY TABLE a (id INT)", 1)
		if n := apply("ALTER TABLE a ADD COLUMN x INT", 2); n != 0 {
			t.Fatalf("%d tables are changed by a statement about a temporary one", n)
		}
		if err := o.onOther(c.e); err != nil {
			t.Fatal(err)
		}
		if n := apply("ALTER TABLE a ADD COLUMN x INT", 3); (n == 1) != c.ends {
			t.Errorf("%s: %d tables are changed", c.name, n)
		}
	}
}
