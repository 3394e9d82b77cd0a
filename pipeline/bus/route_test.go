package bus

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/millrace/millrace/pipeline/checkpoint"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/life"
)

// filed is a bench whose publisher was told what a pipeline file says.
type filed struct {
	*bench
	paused map[event.TableName]event.PauseReason
	back   []event.TableName
}

func openFiled(t *testing.T, tw *twin, config string, tables ...*event.Table) *filed {
	t.Helper()
	f := &filed{paused: map[event.TableName]event.PauseReason{}}
	cfg := PublisherConfig{
		Life: life.New(func(n event.TableName, e life.Event, before, after life.Table) {
			if after.Halted() && after.Why() != before.Why() && e.Kind != life.Opened {
				f.paused[n] = after.Why()
			}
		}),
		OnBack: func(n event.TableName) { f.back = append(f.back, n) },
	}
	if config != "" {
		cfg.Config = json.RawMessage(config)
	}
	f.bench = openBench(t, tw, cfg)
	if err := f.p.Declare(t.Context(), tables); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *filed) messages(t *event.Table) (n int) {
	f.t.Helper()
	for q := range t.Queues {
		s, _ := f.slices(t, q)
		n += len(s)
	}
	return n
}

// resumed is what a source hands over when it was told to go on with a table.
func resumed(b *bench, t *event.Table) event.Item {
	return event.Item{Kind: event.KindResumed, Table: t, Seq: event.MakeSeq(1, b.n)}
}

// TestAChangedRouteStopsItsTableAlone changes the queues or the key of one of two tables:
// that one is paused by name for as long as the file is so, the other one goes on. With
// the file as it was, the table comes back with an attempt.
func TestAChangedRouteStopsItsTableAlone(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*event.Table)
		words  []string
	}{
		"more queues":  {func(t *event.Table) { t.Queues = 4 }, []string{"shop.t ", "filled as 2 by the key (id)", "asks for 4 by (id)", "`shop.t: {queues: 2, key: [id]}`"}},
		"fewer queues": {func(t *event.Table) { t.Queues = 1 }, []string{"asks for 1 by (id)"}},
		"another key":  {func(t *event.Table) { t.KeyColumns = []int{1} }, []string{"filled as 2 by the key (id)", "asks for 2 by (v)"}},
	} {
		t.Run(name, func(t *testing.T) {
			tw := newTwin()
			table, beside := benchTable("t", 2), benchTable("u", 1)
			b := openFiled(t, tw, "", table, beside)
			b.add(b.tx("g1", table, "a", beside, "a")...)
			b.flush()
			b.close()

			other := *table
			c.change(&other)
			for opening := range 3 {
				b = openFiled(t, tw, "", &other, beside)
				why, recorded := b.paused[table.Name], b.resume.Paused[table.Name]
				if opening > 0 { // it is known already, and told once
					why = recorded
				}
				if why.Code != event.PauseRoute || len(b.paused) > 1 || len(b.back) > 0 || b.p.Life().Of(table.Name).Held().Text != why.Text || b.p.Life().Of(beside.Name).Held().Text != "" {
					t.Fatalf("opening %d: %+v, %+v, back %v, held %q", opening, b.paused, b.resume.Paused, b.back, b.p.Life().Of(table.Name).Held())
				}
				for _, w := range c.words {
					if !strings.Contains(why.Text, w) {
						t.Errorf("%q is not in %q", w, why.Text)
					}
				}
				before, all := b.messages(table), b.messages(beside)
				b.add(b.tx("g2-"+string(rune('a'+opening)), &other, "left out", beside, "b")...)
				b.add(resumed(b.bench, &other)) // a person may ask; it stays as it is
				b.add(b.tx("g3-"+string(rune('a'+opening)), &other, "left out")...)
				b.flush()
				if b.messages(table) != before || b.messages(beside) != all+1 {
					t.Errorf("opening %d: %d and %d messages, before %d and %d", opening, b.messages(table), b.messages(beside), before, all)
				}
				if s := b.state(); len(s.Paused) != 1 || s.Paused[0].Code != event.PauseRoute {
					t.Errorf("opening %d: paused in the state: %+v", opening, s.Paused)
				}
				b.close()
			}

			b = openFiled(t, tw, "", table, beside)
			if len(b.back) != 1 || b.back[0] != table.Name || b.p.Life().Of(table.Name).Held().Text != "" {
				t.Fatalf("with the file as it was: back %v, held %q", b.back, b.p.Life().Of(table.Name).Held())
			}
			b.close() // stopped before the source did anything: it is so the next time as well
			b = openFiled(t, tw, "", table, beside)
			defer b.close()
			if len(b.back) != 1 {
				t.Fatalf("once more: back %v", b.back)
			}
			before := b.messages(table)
			b.add(resumed(b.bench, table))
			b.add(b.tx("g9", table, "again")...)
			b.flush()
			s := b.state()
			if b.messages(table) != before+1 || len(s.Paused) != 0 || len(s.Due) != 2 || !dueFor(s, table.Name, CauseConfiguration) {
				t.Errorf("%d messages, before %d; paused %+v, due %+v", b.messages(table), before, s.Paused, s.Due)
			}
		})
	}
}

func dueFor(s *checkpoint.State, t event.TableName, cause string) bool {
	for _, d := range s.Due {
		if event.TableName(d.Table) == t && d.Cause == cause {
			return true
		}
	}
	return false
}

// TestADefinitionKeepsThePausedRoute takes a table, paused for its key, through a statement
// that renames the key's column: what is recorded follows the column, and the file finds
// its way back by the new name.
func TestADefinitionKeepsThePausedRoute(t *testing.T) {
	tw := newTwin()
	table := benchTable("t", 2)
	b := openFiled(t, tw, "", table)
	b.add(b.tx("g1", table, "a")...)
	b.flush()
	b.close()
	other := *table
	other.KeyColumns, other.Queues = []int{1}, 3
	b = openFiled(t, tw, "", &other)
	now := other
	columns := append([]event.Column(nil), table.Schema.Columns...)
	columns[0].Name = "number"
	now.Schema = event.NewSchema(table.Name, columns, []int{0})
	tx := &event.Tx{ID: "g2", Start: *b.at()}
	b.add(event.Item{Kind: event.KindDDL, Seq: b.seq(), Table: &now, Tx: tx, DDL: &event.DDL{SQL: "ALTER", Old: table.Schema, New: now.Schema}},
		event.Item{Kind: event.KindCommit, Seq: b.seq(), Tx: tx, Commit: b.at()})
	b.flush()
	row, _ := b.state().Table(checkpoint.TableName(table.Name))
	if row.Schema != now.Schema.ID || row.Queues != 2 || len(row.Key) != 1 || row.Key[0] != "number" {
		t.Errorf("recorded: %+v", row)
	}
	b.close()
	now.KeyColumns, now.Queues = []int{0}, 2
	b = openFiled(t, tw, "", &now)
	defer b.close()
	if len(b.back) != 1 {
		t.Errorf("back %v, held %q", b.back, b.p.Life().Of(table.Name).Held())
	}
}

// TestAKeyThatAStatementChangedIsARoute: the rows behind a statement that gives the table
// another primary key go by the new key, and so they do after an opening.
func TestAKeyThatAStatementChangedIsARoute(t *testing.T) {
	tw := newTwin()
	table := benchTable("t", 2)
	b := openFiled(t, tw, "", table)
	b.add(b.tx("g1", table, "a")...)
	now := *table
	now.Schema, now.KeyColumns = event.NewSchema(table.Name, table.Schema.Columns, []int{1}), []int{1}
	tx := &event.Tx{ID: "g2", Start: *b.at()}
	b.add(event.Item{Kind: event.KindDDL, Seq: b.seq(), Table: &now, Tx: tx, DDL: &event.DDL{SQL: "ALTER", Old: table.Schema, New: now.Schema, Due: "the key changed"}},
		event.Item{Kind: event.KindCommit, Seq: b.seq(), Tx: tx, Commit: b.at()})
	b.add(b.tx("g3", &now, "a")...)
	b.flush()
	b.close()
	b = openFiled(t, tw, "", &now)
	defer b.close()
	if len(b.paused) > 0 || !dueFor(b.state(), table.Name, "the key changed") {
		t.Errorf("paused %+v, due %+v", b.paused, b.state().Due)
	}
}

// TestTablesComeAndGoWithTheConfiguration leaves a table out and takes it in again: what
// it missed comes with an attempt, whatever was recorded of it. The configuration in
// force is in the state.
func TestTablesComeAndGoWithTheConfiguration(t *testing.T) {
	tw := newTwin()
	table, beside, later := benchTable("t", 2), benchTable("u", 1), benchTable("w", 1)
	b := openFiled(t, tw, `{"tables":["a","b"]}`, table, beside)
	b.add(b.tx("g1", table, "a", beside, "a")...)
	b.flush()
	b.close()

	b = openFiled(t, tw, `{"tables":["a & c"]}`, beside, later)
	if why := b.paused[table.Name]; why.Code != event.PauseExcluded || len(b.paused) != 1 || b.p.Life().Of(table.Name).Held().Text == "" || !strings.Contains(why.Text, "shop.t ") {
		t.Fatalf("left out: %+v", b.paused)
	}
	if s := b.state(); !dueFor(s, later.Name, "configuration changed: new table") || string(s.Config) != `{"tables":["a \u0026 c"]}` {
		t.Errorf("due %+v under %s", s.Due, s.Config)
	}
	bases := b.p.ck.last
	b.close()

	b = openFiled(t, tw, `{"tables":["a & c"]}`, beside, later)
	if b.p.ck.last != bases+2 { // Open, and the Base of the opening
		t.Errorf("the same configuration was written anew")
	}
	if len(b.paused) > 0 || b.resume.Paused[table.Name].Code != event.PauseExcluded {
		t.Errorf("left out again: %+v, recorded %+v", b.paused, b.resume.Paused)
	}
	b.close()

	b = openFiled(t, tw, `{"tables":["a","b"]}`, table, beside, later)
	defer b.close()
	if len(b.back) != 1 || b.back[0] != table.Name {
		t.Fatalf("taken in again: back %v", b.back)
	}
	b.add(resumed(b.bench, table))
	b.flush()
	if s := b.state(); !dueFor(s, table.Name, CauseConfiguration) || len(s.Paused) != 0 {
		t.Errorf("due %+v, paused %+v", s.Due, s.Paused)
	}
}

// TestAPersonsPauseOutlivesTheFile: a table that was paused for another reason stays so
// when it is left out and taken in again.
func TestAPersonsPauseOutlivesTheFile(t *testing.T) {
	tw := newTwin()
	table, beside := benchTable("t", 2), benchTable("u", 1)
	b := openFiled(t, tw, "", table, beside)
	b.add(event.Item{Kind: event.KindPaused, Table: table, Reason: &event.PauseReason{Code: event.PauseRequest, Text: "paused by request"}})
	b.flush()
	b.close()
	b = openFiled(t, tw, "", beside)
	b.close()
	b = openFiled(t, tw, "", table, beside)
	defer b.close()
	if len(b.back) > 0 || b.resume.Paused[table.Name].Code != "request" {
		t.Errorf("back %v, paused %+v", b.back, b.resume.Paused)
	}
}

// TestAnItemOfAnotherRouteStopsItsTableAlone: a source that gives a table other queues in
// the midst of it does not stop the others.
func TestAnItemOfAnotherRouteStopsItsTableAlone(t *testing.T) {
	table, beside := benchTable("t", 2), benchTable("u", 1)
	b := openFiled(t, newTwin(), "", table, beside)
	defer b.close()
	other := *table
	other.Queues = 1
	if err := b.p.Add(context.Background(), b.tx("g1", &other, "left out", beside, "a")); err != nil {
		t.Fatal(err)
	}
	b.flush()
	if b.paused[table.Name].Code != event.PauseRoute || b.messages(table) != 0 || b.messages(beside) != 1 {
		t.Errorf("paused %+v, %d and %d messages", b.paused, b.messages(table), b.messages(beside))
	}
}
