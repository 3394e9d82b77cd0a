package clickhouse

import (
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/testenv/chserver"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// stands fails unless the only queue's mark is at the end of a slice, identity included; nil
// is the queue's beginning.
func (o owner) stands(what string, at *event.Slice) owner {
	o.t.Helper()
	if at == nil {
		at = &event.Slice{}
	}
	if m := o.Marks(); len(m) != 1 || m[0].Seq != at.Hi || m[0].ID != at.To {
		o.t.Errorf("%s: the marks are %+v and not %d, %+v", what, m, at.Hi, at.To)
	}
	return o
}

// minutesLater has the next flush write its own entry of the ledger.
func (o owner) minutesLater(n int) owner {
	o.sink.now = func() time.Time { return time.Now().Add(time.Duration(n) * 2 * slotTime) }
	return o
}

// An END, a TRUNCATE and a DDL that asks for a snapshot write no row: a mark over one of them
// needs no row with its number.
func TestAMarkOverADeletionStays(t *testing.T) {
	d := testenv.ClickHouse(t)
	m := schemas{}
	s := m.add([]event.Column{number(1, "id", 4), text(2, "v")}, 0)
	first := rows(s, 20, create(22, image(t, s, 1, "a")), create(24, image(t, s, 2, "b")))
	for name, last := range map[string]*event.Slice{
		"end":      mark(event.KindEnd, s, 24, event.Mark{Seq: 30, Attempt: 20, Queues: 1}),
		"truncate": mark(event.KindTruncate, s, 24, event.Mark{Seq: 30, Queues: 1}),
		"due":      mark(event.KindDDL, s, 24, event.Mark{Seq: 30, Due: "values changed"}),
	} {
		c := targetOn(t, d)
		c.Table = name
		own(t, c, m, 1, false).write(0, mark(event.KindBegin, s, 0, event.Mark{Seq: 20, Attempt: 20}), first, last).flush()
		own(t, c, m, 2, false).stands(name, last)
	}
}

// Rows that were there are gone by other hands. What is left ends inside a message, whose
// number says nothing: the mark goes back to one that the ledger holds, if it holds one.
func TestAMarkGoesBackToOneOfTheLedger(t *testing.T) {
	d := testenv.ClickHouse(t)
	conn, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	m := schemas{}
	s := m.add([]event.Column{number(1, "id", 4), text(2, "v")}, 0)
	one := rows(s, 0, create(10, image(t, s, 1, "a")), create(12, image(t, s, 2, "a")))
	two := rows(s, 12, update(14, image(t, s, 1, "a"), image(t, s, 1, "b")), create(16, image(t, s, 3, "a")))
	for name, minutes := range map[string]int{"in_one_minute": 0, "in_two": 1} {
		c := targetOn(t, d)
		c.Table = name
		own(t, c, m, 1, false).write(0, one).flush().minutesLater(minutes).write(0, two).flush()
		if err := conn.Exec(t.Context(), "DELETE FROM `"+c.Database+"`.`"+name+suffix+"` WHERE _seq = 16"); err != nil {
			t.Fatal(err)
		}
		back, again := one, []*event.Slice{two}
		if minutes == 0 {
			back, again = nil, []*event.Slice{one, two}
		}
		own(t, c, m, 2, false).stands(name, back).write(0, again...).flush()
		own(t, c, m, 3, false).stands(name+", sent again", two)
		same(t, name, shows(t, c), []string{"id=1 v=b", "id=2 v=a", "id=3 v=a"})
	}
}

// An earlier version's ledger has one number for all of a queue's rows: its marks are compared with
// what is there as well.
func TestAMarkOfAnEarlierVersionIsNotBelievedEither(t *testing.T) {
	d := testenv.ClickHouse(t)
	conn, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c, m := targetOn(t, d), schemas{}
	s := simple(m)
	one, two := rows(s, 0, create(10, image(t, s, 1, "a"))), rows(s, 10, create(12, image(t, s, 2, "a")))
	o := own(t, c, m, 1, false)
	for i, slice := range []*event.Slice{one, two} {
		o.minutesLater(i).write(0, slice).flush()
		rec := *o.rec
		rec.Queues = slices.Clone(rec.Queues)
		rec.Queues[0].In = nil
		if err := o.writeRecord(t.Context(), &rec); err != nil {
			t.Fatal(err)
		}
	}
	own(t, c, m, 2, false).stands("all is there", two)
	if err := conn.Exec(t.Context(), "DELETE FROM `"+c.Database+"`."+tableName.Table+suffix+" WHERE _seq = 12"); err != nil {
		t.Fatal(err)
	}
	own(t, c, m, 3, false).stands("the last row is gone", one)
}

// What is due beside the stream is written to the ledger before the rows come again: a mark that
// went back is there as it is then.
func TestAMarkThatWentBackStaysBack(t *testing.T) {
	d := testenv.ClickHouse(t)
	conn, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	m := schemas{}
	s := m.add([]event.Column{number(1, "id", 4), text(2, "v")}, 0)
	end := mark(event.KindEnd, s, 12, event.Mark{Seq: 14, Attempt: 4, Queues: 1})
	one := []*event.Slice{mark(event.KindBegin, s, 0, event.Mark{Seq: 4, Attempt: 4, Queues: 1}),
		rows(s, 4, create(10, image(t, s, 1, "a")), create(12, image(t, s, 2, "a"))), end}
	two := rows(s, 14, update(16, image(t, s, 1, "a"), image(t, s, 1, "b")), create(18, image(t, s, 3, "a")))
	for name, x := range map[string]struct {
		gone  string
		back  *event.Slice
		again []*event.Slice
	}{
		"the last row": {"_seq = 18", end, []*event.Slice{two}},
		"all rows":     {"1", nil, append(slices.Clone(one), two)},
	} {
		c := targetOn(t, d)
		c.Table = name
		own(t, c, m, 1, false).write(0, one...).flush().minutesLater(1).write(0, two).flush()
		if err := conn.Exec(t.Context(), "DELETE FROM `"+c.Database+"`.`"+name+suffix+"` WHERE "+x.gone); err != nil {
			t.Fatal(err)
		}
		o := own(t, c, m, 2, false).stands(name, x.back)
		if err := o.Maintain(t.Context()); err != nil || o.Trouble() != "" || o.rec.Cleaned != 4 {
			t.Fatal(err, o.Trouble(), o.rec.Cleaned)
		}
		own(t, c, m, 3, false).stands(name+", beside the stream", x.back).write(0, x.again...).flush()
		own(t, c, m, 4, false).stands(name+", sent again", two)
		same(t, name, shows(t, c), []string{"id=1 v=b", "id=2 v=a", "id=3 v=a"})
	}
}

// The server is killed, and again while rows are sent again, between changes of the same rows
// whose older versions are merged away. Each claim begins at a mark whose identity is known.
func TestARewindInARewind(t *testing.T) {
	server := testenv.ClickHouseWithFaults(t, chserver.Options{})
	c := targetOn(t, server.ClickHouseDatabase)
	c.Rewind = config.Duration(1) // to the entry before the newest
	c.Table = "orders"
	m := schemas{}
	s := m.add([]event.Column{number(1, "id", 4), text(2, "v")}, 0)
	version := func(seq event.Seq, v string) *event.Slice {
		return rows(s, seq-2, update(seq-1, image(t, s, 1, "-"), image(t, s, 1, v)), update(seq, image(t, s, 2, "-"), image(t, s, 2, v)))
	}
	list := []*event.Slice{rows(s, 0, create(9, image(t, s, 1, "a")), create(10, image(t, s, 2, "a")))}
	for i, v := range []string{"b", "c", "d", "e"} {
		list = append(list, version(event.Seq(12+2*i), v))
	}
	merge := func() {
		if _, err := server.Admin(t.Context(), "OPTIMIZE TABLE "+c.Database+".orders"+suffix+" FINAL"); err != nil {
			t.Fatal(err)
		}
	}
	restart := func() {
		server.Kill()
		if err := server.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	own(t, c, m, 1, false).write(0, list[0]).flush().minutesLater(1).write(0, list[1:4]...).flush()
	merge()
	own(t, c, m, 2, false).stands("the newest versions alone are there", list[3])
	restart()
	own(t, c, m, 3, false).stands("the server has started anew", list[0]).write(0, list[1]).flush()
	merge()
	restart()
	own(t, c, m, 4, false).stands("and again, in the middle", list[0]).write(0, list[1:3]...).flush()
	own(t, c, m, 5, false).stands("another owner, in the middle", list[0]).write(0, list[1:4]...).flush()
	own(t, c, m, 6, false).stands("all was sent again", list[3]).write(0, list[4]).flush()
	merge()
	own(t, c, m, 7, false).stands("at the end", list[4])
	same(t, "at the end", shows(t, c), slices.Sorted(slices.Values([]string{"id=1 v=e", "id=2 v=e"})))
}

// Versions of one row come through two queues, and the server keeps the newest alone. That
// tells of no loss where the queue is not the primary key's, and of one where it is.
func TestAMarkOverARowThatAnotherQueueReplacedStays(t *testing.T) {
	d := testenv.ClickHouse(t)
	conn, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	m := schemas{}
	s := m.add([]event.Column{number(1, "id", 4), text(2, "customer")}, 0)
	one := rows(s, 0, create(8, image(t, s, 1, "a")), remove(10, image(t, s, 1, "a")))
	for name, c := range map[string]struct {
		route []string
		two   []*event.Slice
		stays bool
	}{
		"another column": {[]string{"customer"}, nil, true},
		"one more":       {[]string{"id", "customer"}, nil, true},
		"the key":        {[]string{"id"}, nil, false},
		"by default":     {nil, nil, false},
		"another number": {nil, []*event.Slice{mark(event.KindBegin, s, 0, event.Mark{Seq: 11, Attempt: 11, Queues: 2})}, true},
	} {
		cfg := targetOn(t, d)
		cfg.Table = name
		prev := event.Seq(0)
		if len(c.two) > 0 {
			prev = 11
		}
		own(t, cfg, m, 1, false).write(0, one).flush().write(1, append(c.two, rows(s, prev, create(12, image(t, s, 1, "b"))))...).flush()
		if err := conn.Exec(t.Context(), "OPTIMIZE TABLE `"+cfg.Database+"`.`"+name+suffix+"` FINAL"); err != nil {
			t.Fatal(err)
		}
		sink, err := New(cfg, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer sink.Close()
		again, err := sink.openTable(t.Context(), pipeline.Claim{Pipeline: "p", Sink: "olap", Table: tableName, Generation: 2, Route: c.route, Schemas: m})
		if err != nil {
			t.Fatal(err)
		}
		if stays := again.Marks()[0].Seq == 10; stays != c.stays || again.Marks()[1].Seq != 12 {
			t.Errorf("%s: the marks are %+v", name, again.Marks())
		}
	}
}
