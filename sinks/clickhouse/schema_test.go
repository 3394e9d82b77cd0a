package clickhouse

import (
	"fmt"
	"slices"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline/event"
)

func text(id uint32, name string) event.Column {
	return event.Column{ID: id, Name: name, Type: event.TypeText, Native: "text", Nullable: true}
}

func number(id uint32, name string, bytes int) event.Column {
	return event.Column{ID: id, Name: name, Type: event.TypeInt, Native: "int", Precision: bytes}
}

// changeOf is a DDL.
func changeOf(s *event.Schema, prev, seq event.Seq, due string) *event.Slice {
	return mark(event.KindDDL, s, prev, event.Mark{Seq: seq, Queues: 1, Due: due})
}

// Columns are found by identity, whatever their names were or become, the sink's own and the
// server's among them; a column of another type goes on in another one and shows what was
// written before.
func TestDefinitionsAreFollowed(t *testing.T) {
	for _, keyless := range []bool{false, true} {
		t.Run(fmt.Sprintf("keyless %v", keyless), func(t *testing.T) {
			c := targetOn(t, testenv.ClickHouse(t))
			m := schemas{}
			var key []int
			if !keyless {
				key = []int{0}
			}
			schemaOf := func(columns ...event.Column) *event.Schema { return m.add(columns, key...) }
			o := own(t, c, m, 1, keyless)

			s := schemaOf(number(1, "id", 4), text(2, "a"), text(3, "b"), number(4, "n", 4))
			old := s
			o.write(0, rows(s, 0, create(10, image(t, s, 1, "a1", "b1", 11)), create(12, image(t, s, 2, nil, "b2", 12)))).flush()
			same(t, "first", shows(t, c), []string{"id=1 a=a1 b=b1 n=11", "id=2 a=NULL b=b2 n=12"})

			// Two columns take each other's name.
			s = schemaOf(number(1, "id", 4), text(2, "b"), text(3, "a"), number(4, "n", 4))
			o.write(0, changeOf(s, 12, 20, ""), rows(s, 20, create(22, image(t, s, 3, "was a", "was b", 13)))).flush()
			same(t, "swapped", shows(t, c), []string{"id=1 b=a1 a=b1 n=11", "id=2 b=NULL a=b2 n=12", "id=3 b=was a a=was b n=13"})

			// The sink's and the server's own names; one with a default that older rows show.
			extra := text(5, "_part")
			extra.HasDefault, extra.Default = true, []byte("it's")
			s = schemaOf(number(1, "id", 4), text(2, "_seq"), text(3, "_n"), number(4, "_t", 4), extra)
			o.write(0, changeOf(s, 22, 30, ""), rows(s, 30, create(32, image(t, s, 4, "x", "y", 14, nil)))).flush()
			same(t, "own names", shows(t, c), []string{"id=1 _seq=a1 _n=b1 _t=11 _part=it's", "id=2 _seq=NULL _n=b2 _t=12 _part=it's",
				"id=3 _seq=was a _n=was b _t=13 _part=it's", "id=4 _seq=x _n=y _t=14 _part=NULL"})

			// Wider, NULL allowed, and back again; the first column is given up and comes anew.
			wide := number(4, "n", 8)
			wide.Nullable = true
			s = schemaOf(number(1, "id", 8), text(2, "a"), wide)
			o.write(0, changeOf(s, 32, 40, ""), rows(s, 40, create(42, image(t, s, 5, "z", i64(1<<40))), create(44, image(t, s, 6, "z", nil)))).flush()
			same(t, "wider", shows(t, c), []string{"id=1 a=a1 n=11", "id=2 a=NULL n=12", "id=3 a=was a n=13", "id=4 a=x n=14", "id=5 a=z n=1099511627776", "id=6 a=z n=NULL"})
			o = own(t, c, m, 2, keyless)
			s = schemaOf(number(1, "id", 8), text(6, "a"), number(4, "n", 8))
			o.write(0, changeOf(s, 44, 50, ""), rows(s, 50, create(52, image(t, s, 7, "new", 15)))).flush()
			same(t, "narrower", shows(t, c), []string{"id=1 a=NULL n=11", "id=2 a=NULL n=12", "id=3 a=NULL n=13", "id=4 a=NULL n=14", "id=5 a=NULL n=1099511627776", "id=6 a=NULL n=0", "id=7 a=new n=15"})

			// A queue that lags brings a row of the first definition.
			o.write(1, rows(old, 0, create(11, image(t, old, 8, "late", "late", 16)))).flush()
			want := []string{"id=1 a=NULL n=11", "id=2 a=NULL n=12", "id=3 a=NULL n=13", "id=4 a=NULL n=14", "id=5 a=NULL n=1099511627776",
				"id=6 a=NULL n=0", "id=7 a=new n=15", "id=8 a=NULL n=16"}
			same(t, "late", shows(t, c), want)

			if keyless {
				o.write(0, rows(s, 52, remove(60, image(t, s, 7, "new", 15)), create(62, image(t, s, 1, nil, 11)))).flush()
				want = append(slices.Delete(want, 6, 7), "id=1 a=NULL n=11")
				slices.Sort(want)
				same(t, "twice the same", shows(t, c), want)
			}
		})
	}
}

// Rows under another key go into another table; the view shows the first one as it was until a
// snapshot has filled the other, and what lags behind still goes where it belongs.
func TestAnotherKeyIsShownOnceItIsWhole(t *testing.T) {
	c := targetOn(t, testenv.ClickHouse(t))
	m := schemas{}
	columns := []event.Column{number(1, "id", 4), number(2, "k", 4), text(3, "v")}
	byID, byK, none := m.add(columns, 0), m.add(columns, 1), m.add(columns)
	o := own(t, c, m, 1, false)
	o.write(0, rows(byID, 0, create(10, image(t, byID, 1, 11, "a")), create(12, image(t, byID, 2, 12, "b")))).flush()
	first := []string{"id=1 k=11 v=a", "id=2 k=12 v=b"}
	same(t, "by id", shows(t, c), first)

	two := func(k event.Kind, s *event.Schema, prev event.Seq, mk event.Mark) *event.Slice {
		mk.Queues = 2
		return mark(k, s, prev, mk)
	}
	o.write(0, two(event.KindDDL, byK, 12, event.Mark{Seq: 20, Due: "another key"}),
		rows(byK, 20, create(22, image(t, byK, 3, 13, "c")))).flush()
	current := append(slices.Clone(first), "id=3 k=13 v=c")
	same(t, "the key has changed", shows(t, c), current)
	o = own(t, c, m, 2, false)
	o.write(1, rows(byID, 0, create(11, image(t, byID, 9, 19, "late")))).flush()
	current = append(current, "id=9 k=19 v=late")
	same(t, "a queue that lags", shows(t, c), current)

	snapshot := func(seq event.Seq, vals ...any) event.Row {
		return event.Row{Op: event.OpRead, Index: uint64(seq), Seq: seq, After: image(t, byK, vals...)}
	}
	o.write(0, two(event.KindBegin, byK, 22, event.Mark{Seq: 30, Attempt: 30}),
		rows(byK, 30, snapshot(32, 1, 11, "a"), snapshot(34, 3, 13, "c")), two(event.KindEnd, byK, 34, event.Mark{Seq: 40, Attempt: 30}))
	o.write(1, two(event.KindDDL, byK, 11, event.Mark{Seq: 20, Due: "another key"}),
		two(event.KindBegin, byK, 20, event.Mark{Seq: 30, Attempt: 30}), rows(byK, 30, snapshot(36, 9, 19, "late"))).flush()
	same(t, "one queue has not passed END", shows(t, c), current)
	o.write(1, two(event.KindEnd, byK, 36, event.Mark{Seq: 40, Attempt: 30})).flush()
	second := []string{"id=1 k=11 v=a", "id=3 k=13 v=c", "id=9 k=19 v=late"}
	same(t, "by k", shows(t, c), second)

	// The key goes: changes with signs, of a snapshot that is complete.
	o.write(0, two(event.KindDDL, none, 40, event.Mark{Seq: 50, Due: "no key"}),
		two(event.KindBegin, none, 50, event.Mark{Seq: 52, Attempt: 52}), rows(none, 52, snapshot(54, 3, 13, "c"), snapshot(56, 3, 13, "c")),
		two(event.KindEnd, none, 56, event.Mark{Seq: 60, Attempt: 52}))
	o.write(1, two(event.KindDDL, none, 40, event.Mark{Seq: 50, Due: "no key"}),
		two(event.KindBegin, none, 50, event.Mark{Seq: 52, Attempt: 52}), two(event.KindEnd, none, 52, event.Mark{Seq: 60, Attempt: 52})).flush()
	o = own(t, c, m, 3, true)
	same(t, "no key", shows(t, c), []string{"id=3 k=13 v=c", "id=3 k=13 v=c"})
	if err := o.Maintain(t.Context()); err != nil || o.Trouble() != "" {
		t.Error(err, o.Trouble())
	}
}

// A server that had no Time64 is replaced by one that has it: a TIME stays the number that it was
// made as, in the key too.
func TestATimeStaysWhatItWasMadeAs(t *testing.T) {
	d := testenv.ClickHouse(t)
	for name, key := range map[string][]int{"in the key": {0, 1}, "beside it": {0}} {
		c, m := targetOn(t, d), schemas{}
		c.Table = name
		at := event.Column{ID: 2, Name: "t", Type: event.TypeTime, Native: "time"}
		s := m.add([]event.Column{number(1, "id", 4), at}, key...)
		o := own(t, c, m, 1, false)
		o.types.Time64 = false
		o.write(0, rows(s, 0, create(10, image(t, s, 1, clock(5_000_000))))).flush()
		o = own(t, c, m, 2, false).write(0, rows(s, 10, create(12, image(t, s, 2, clock(6_000_000))))).flush()
		same(t, name, shows(t, c), []string{"id=1 t=5000000", "id=2 t=6000000"})
		if len(key) == 1 {
			at.Nullable, at.Scale, at.Native = true, 6, "time(6)"
			s = m.add([]event.Column{number(1, "id", 4), at}, 0)
			o.write(0, changeOf(s, 12, 20, ""), rows(s, 20, create(22, image(t, s, 3, clock(7_000_001))))).flush()
			same(t, name+", with NULL", shows(t, c), []string{"id=1 t=5000000", "id=2 t=6000000", "id=3 t=7000001"})
		}
		if len(o.rec.Stores) != 1 {
			t.Errorf("%s: there are %d stores", name, len(o.rec.Stores))
		}
	}
}
