package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/testenv/chserver"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/clickhouse/column"
	"github.com/millrace/millrace/sinks/clickhouse/ddl"
)

// halves compares what is in a table of halves with the messages: none that they do not have,
// and none twice. (That they add up to the rows a reader has seen.)
func (d *delivery) halves() {
	d.t.Helper()
	want := map[string]bool{}
	for _, q := range d.queues() {
		for _, s := range d.packed.Queues[q] {
			for _, r := range s.Rows {
				if r.Op != event.OpCreate && r.Op != event.OpRead {
					want[fmt.Sprint(r.Seq, -1)] = true
				}
				if r.Op != event.OpDelete && r.Op != event.OpRead {
					want[fmt.Sprint(r.Seq, 1)] = true
				}
			}
		}
	}
	got := map[string]int{}
	d.ask(fmt.Sprintf("SELECT toInt64(_seq), toInt64(_sign) FROM %s WHERE _q != %d", d.signed(), noQueue), func(n []int64) { got[fmt.Sprint(n[0], n[1])]++ })
	if len(got) == 0 {
		d.t.Error("there are no halves")
	}
	for half, n := range got {
		if n != 1 || !want[half] {
			d.t.Errorf("half %s is there %d times, and was sent: %v", half, n, want[half])
		}
	}
}

// signed is the table of halves.
func (d *delivery) signed() string {
	name := d.cfg.target(d.table)
	name.Table += signedSuffix
	return name.String()
}

// ask calls row for each row of two or three numbers.
func (d *delivery) ask(query string, row func([]int64)) {
	d.t.Helper()
	s, err := New(d.cfg, nil, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	defer s.Close()
	err = s.conn.Query(d.t.Context(), "test", query, func(scan func(...any) error) error {
		n := make([]int64, 2+strings.Count(query, "/*3*/"))
		dest := make([]any, len(n))
		for i := range n {
			dest[i] = &n[i]
		}
		err := scan(dest...)
		row(n)
		return err
	})
	if err != nil {
		d.t.Fatalf("%s: %v", query, err)
	}
}

func (d *delivery) exec(statement string) {
	d.t.Helper()
	s, err := New(d.cfg, nil, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	defer s.Close()
	if err := s.conn.Exec(d.t.Context(), "test", statement); err != nil {
		d.t.Fatalf("%s: %v", statement, err)
	}
}

// live is the table that a user's materialized view sums the rows in.
func (d *delivery) live() string {
	name := d.cfg.target(d.table)
	name.Table += "_live"
	return name.String()
}

// aggregate is what the view makes of a block.
func (d *delivery) aggregate() string {
	return "SELECT toUInt8(id % 4) AS g, sum(toInt64(_sign)) AS n, sum(length(ifNull(v, '')) * toInt64(_sign)) AS len FROM " + d.signed() + " GROUP BY g"
}

// attach makes the table of halves as the sink does, and a user's materialized view of it, before
// anything is delivered.
func (d *delivery) attach() {
	d.t.Helper()
	s, err := New(d.cfg, nil, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	defer s.Close()
	known, err := s.prepare(d.t.Context())
	if err == nil {
		err = s.makeDatabase(d.t.Context(), "test", d.cfg.Database)
	}
	if err != nil {
		d.t.Fatal(err)
	}
	q := d.packed.Queues[d.queues()[0]]
	first := slices.IndexFunc(q, func(s *event.Slice) bool { _, ok := s.Definition(); return ok })
	id, _ := q[first].Definition()
	schema, err := d.packed.Schema(d.t.Context(), id)
	if err != nil {
		d.t.Fatal(err)
	}
	st := store{Number: 1, Layout: ddl.Halves}
	for i := range schema.Columns {
		if _, _, err := st.ensure(&schema.Columns[i], false, true, known.types, column.DefaultPolicy()); err != nil {
			d.t.Fatal(err)
		}
	}
	d.exec(st.create(d.cfg.target(d.table), d.cfg.ControlDatabase, d.cfg.shape(d.table)).Create())
	d.exec("CREATE TABLE " + d.live() + " (g UInt8, n Int64, len Int64) ENGINE = SummingMergeTree ORDER BY g")
	view := d.cfg.target(d.table)
	view.Table += "_into_live"
	d.exec("CREATE MATERIALIZED VIEW " + view.String() + " TO " + d.live() + " AS " + d.aggregate())
}

// sums compares the live aggregate with the one over the source's rows.
func (d *delivery) liveIsRight() {
	d.t.Helper()
	want, got := map[int64][2]int64{}, map[int64][2]int64{}
	err := d.script.Reader().Read(d.t.Context(), d.table, func([]pipeline.ReadColumn) error { return nil }, func(cells []pipeline.Cell) error {
		id, err := strconv.ParseInt(string(cells[0].Text), 10, 64)
		at := want[id%4]
		want[id%4] = [2]int64{at[0] + 1, at[1] + int64(len(cells[1].Text))}
		return err
	})
	if err != nil {
		d.t.Fatal(err)
	}
	d.ask("SELECT /*3*/ toInt64(g), sum(n) AS a, sum(len) AS b FROM "+d.live()+" GROUP BY g HAVING a != 0 OR b != 0", func(n []int64) { got[n[0]] = [2]int64{n[1], n[2]} })
	if fmt.Sprint(got) != fmt.Sprint(want) {
		d.t.Errorf("the live aggregate is %v, and of the source's rows %v", got, want)
	}
}

// signed begins a table of halves of ids and texts.
type signedTable struct {
	t *testing.T
	d testenv.ClickHouseDatabase
	c Config
	m schemas
	s *event.Schema
}

func newSigned(t *testing.T, d testenv.ClickHouseDatabase, table string) *signedTable {
	x := &signedTable{t: t, d: d, c: targetOn(t, d), m: schemas{}}
	x.c.Mode, x.c.Table = Signed, table
	x.s = x.m.add([]event.Column{number(1, "id", 4), text(2, "v")}, 0)
	return x
}

func (x *signedTable) img(id int, v string) event.Image { return image(x.t, x.s, id, v) }

func (x *signedTable) create(seq event.Seq, id int, v string) event.Row {
	return create(seq, x.img(id, v))
}

func (x *signedTable) read(seq event.Seq, id int, v string) event.Row {
	r := x.create(seq, id, v)
	r.Op = event.OpRead
	return r
}

func (x *signedTable) update(seq event.Seq, id int, from, to string) event.Row {
	return update(seq, x.img(id, from), x.img(id, to))
}

func begin(s *event.Schema, prev, n event.Seq, queues int) *event.Slice {
	return mark(event.KindBegin, s, prev, event.Mark{Seq: n, Queues: queues})
}

func end(prev, n, of event.Seq, queues int) *event.Slice {
	return mark(event.KindEnd, nil, prev, event.Mark{Seq: n, Attempt: of, Queues: queues})
}

// log are the halves, as lines.
func (x *signedTable) log() []string {
	x.t.Helper()
	c := x.c
	c.Table += signedSuffix
	out := logOf(x.t, x.d, c, "concat(toString(_seq), if(_sign > 0, ' +', ' '), toString(_sign), ' ', toString(id), ' ', ifNull(v, '-'))")
	slices.Sort(out)
	return out
}

func (x *signedTable) exec(statement string) {
	x.t.Helper()
	conn, err := x.d.Open()
	if err != nil {
		x.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Exec(x.t.Context(), strings.ReplaceAll(statement, "SIGNED", ddl.Name{Database: x.c.Database, Table: x.c.Table + signedSuffix}.String())); err != nil {
		x.t.Fatal(err)
	}
}

// own claims the table under a generation.
func (x *signedTable) own(generation uint64) owner {
	x.t.Helper()
	return own(x.t, x.c, x.m, generation, false)
}

// Each change is its halves; snapshots and TRUNCATE bring what the sums lack, what a snapshot
// repeats counts once, and what somebody else does to the signs a reader sees.
func TestSignsAddUpToTheRows(t *testing.T) {
	x := newSigned(t, testenv.ClickHouse(t), "sums")
	o := x.own(1)
	o.write(0, begin(x.s, 0, 10, 2), rows(x.s, 10, x.update(12, 1, "a", "b")), rows(x.s, 12, x.read(14, 1, "b"), x.read(16, 2, "c"))).flush()
	same(t, "before the first snapshot's end", x.log(), nil)
	o.write(1, begin(x.s, 0, 10, 2), end(10, 18, 10, 2)).write(0, end(16, 18, 10, 2),
		rows(x.s, 18, x.update(20, 2, "c", "d"), x.create(22, 3, "e"), remove(24, x.img(1, "b")))).flush()
	whole := []string{"10 +1 1 b", "10 +1 2 c", "20 +1 2 d", "20 -1 2 c", "22 +1 3 e", "24 -1 1 b"}
	same(t, "behind it", x.log(), whole)
	same(t, "the rows", shows(t, x.c), []string{"id=2 v=d", "id=3 v=e"})

	// A snapshot that repeats what stands changes nothing; one that does not, what it found.
	o.write(1, begin(x.s, 18, 30, 2), end(30, 36, 30, 2)).
		write(0, begin(x.s, 24, 30, 2), rows(x.s, 30, x.read(32, 2, "d"), x.read(34, 3, "e")), end(34, 36, 30, 2)).flush()
	same(t, "read again", x.log(), whole)
	o.write(1, begin(x.s, 36, 40, 2), end(40, 46, 40, 2)).
		write(0, begin(x.s, 36, 40, 2), rows(x.s, 40, x.read(42, 2, "was lost"), x.update(44, 3, "e", "f")), end(44, 46, 40, 2)).flush()
	whole = append(whole, "40 +1 2 was lost", "40 -1 2 d", "44 +1 3 f", "44 -1 3 e")
	slices.Sort(whole)
	same(t, "repaired", x.log(), whole)

	x.exec("DELETE FROM SIGNED WHERE _seq = 44 AND _sign = 1")
	same(t, "somebody takes a sign away", shows(t, x.c), []string{"id=2 v=was lost", "id=3 v=f", "id=3 v=f"})
	x.exec("INSERT INTO SIGNED (id, v, _sign, _seq, _gen) VALUES (3, 'f', 1, 44, 1), (9, 'x', 1, 46, 1), (8, 'y', -1, 46, 1)")
	same(t, "and brings some", shows(t, x.c), []string{"id=2 v=was lost", "id=3 v=f", "id=8 v=y", "id=9 v=x", "id=9 v=x"})

	// TRUNCATE comes through one queue; the other one lags.
	o.write(1, mark(event.KindTruncate, x.s, 46, event.Mark{Seq: 50, Queues: 2}), rows(x.s, 50, x.create(52, 5, "new"))).flush()
	o.write(0, rows(x.s, 46, x.create(48, 4, "late")), mark(event.KindTruncate, x.s, 48, event.Mark{Seq: 50, Queues: 2}), rows(x.s, 50, x.update(54, 5, "new", "newer"))).flush()
	same(t, "behind a TRUNCATE", shows(t, x.c), []string{"id=5 v=newer"})
	if log := strings.Join(x.log(), "\n"); strings.Contains(log, "late") || !strings.Contains(log, "50 +1 8 y\n50 -1 2 was lost\n50 -1 3 f\n50 -1 9 x\n52 +1 5 new") {
		t.Errorf("behind a TRUNCATE the signs are\n%s", log)
	}
}

// Definitions change in the queue's order. A column keeps its type under the views that read it,
// unless the configuration says otherwise.
func TestColumnsOfSignsStayWhatTheyAre(t *testing.T) {
	x := newSigned(t, testenv.ClickHouse(t), "columns")
	born := changeOf(x.s, 0, 4, "")
	born.Mark.Old = event.SchemaID{}
	x.own(1).write(0, born, rows(x.s, 4, x.create(10, 1, "a"))).flush()
	extra := text(3, "w")
	extra.HasDefault, extra.Default = true, []byte("web")
	wide := x.m.add([]event.Column{number(1, "nr", 8), text(2, "v"), extra}, 0)
	x.own(2).write(0, changeOf(wide, 10, 12, ""), rows(wide, 12, update(14, image(t, wide, 1, "a", "web"), image(t, wide, 1, "b", "shop")))).flush()
	same(t, "a wider number, another name, a column more", x.log(), []string{"10 +1 1 a", "14 +1 1 b", "14 -1 1 a"})
	same(t, "the rows", shows(t, x.c), []string{"nr=1 v=b w=shop"})

	other := x.m.add([]event.Column{number(1, "nr", 8), number(2, "v", 4), extra}, 0)
	err := x.own(3).Write(t.Context(), queueID(0), changeOf(other, 14, 16, "due"))
	if err == nil || !strings.Contains(err.Error(), "column v is Int64 now and was Nullable(String): the views that read v of "+x.c.Database+".columns__signed would go on") ||
		!errors.Is(err, pipeline.ErrRecord) {
		t.Errorf("another type: %v", err)
	}
	x.c.Tables = map[string]Shape{tableName.String(): {SchemaChange: SchemaChange{Other: lenient, Events: map[string]string{"modify_column": lenient}}}}
	o := x.own(4).write(0, changeOf(other, 14, 16, "due"), begin(other, 16, 18, 1))
	read := create(20, image(t, other, 1, 7, "shop"))
	read.Op = event.OpRead
	o.write(0, rows(other, 18, read), end(20, 22, 18, 1), rows(other, 22, update(24, image(t, other, 1, 7, "shop"), image(t, other, 1, 8, "shop")))).flush()
	same(t, "let in", shows(t, x.c), []string{"nr=1 v=8 w=shop"})
}

// A mirror gets its signs later; a table of signs that somebody drops is made again; a key that
// brings a row's changes through several queues is refused.
func TestSignsBeginWithWhatIsThere(t *testing.T) {
	x := newSigned(t, testenv.ClickHouse(t), "begun")
	x.c.Mode = Mirror
	x.own(1).write(0, begin(x.s, 0, 10, 1), rows(x.s, 10, x.read(12, 1, "a"), x.create(14, 2, "b")), end(14, 16, 10, 1)).flush()
	x.c.Mode = Signed
	maintained := func(o owner) owner {
		t.Helper()
		if err := o.Maintain(t.Context()); err != nil || o.Trouble() != "" {
			t.Fatal(err, o.Trouble())
		}
		return o
	}
	o := maintained(x.own(2))
	same(t, "of a mirror", x.log(), []string{"10 +1 1 a", "10 +1 2 b"})
	o.write(0, rows(x.s, 16, x.update(18, 1, "a", "c"))).flush()
	x.exec("DROP TABLE SIGNED SYNC")
	o = maintained(x.own(3))
	same(t, "dropped", x.log(), []string{"10 +1 1 c", "10 +1 2 b"})
	o.write(0, rows(x.s, 18, remove(20, x.img(2, "b")))).flush()
	same(t, "the rows", shows(t, x.c), []string{"id=1 v=c"})

	// Of a mirror that had rows without a mark: they come again first.
	y := newSigned(t, x.d, "unmarked")
	y.c.Mode = Mirror
	o = y.own(1).write(0, begin(y.s, 0, 10, 1), rows(y.s, 10, y.read(12, 1, "a")), end(12, 16, 10, 1)).flush()
	known := *o.rec
	o.write(0, rows(y.s, 16, y.create(18, 2, "b"))).flush()
	if err := o.writeRecord(t.Context(), &known); err != nil {
		t.Fatal(err)
	}
	y.c.Mode = Signed
	o = maintained(y.own(2))
	same(t, "before they come", y.log(), nil)
	o.write(0, rows(y.s, 16, y.create(18, 2, "b"))).flush()
	same(t, "of a mirror with rows that had no mark", y.log(), []string{"10 +1 1 a", "18 +1 2 b"})

	o = x.own(4)
	o.claim.Route = []string{"v"}
	err := o.Write(t.Context(), queueID(0), rows(x.s, 20, x.create(22, 3, "x")))
	if err == nil || !strings.Contains(err.Error(), "all changes of a row come through one queue, and the table's key in the pipeline names v") {
		t.Errorf("%v", err)
	}
}

// Halves that have no mark come again in other groups: those that are there are not sent again,
// and those that are not are. What the difference has brought has no halves.
func TestHalvesThatHaveLandedAreNotSentAgain(t *testing.T) {
	d := testenv.ClickHouse(t)
	for _, window := range []int{1, 3, 100} {
		x := newSigned(t, d, fmt.Sprintf("halves%d", window))
		o := x.own(1).write(0, begin(x.s, 0, 10, 1), rows(x.s, 10, x.create(12, 1, "a")), end(12, 16, 10, 1)).flush()
		known := *o.rec
		o.write(0, rows(x.s, 16, x.update(18, 1, "a", "b"), x.create(20, 2, "x"), x.update(22, 1, "b", "c"), x.update(24, 2, "x", "y"))).flush()
		want := x.log()
		x.exec("DELETE FROM SIGNED WHERE _seq = 18 AND _sign = 1 OR _seq = 22 AND _sign = -1")
		known.Queues = slices.Clone(known.Queues)
		known.Queues[0].Seq, known.Queues[0].ID, known.Queues[0].In = 0, event.Identity{}, nil
		if err := o.writeRecord(t.Context(), &known); err != nil {
			t.Fatal(err)
		}
		again := x.own(2)
		again.sink.windowRows = window
		again.write(0, begin(x.s, 0, 10, 1), rows(x.s, 10, x.create(12, 1, "a")), end(12, 16, 10, 1), rows(x.s, 16, x.update(18, 1, "a", "b"), x.create(20, 2, "x"))).flush()
		again.write(0, rows(x.s, 20, x.update(22, 1, "b", "c"), x.update(24, 2, "x", "y"))).flush()
		same(t, fmt.Sprintf("window %d", window), x.log(), want)
		same(t, "the rows", shows(t, x.c), []string{"id=1 v=c", "id=2 v=y"})
	}
}

// signsOfAllTypes has values of all types come by a snapshot, whose difference the server writes
// from the mirror, and go by changes: what is left is nothing.
func signsOfAllTypes(t *testing.T, c Config, m schemas, s *event.Schema, list []event.Row, want []string) {
	t.Helper()
	c.Mode, c.Table = Signed, c.Table+"_signs"
	o := own(t, c, m, 1, false).write(0, begin(s, 0, 4, 1), rows(s, 4, list...), end(list[len(list)-1].Seq, 500, 4, 1)).flush()
	same(t, c.Table, exact(t, c), want)
	gone := slices.Clone(list)
	for i := range gone {
		gone[i] = remove(502+2*event.Seq(i), list[i].After)
	}
	o.write(0, rows(s, 500, gone...)).flush()
	same(t, c.Table+", gone", exact(t, c), nil)
}

// A new owner waits for an insert of the one before, whose views may have the rows already, and
// does not end it.
func TestAnInsertThatViewsReadIsLeftToEnd(t *testing.T) {
	server := testenv.ClickHouseWithFaults(t, chserver.Options{})
	c := targetOn(t, server.ClickHouseDatabase)
	c.Mode, c.Table = Signed, "waits"
	d := newDelivery(t, c, 5, 2)
	d.attach()
	s, old, err := d.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, q := range d.queues() {
		for _, m := range d.packed.Queues[q] {
			if err := old.Write(t.Context(), q, m); err != nil {
				t.Fatal(err)
			}
		}
	}
	fault := server.Inject(t, chserver.Fault{On: chserver.Insert, Table: c.Database + ".waits" + signedSuffix, At: chserver.Received, Hold: true})
	flushed := make(chan error, 1)
	go func() {
		_, err := old.Flush(context.WithoutCancel(t.Context()))
		flushed <- err
	}()
	fault.WaitHeld(1)
	done := make(chan int, 1)
	go func() { done <- d.all() }()
	waitFor(t, func() bool {
		closed, err := server.Admin(t.Context(), "SELECT "+ddl.Closed(c.ControlDatabase, "'"+c.Database+".waits'", "toUInt64(1)"))
		return err == nil && strings.TrimSpace(closed) == "1"
	})
	if len(done) > 0 {
		t.Error("the new owner has not waited")
	}
	fault.Release()
	<-done
	if err := <-flushed; !errors.Is(err, pipeline.ErrSuperseded) || strings.Contains(err.Error(), "394") {
		t.Errorf("the flush of the owner before: %v", err)
	}
	d.equal()
	d.liveIsRight()
}
