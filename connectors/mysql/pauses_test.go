package mysql

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/connectors/mysql/schema"
	"github.com/millrace/millrace/pipeline/event"
)

// still is a reader's place that does not move, with everything that rooms ask of others.
type still struct {
	items              []event.Item
	inquired, attempts []event.TableName
	counter            uint64
}

func (s *still) here() event.Position { return event.Position{File: "f", Pos: 4} }
func (s *still) number() event.Seq    { return event.MakeSeq(1, s.counter) }
func (s *still) reserve(n uint64) event.Seq {
	s.counter += 2 * n
	return event.MakeSeq(1, s.counter-2*n)
}
func (s *still) transaction() (string, func() *event.Tx) {
	return "", func() *event.Tx { return &event.Tx{ID: "t"} }
}
func (s *still) emit(it event.Item)                  { s.items = append(s.items, it) }
func (s *still) stands() place                       { return place{file: "f", pos: 4} }
func (s *still) transactions() uint64                { return 0 }
func (s *still) full() bool                          { return false }
func (s *still) discard(*table)                      {}
func (s *still) request(t *table, _ string)          { s.attempts = append(s.attempts, t.name) }
func (s *still) owe(t *table, cause string)          { s.request(t, cause) }
func (s *still) restart(*table, string)              {}
func (s *still) abandon(*table, string)              {}
func (s *still) owed() map[event.TableName]*owed     { return nil }
func (s *still) inquire(n event.TableName, _ string) { s.inquired = append(s.inquired, n) }

// stillTables are tables at such a place, with a server that takes connections and never
// says anything, or, when it is away, takes none.
func stillTables(t *testing.T, away bool) (*tables, *still) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if away {
		l.Close()
	}
	cfg := DefaultConfig()
	cfg.Address, cfg.User, cfg.Tables = l.Addr().String(), "root", []string{"shop.*"}
	db, err := cfg.openDB(cfg.Account())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	m, err := newMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	filter, err := schema.ParseFilter(cfg.Tables)
	if err != nil {
		t.Fatal(err)
	}
	at := &still{counter: 10}
	return &tables{cfg: &cfg, log: slog.New(slog.DiscardHandler), ctx: t.Context(), db: db, server: &server{maria: true}, filter: filter,
		ground: at, attempts: at, audits: at,
		ask: questions{db}, metrics: m, all: map[event.TableName]*table{}, maps: map[uint64]*mapped{}, cascades: map[event.TableName]bool{}}, at
}

// stillTable gives a table at such a place a definition.
func stillTable(ts *tables, name event.TableName) *table {
	t := ts.at(name)
	s := &event.Schema{Name: name, Columns: []event.Column{{ID: 1, Name: "id", Type: event.TypeInt}}, PrimaryKey: []int{0}}
	ts.define(t, s)
	return t
}

// TestResumingATableStopsNoOther resumes tables of a server that does not answer, or that
// cannot be reached: they go on without their definition, which is asked for in the
// background, and the log is not given up. Only who does not wait any more keeps the wish.
func TestResumingATableStopsNoOther(t *testing.T) {
	late, cancelLate := context.WithDeadline(t.Context(), time.Now())
	defer cancelLate()
	away, cancelAway := context.WithCancel(t.Context())
	cancelAway()
	for _, c := range []struct {
		name    string
		ctx     context.Context
		closed  bool
		resumed bool
	}{
		{"no answer in time", late, false, true},
		{"no connection", t.Context(), true, true},
		{"nobody waits", away, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			ts, at := stillTables(t, c.closed)
			held := stillTable(ts, tableA)
			ts.pause(held, pauseRequest, "")
			held.misfit = "of before"
			at.items = nil
			err := ts.hold(c.ctx, held, false)
			if !c.resumed {
				if !errors.Is(err, context.Canceled) || held.paused == nil || len(at.items) != 0 {
					t.Errorf("%v; paused: %v; %d items", err, held.paused, len(at.items))
				}
				return
			}
			if err != nil || held.paused != nil || held.blind == "" || held.misfit != "" {
				t.Errorf("%v; paused: %v; left out for %q, misfit %q", err, held.paused, held.blind, held.misfit)
			}
			if len(at.items) != 2 || at.items[0].Kind != event.KindResumed || at.items[1].Kind != event.KindDDL || at.items[1].DDL.Due == "" {
				t.Errorf("handed over: %+v", at.items)
			}
			if len(at.inquired) != 1 {
				t.Errorf("asked for in the background: %v", at.inquired)
			}
		})
	}
}

// TestAPauseOutlivesItsDefinition goes on from a position whose paused table has no
// definition, and that the server does not show: it is paused, it can be resumed, and what
// the patterns leave out is not there.
func TestAPauseOutlivesItsDefinition(t *testing.T) {
	ts, at := stillTables(t, true)
	known, hidden, out := stillTable(ts, tableA), event.TableName{DB: "shop", Table: "hidden"}, event.TableName{DB: "other", Table: "a"}
	why := event.PauseReason{Code: event.PausePrivilege, Text: "not shown"}
	ts.keepPaused(map[event.TableName]event.PauseReason{known.name: event.Requested(), hidden: why, out: why})
	as := &attempts{tables: ts}
	if st := as.describe(ts.at(hidden)); !st.Paused || ts.at(hidden).paused.Code != event.PausePrivilege ||
		known.paused.Code != event.PauseRequest {
		t.Errorf("the status is %+v; the known one is paused for %s", st, known.paused.Code)
	}
	if ts.all[out] != nil {
		t.Error("a table is captured that the patterns leave out")
	}
	if err := ts.hold(t.Context(), ts.all[hidden], false); err != nil || len(at.items) == 0 ||
		at.items[0].Kind != event.KindResumed || len(at.inquired) != 1 {
		t.Errorf("resumed: %v, %+v, asked for %v", err, at.items, at.inquired)
	}
}

// TestAStatementThatCannotBeFollowedIsNotAskedForAgain has statements call what the server
// does not tell of in time: every table that may be reached pauses by name, and the log is
// read on. A server that is away is asked again when it is back, and nothing pauses
// because the source is closed.
func TestAStatementThatCannotBeFollowedIsNotAskedForAgain(t *testing.T) {
	late, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	call := schema.Statement{SQL: "CALL p(1)", DB: "other", MariaDB: true, Table: func(event.TableName) *schema.Current { return nil }}
	ts, at := stillTables(t, false)
	table := stillTable(ts, tableA)
	ts.ctx = late
	if err := ts.called(place{file: "f", pos: 4}, call); err != nil {
		t.Error(err)
	}
	if len(at.items) != 1 || table.paused == nil || table.paused.Code != event.PauseStatement ||
		!strings.Contains(table.paused.Text, "what it calls could not be read") {
		t.Errorf("handed over %+v; paused: %+v", at.items, table.paused)
	}
	made := []schema.Change{{Table: event.TableName{DB: "shop", Table: "child"}}}
	if err := ts.newCascades([]byte("CREATE TABLE shop.child (id INT REFERENCES shop.a (id))"), made); err != nil ||
		!ts.cascades[made[0].Table] {
		t.Errorf("%v; changed by a foreign key: %v", err, ts.cascades)
	}
	ts, at = stillTables(t, true)
	stillTable(ts, tableA)
	closed, cancelClosed := context.WithCancel(t.Context())
	cancelClosed()
	for _, ctx := range []context.Context{t.Context(), closed} {
		ts.ctx = ctx
		if err := ts.called(place{file: "f", pos: 4}, call); !errors.Is(err, errAskAgain) || len(at.items) != 0 {
			t.Errorf("%v, %+v", err, at.items)
		}
	}
}

// TestRowsOfBeforeAnAnswerProveNothing has rows not fit a definition that is the server's
// as well: the first were from before the answer, and an attempt has them; only more of
// them pause the table. Another definition begins anew.
func TestRowsOfBeforeAnAnswerProveNothing(t *testing.T) {
	ts, at := stillTables(t, true)
	table := stillTable(ts, tableA)
	same := &schema.Loaded{Schema: table.schema()}
	misfits := func() { table.blind, table.misfit = "x", "x" }
	misfits()
	ts.settle(tableA, same, "test")
	if table.paused != nil || !table.flowing() || len(at.attempts) != 1 {
		t.Errorf("paused: %+v; left out for %q; attempts of %v", table.paused, table.blind, at.attempts)
	}
	ts.change(table, &statement{}, &event.DDL{Old: table.schema(), New: table.schema()})
	misfits()
	ts.settle(tableA, same, "test")
	if table.paused != nil || len(at.attempts) != 2 {
		t.Errorf("behind a statement: paused: %+v; attempts of %v", table.paused, at.attempts)
	}
	misfits()
	ts.settle(tableA, same, "test")
	if table.paused == nil || table.paused.Code != event.PauseSchema || len(at.attempts) != 2 {
		t.Errorf("paused: %+v; attempts of %v", table.paused, at.attempts)
	}
}

// TestADefinitionThatIsNotShownIsSaid has a running table's definition hidden from its
// reader: it is not asked for again at once, and the status says it until it is shown.
func TestADefinitionThatIsNotShownIsSaid(t *testing.T) {
	ts, at := stillTables(t, true)
	table := stillTable(ts, tableA)
	source, err := New(*ts.cfg, ts.log, nil)
	if err != nil {
		t.Fatal(err)
	}
	as := &audits{source: source, tables: ts, stand: at, open: map[event.TableName]*inquiry{}}
	says := (&attempts{tables: ts}).describe
	as.inquire(tableA, "test")
	as.unanswered(as.open[tableA], schema.ErrHidden)
	if st := says(table); st.Paused || !strings.Contains(st.Trouble, schema.ErrHidden.Error()) || len(as.open) != 0 {
		t.Errorf("the status is %+v; open: %v", st, as.open)
	}
	as.compareAll(&round{loaded: map[event.TableName]*schema.Loaded{tableA: {Schema: table.schema()}}})
	if st := says(table); st.Trouble != "" {
		t.Errorf("it was shown again, and the status is %+v", st)
	}
}
