package clickhouse

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// The view's columns through three definitions and a snapshot, as each choice has them, while
// verification reads what the source has.
func TestColumnsThatStay(t *testing.T) {
	d := testenv.ClickHouse(t)
	x := text(5, "x")
	x.HasDefault, x.Default = true, []byte("q")
	for name, tc := range map[string]struct {
		change SchemaChange
		types  [3]string // of the view, behind each definition
		rows   []string
		raw    string // what is beside the value that does not fit
	}{
		"lenient": {SchemaChange{}, [3]string{
			"id Int64, a Nullable(String), n Int32, b Nullable(String)",
			"id Int64, b2 Nullable(String), n Int64, x Nullable(String)",
			"id Int64, b2 Nullable(String), n Int16, x Nullable(String), a Nullable(String)",
		}, []string{"(1,'b1',1,'q',NULL)", "(2,'b2',0,'x2',NULL)", "(3,'b3',3,'x3','a3')"}, ""},
		"evolve": {SchemaChange{Other: evolve}, [3]string{
			"id Int64, a Nullable(String), n Int32, b Nullable(String)",
			"id Int64, a Nullable(String), n Int64, b Nullable(String), b2 Nullable(String), x Nullable(String)",
			"id Int64, n Int64, b Nullable(String), b2 Nullable(String), x Nullable(String), a Nullable(String)",
		}, []string{"(1,1,'b1','b1','q',NULL)", "(2,1099511627776,'b2','b2','x2',NULL)", "(3,3,'b3','b3','x3','a3')"}, ""},
		"ignore": {SchemaChange{Other: ignore}, [3]string{
			"id Int64, a Nullable(String), n Int32, b Nullable(String)",
			"id Int64, a Nullable(String), n Int32, b Nullable(String)",
			"id Int64, a Nullable(String), n Int32, b Nullable(String)",
		}, []string{"(1,'a1',1,'b1')", "(2,NULL,2147483647,'b2')", "(3,NULL,3,'b3')"}, "1099511627776"},
		"each": {SchemaChange{Events: map[string]string{addColumn: ignore, dropColumn: evolve, renameColumn: lenient, modifyColumn: evolve}}, [3]string{
			"id Int64, a Nullable(String), n Int32, b Nullable(String)",
			"id Int64, a Nullable(String), n Int64, b2 Nullable(String)",
			"id Int64, a Nullable(String), n Int64, b2 Nullable(String)",
		}, []string{"(1,'a1',1,'b1')", "(2,NULL,1099511627776,'b2')", "(3,NULL,3,'b3')"}, ""},
	} {
		c, m := shaped(targetOn(t, d), Shape{SchemaChange: tc.change}), schemas{}
		c.Table = "stays_" + name
		one := m.add([]event.Column{number(1, "id", 4), text(2, "a"), number(3, "n", 4), text(4, "b")}, 0)
		two := m.add([]event.Column{number(1, "id", 4), text(4, "b2"), number(3, "n", 8), x}, 0)
		three := m.add([]event.Column{number(1, "id", 4), text(4, "b2"), number(3, "n", 2), x, text(6, "a")}, 0)
		types := func(n int) {
			t.Helper()
			if got := typesOf(t, d, c); got != tc.types[n] {
				t.Errorf("%s, definition %d: %s", name, n+1, got)
			}
		}
		mk := func(k event.Kind, s *event.Schema, prev, seq, begin event.Seq) *event.Slice {
			return mark(k, s, prev, event.Mark{Seq: seq, Attempt: begin, Queues: 2})
		}
		o := own(t, c, m, 1, false)
		o.write(0, mk(event.KindBegin, one, 0, 4, 4), rows(one, 4, create(10, image(t, one, 1, "a1", 1, "b1"))), mk(event.KindEnd, one, 10, 12, 4))
		o.write(1, mk(event.KindBegin, one, 0, 4, 4), mk(event.KindEnd, one, 4, 12, 4)).flush()
		types(0)
		ddl := mark(event.KindDDL, two, 12, event.Mark{Seq: 14, Queues: 2, Old: one.ID})
		o.write(0, ddl, rows(two, 14, create(16, image(t, two, 2, "b2", i64(1<<40), "x2")))).flush()
		types(1)
		o = own(t, c, m, 2, false)
		late := mark(event.KindDDL, two, 12, event.Mark{Seq: 14, Queues: 2, Old: one.ID})
		o.write(1, late) // the other queue brings it too
		o.write(0, mark(event.KindDDL, three, 16, event.Mark{Seq: 18, Queues: 2, Old: two.ID}), rows(three, 18, create(20, image(t, three, 3, "b3", 3, "x3", "a3")))).flush()
		types(2)
		same(t, name, seen(t, d, c), tc.rows)
		verified := []string{"id=1 b2=b1 n=1 x=q a=NULL", "id=2 b2=b2 n=1099511627776 x=x2 a=NULL", "id=3 b2=b3 n=3 x=x3 a=a3"}
		if name == "lenient" {
			verified[1] = "id=2 b2=b2 n=0 x=x2 a=NULL"
		}
		same(t, name+", verified", exact(t, c), verified)

		read := func(seq event.Seq, id int) event.Row {
			return event.Row{Op: event.OpRead, Index: uint64(seq), Seq: seq, After: image(t, three, id, "b", 7, "x", "a")}
		}
		o.write(0, mk(event.KindBegin, three, 20, 30, 30), rows(three, 30, read(32, 1), read(34, 2)), mk(event.KindEnd, three, 34, 40, 30))
		o.write(1, mark(event.KindDDL, three, 14, event.Mark{Seq: 18, Queues: 2, Old: two.ID}), mk(event.KindBegin, three, 18, 30, 30), mk(event.KindEnd, three, 30, 40, 30)).flush()
		types(2)
		same(t, name+", read anew, verified", exact(t, c), []string{"id=1 b2=b n=7 x=x a=a", "id=2 b2=b n=7 x=x a=a"})
		if s := shown(o.rec.Stores, o.whole()); s.Number != 2 {
			t.Errorf("%s: store %d is shown", name, s.Number)
		}
		c.Tables = nil
		own(t, c, m, 3, false)
		if got := typesOf(t, d, c); !strings.HasPrefix(got, "id Int64, b2 Nullable(String), n ") || !strings.HasSuffix(got, ", x Nullable(String), a Nullable(String)") {
			t.Errorf("%s, then lenient: %s", name, got)
		}
	}
}

// What can't stay, or go on, stands the table by name.
func TestColumnsThatCanNotStay(t *testing.T) {
	d := testenv.ClickHouse(t)
	moment := event.Column{ID: 2, Name: "v", Type: event.TypeDateTime, Native: "datetime"}
	day := event.Column{ID: 2, Name: "v", Type: event.TypeDate, Native: "date"}
	n := 0
	for want, tc := range map[string]struct {
		change  SchemaChange
		was     event.Column
		now     []event.Column
		keyless bool
	}{
		"column v becomes date, and neither does DateTime64(0, 'UTC') hold each value of it": {SchemaChange{Other: evolve}, moment, []event.Column{number(1, "id", 4), day}, false},
		"column v becomes date, and values of it have no form in DateTime64(0, 'UTC')":       {SchemaChange{Other: ignore}, moment, []event.Column{number(1, "id", 4), day}, false},
		"column v is dropped, and a table without a primary key can't keep it":               {SchemaChange{Other: ignore}, day, []event.Column{number(1, "id", 4)}, true},
	} {
		c, m := shaped(targetOn(t, d), Shape{SchemaChange: tc.change}), schemas{}
		n++
		c.Table = fmt.Sprintf("stands_%d", n)
		var key []int
		if !tc.keyless {
			key = []int{0}
		}
		old, now := m.add([]event.Column{number(1, "id", 4), tc.was}, key...), m.add(tc.now, key...)
		v := any(date(2026, 1, 1))
		if tc.was.Type == event.TypeDateTime {
			v = civil(event.Civil{Year: 2026, Month: 1, Day: 1})
		}
		o := own(t, c, m, 1, tc.keyless).write(0, rows(old, 0, create(10, image(t, old, 1, v)))).flush()
		err := o.Write(t.Context(), queueID(0), mark(event.KindDDL, now, 10, event.Mark{Seq: 14, Queues: 1, Old: old.ID}))
		if !errors.Is(err, pipeline.ErrRecord) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, and not %s", err, want)
		}
	}
}

// A definition changes while a snapshot fills another table: what readers see of it is the same as
// without, before and behind the END.
func TestColumnsThatStayInASnapshot(t *testing.T) {
	d := testenv.ClickHouse(t)
	for choice, want := range map[string]string{
		evolve: "id Int64, a Nullable(String), n Int64, x Nullable(String)",
		ignore: "id Int64, a Nullable(String), n Int32",
	} {
		c, m := shaped(targetOn(t, d), Shape{SchemaChange: SchemaChange{Other: choice}}), schemas{}
		c.Table = "anew_" + choice
		one := m.add([]event.Column{number(1, "id", 4), text(2, "a"), number(3, "n", 4)}, 0)
		two := m.add([]event.Column{number(1, "id", 4), number(3, "n", 8), text(5, "x")}, 0)
		mk := func(k event.Kind, s *event.Schema, prev, seq, begin event.Seq) *event.Slice {
			return mark(k, s, prev, event.Mark{Seq: seq, Attempt: begin, Queues: 1})
		}
		read := func(seq event.Seq, img event.Image) event.Row {
			return event.Row{Op: event.OpRead, Index: uint64(seq), Seq: seq, After: img}
		}
		o := own(t, c, m, 1, false)
		o.write(0, mk(event.KindBegin, one, 0, 4, 4), rows(one, 4, create(10, image(t, one, 1, "a1", 1))), mk(event.KindEnd, one, 10, 12, 4)).flush()
		o.write(0, mk(event.KindBegin, one, 12, 20, 20), rows(one, 20, read(22, image(t, one, 1, "A", 1)))).flush()
		o.write(0, mark(event.KindDDL, two, 22, event.Mark{Seq: 24, Queues: 1, Old: one.ID}), rows(two, 24, read(26, image(t, two, 2, 2, "x2")))).flush()
		before := typesOf(t, d, c)
		o = own(t, c, m, 2, false)
		o.write(0, rows(two, 26, create(28, image(t, two, 3, 3, "x3"))), mk(event.KindEnd, two, 28, 30, 20)).flush()
		if got := typesOf(t, d, c); got != want || before != want || o.shownStore() != 2 {
			t.Errorf("%s: store %d has %s, and before the END the view has %s", choice, o.shownStore(), got, before)
		}
		lines := []string{"(1,'A',1,NULL)", "(2,NULL,2,'x2')", "(3,NULL,3,'x3')"}
		if choice == ignore {
			lines = []string{"(1,'A',1)", "(2,NULL,2)", "(3,NULL,3)"}
		}
		same(t, choice, seen(t, d, c), lines)
		same(t, choice+", verified", shows(t, c), []string{"id=1 n=1 x=NULL", "id=2 n=2 x=x2", "id=3 n=3 x=x3"})
	}
}
