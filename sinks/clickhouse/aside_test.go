package clickhouse

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/clickhouse/column"
)

// Where order_by has more columns than the primary key, a change takes away what lies under the
// sorting key of its image before. Put aside, it would leave a version that no later change finds.
func TestNothingIsPutAsideWhereASortColumnMovesRows(t *testing.T) {
	c, m := shaped(strict(t, testenv.ClickHouse(t)), Shape{OrderBy: []string{"born", "id"}}), schemas{}
	s := born(m, 0)
	row := func(id, year int) event.Image { return image(t, s, id, birth(year)) }
	o := ownAside(t, c, m, 1, 10).write(0, rows(s, 0, create(10, row(1, 1999)), create(12, row(2, 2000)))).flush()
	err := o.Write(t.Context(), queueID(0), rows(s, 12, update(14, row(1, 1999), row(1, 1400)),
		update(16, row(1, 1400), row(1, 2001)), update(18, row(1, 2001), row(1, 2002))))
	if !errors.Is(err, pipeline.ErrRecord) || !strings.Contains(err.Error(), "nothing is put aside of a table whose order_by has columns") {
		t.Errorf("it says %v", err)
	}
	o.flush()
	same(t, "the table stands", shows(t, c), []string{"id=1 born=1999-05-06", "id=2 born=2000-05-06"})
	if got := listed(t, c); len(got) > 0 {
		t.Errorf("put aside: %q", got)
	}
}

// A row that stays though it goes is its last image, so that its deletion needs all columns and not
// the key alone. One that goes as everywhere needs the key.
func TestARowThatStaysNeedsAllItsColumns(t *testing.T) {
	d := testenv.ClickHouse(t)
	const at = "'2026-08-21 12:00:00.000000'"
	for asked, want := range map[string]struct{ seen, put, replayed []string }{
		"soft": {[]string{"(1,'1999-05-06',NULL)", "(2,'2000-05-06'," + at + ")"}, []string{"22 d id=1: born"},
			[]string{"(1,'1900-01-01'," + at + ")", "(2,'2000-05-06'," + at + ")"}},
		`{mode: ignore, when: "id > 1"}`: {[]string{"(2,'2000-05-06')"}, nil, []string{"(2,'2000-05-06')"}},
	} {
		c, m := strict(t, d), schemas{}
		c.Deletes = deleting(t, asked)
		c.Table = "stays_" + string(c.Deletes.Mode)
		s := born(m, 0)
		row := func(id, year int) event.Image { return image(t, s, id, birth(year)) }
		o := ownAside(t, c, m, 1, 10).write(0, rows(s, 0, create(10, row(1, 1999)), create(12, row(2, 2000)))).flush()
		o.write(0, rows(s, 12, update(20, row(1, 1999), row(1, 1400)), remove(22, row(1, 1400)), remove(24, row(2, 2000)))).flush()
		same(t, asked, seen(t, d, c), want.seen)
		if got := listed(t, c); !slices.Equal(got, want.put) {
			t.Errorf("%s: put aside are %q and not %q", asked, got, want.put)
		}
		c.OutOfRange = column.Clamp
		o = ownAside(t, c, m, 2, 10)
		if done, err := o.ReplayLetters(t.Context(), nil); err != nil || done.Gone != len(want.put) || done.Left.Rows != 0 {
			t.Errorf("%s: replayed: %+v, %v", asked, done, err)
		}
		same(t, asked+", replayed", seen(t, d, c), want.replayed)
	}
}

// A change that one of two tables can't hold leaves nothing in the other, the time when a row went
// no more than its values: else the rows behind it would have gone.
func TestATimeThatIsTakenBackIsNoOtherRows(t *testing.T) {
	d := testenv.ClickHouse(t)
	c, m := targetOn(t, d), schemas{}
	c.Table, c.Deletes = "taken_back", deleting(t, "soft")
	one, two := born(m, 0), born(m, 1)
	row := func(s *event.Schema, id, year int) event.Image { return image(t, s, id, birth(year)) }
	o := ownAside(t, c, m, 1, 10)
	o.write(0, mark(event.KindBegin, one, 0, event.Mark{Seq: 4, Attempt: 4, Queues: 1}),
		rows(one, 4, create(10, row(one, 1, 1500)), create(12, row(one, 2, 2000))),
		mark(event.KindEnd, one, 12, event.Mark{Seq: 16, Attempt: 4, Queues: 1})).flush()
	o.write(0, mark(event.KindDDL, two, 16, event.Mark{Seq: 20, Queues: 1, Due: "another key"}),
		rows(two, 20, remove(22, row(two, 1, 1500)), remove(24, row(two, 2, 2000)), create(26, row(two, 4, 2002)))).flush()
	same(t, "before the snapshot", seen(t, d, c),
		[]string{"(1,'1900-01-01',NULL)", "(2,'2000-05-06','2026-08-21 12:00:00.000000')", "(4,'2002-05-06',NULL)"})
	if got := listed(t, c); !slices.Equal(got, []string{"22 d born=1500-05-06: born"}) {
		t.Errorf("put aside: %q", got)
	}
}

// Signs begin with what the mirror shows. Of a row that was put aside the next change would take off
// what no sum has, so they do not begin while there is one.
func TestSignsDoNotBeginWhileChangesArePutAside(t *testing.T) {
	c, m := strict(t, testenv.ClickHouse(t)), schemas{}
	s := born(m, 0)
	row := func(id, year int) event.Image { return image(t, s, id, birth(year)) }
	first := rows(s, 4, create(10, row(1, 1999)), create(12, row(2, 1500)))
	ownAside(t, c, m, 1, 10).write(0, begin(s, 0, 4, 1), first, end(12, 14, 4, 1)).flush()
	signed := c
	signed.Mode = Signed
	_, err := aside(t, signed, m, 2, false, 10)
	if !errors.Is(err, pipeline.ErrUnwritable) || !strings.Contains(err.Error(), "1 changes of "+c.Database+".orders are put aside") {
		t.Errorf("it says %v", err)
	}
	ownAside(t, c, m, 3, 10).write(0, rows(s, 14, update(20, row(2, 1500), row(2, 2000)))).flush()
	same(t, "a mirror goes on", shows(t, c), []string{"id=1 born=1999-05-06", "id=2 born=2000-05-06"})
	o := own(t, signed, m, 4, false)
	if err := o.Maintain(t.Context()); err != nil || o.Trouble() != "" {
		t.Fatal(err, o.Trouble())
	}
	o.write(0, rows(s, 20, remove(22, row(2, 2000)))).flush()
	same(t, "nothing is put aside, and there are signs", shows(t, signed), []string{"id=1 born=1999-05-06"})
}
