package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	clickhouse "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/testenv/chserver"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/link"
	"github.com/millrace/millrace/sinks/clickhouse/server"
)

// resync is the life of a table that is read anew while changes go on, in two queues: what each
// message is, and what a reader may see once it was flushed.
type resync struct {
	schemas schemas
	key     bool
	script  []delivered
}

type delivered struct {
	q     int
	slice *event.Slice
	// shows are the ids that readers see behind it.
	shows string
}

// snapshotOf are rows of a snapshot.
func snapshotOf(t testing.TB, s *event.Schema, seq event.Seq, ids ...int) (out []event.Row) {
	for i, id := range ids {
		out = append(out, event.Row{Op: event.OpRead, Index: uint64(i), Seq: seq + event.Seq(2*i), After: image(t, s, id, "-")})
	}
	return out
}

// newResync makes a table of rows 1 to 3, of which 2 was lost in the target and 9 is there for
// nothing; the second snapshot finds that out.
func newResync(t testing.TB, key bool) *resync {
	r := &resync{schemas: schemas{}, key: key}
	var places []int
	if key {
		places = []int{0}
	}
	s := r.schemas.add([]event.Column{number(1, "id", 4), text(2, "v")}, places...)
	img := func(id int) event.Image { return image(t, s, id, "-") }
	last := map[int]event.Seq{}
	add := func(q int, sl *event.Slice, shows string) {
		sl.Prev, last[q] = last[q], sl.Hi
		r.script = append(r.script, delivered{q, sl, shows})
	}
	mk := func(k event.Kind, seq, attempt event.Seq) *event.Slice {
		return mark(k, s, 0, event.Mark{Seq: seq, Attempt: attempt, Queues: 2})
	}
	add(0, mk(event.KindBegin, 10, 10), "")
	add(1, mk(event.KindBegin, 10, 10), "")
	add(0, rows(s, 0, snapshotOf(t, s, 12, 1, 3)...), "1 3")
	add(1, rows(s, 0, snapshotOf(t, s, 16, 9)...), "1 3 9")
	add(0, mk(event.KindEnd, 20, 10), "1 3 9")
	add(1, mk(event.KindEnd, 20, 10), "1 3 9")
	// The first attempt of the second snapshot comes to nothing.
	add(0, mk(event.KindBegin, 30, 30), "1 3 9")
	add(0, rows(s, 0, snapshotOf(t, s, 32, 1, 2)...), "1 3 9")
	add(1, rows(s, 0, create(36, img(4))), "1 3 4 9")
	add(1, mk(event.KindBegin, 40, 40), "1 3 4 9")
	add(1, rows(s, 0, create(42, img(5))), "1 3 4 5 9")
	add(0, rows(s, 0, remove(44, img(1))), "3 4 5 9")
	add(0, mk(event.KindBegin, 40, 40), "3 4 5 9")
	first := 2
	if !key {
		first = 1 // the snapshot is one of the moment of its BEGIN, before the row went
	}
	add(0, rows(s, 0, snapshotOf(t, s, 50, []int{1, 2, 3}[first-1:]...)...), "3 4 5 9")
	add(1, rows(s, 0, snapshotOf(t, s, 56, 4)...), "3 4 5 9")
	add(0, rows(s, 0, create(58, img(6))), "3 4 5 6 9")
	add(0, mk(event.KindEnd, 60, 40), "3 4 5 6 9")
	add(0, rows(s, 0, remove(62, img(3))), "4 5 6 9")
	add(1, mk(event.KindEnd, 60, 40), "2 4 5 6")
	add(1, rows(s, 0, create(64, img(7))), "2 4 5 6 7")
	add(0, rows(s, 0, remove(66, img(2))), "4 5 6 7")
	return r
}

// deliver is one owner: it delivers what stands behind the marks, each message flushed, to the
// end or the first error.
func (r *resync) deliver(ctx context.Context, c Config, generation uint64) error {
	s, err := New(c, nil, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	o, err := s.openTable(ctx, pipeline.Claim{Pipeline: "p", Sink: "olap", Table: tableName, Generation: generation, Keyless: !r.key, Schemas: r.schemas})
	if err != nil {
		return err
	}
	marks := map[int]event.Seq{}
	for _, m := range o.Marks() {
		marks[m.Queue.Queue] = m.Seq
	}
	for _, d := range r.script {
		if link.Judge(marks[d.q], d.slice) == link.Drop {
			continue
		}
		if err := o.Write(ctx, queueID(d.q), d.slice); err != nil {
			return err
		}
		if _, err := o.Flush(ctx); err != nil {
			return err
		}
	}
	return nil
}

// watch reads the table all the time, from when it is there on, until stopped, and returns
// what it saw, each once where it did not change.
func watch(t *testing.T, d testenv.ClickHouseDatabase, database string) (stop func() []string) {
	t.Helper()
	o, err := d.Options()
	if err != nil {
		t.Fatal(err)
	}
	o.Auth.Database = database
	conn, err := clickhouse.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan []string, 1)
	go func() {
		defer conn.Close()
		var seen []string
		for ctx.Err() == nil {
			var now string
			err := conn.QueryRow(context.Background(), "SELECT arrayStringConcat(arraySort(groupArray(id)), ' ') FROM orders").Scan(&now)
			if err != nil && (len(seen) > 0 || server.Code(err) != 60) {
				now = err.Error() // a reader is never refused once the table is there
			}
			if (err == nil || len(seen) > 0) && (len(seen) == 0 || seen[len(seen)-1] != now) {
				seen = append(seen, now)
			}
		}
		result <- seen
	}()
	return func() []string { cancel(); return <-result }
}

// agrees fails unless what was seen is what the messages show one after the other, some maybe
// passed over, and ends as they do.
func (r *resync) agrees(t *testing.T, seen []string) {
	t.Helper()
	var want []string
	for _, d := range r.script {
		want = append(want, d.shows)
	}
	at := 0
	for _, s := range seen {
		next := slices.Index(want[at:], s)
		if next < 0 {
			t.Fatalf("a reader sees %q behind %q\nof %q", s, want[at], seen)
		}
		at += next
	}
}

// A table is read anew while it changes, twice, and each statement of its owner may be the
// last one, with its work done or not. Who reads all the time sees what was there with all
// changes since, then what the snapshot found with all changes since.
func TestATableIsReadAnewBesideWhatReadersSee(t *testing.T) {
	ch := testenv.ClickHouseWithFaults(t, chserver.Options{})
	rng := rand.New(rand.NewPCG(seedOf(t), 7))
	for _, key := range []bool{true, false} {
		for _, at := range []chserver.Point{chserver.Begin, chserver.Landed} {
			for n, hit := rng.IntN(claimStatements), true; hit; n += 1 + rng.IntN(2*claimStatements) {
				c := targetOn(t, ch.ClickHouseDatabase)
				c.Database = fmt.Sprintf("anew_%v_%d_%s", key, n, at)
				c.ControlDatabase, c.Table = c.Database, "orders"
				if _, err := ch.Admin(t.Context(), "CREATE DATABASE "+c.Database); err != nil {
					t.Fatal(err)
				}
				r := newResync(t, key)
				stop := watch(t, ch.ClickHouseDatabase, c.Database)
				fault := ch.Inject(t, chserver.Fault{Match: c.Database + `\b`, Skip: n, At: at, Drop: true})
				err := errors.New("not delivered")
				for generation := uint64(1); err != nil && generation < 9; generation++ {
					err = r.deliver(t.Context(), c, generation)
				}
				hit = fault.State().Hits > 0
				fault.Remove()
				r.agrees(t, stop())
				if err != nil || ids(t, c) != "4 5 6 7" {
					t.Fatalf("statement %d, %q: %v, and a reader sees %q", n, at, err, ids(t, c))
				}
				if _, err := ch.Admin(t.Context(), "DROP DATABASE "+c.Database); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// A queue is at the second snapshot before another one has ended the first: the table was not
// whole when it brought the BEGIN, and what it brought since is in the table that is there. It
// is that one which the second snapshot fills, in whichever order the queues come.
func TestAQueueMayBeASnapshotAhead(t *testing.T) {
	d := testenv.ClickHouse(t)
	for order, behind := range map[string][]int{"apart": {0, 0, 0, 1, 1, 1}, "in turns": {0, 0, 1, 0, 1, 1}} {
		t.Run(order, func(t *testing.T) {
			c, m := targetOn(t, d), schemas{}
			c.Table = "orders_" + strings.ReplaceAll(order, " ", "_")
			s := simple(m)
			mk := func(k event.Kind, prev, seq, attempt event.Seq) *event.Slice {
				return mark(k, s, prev, event.Mark{Seq: seq, Attempt: attempt, Queues: 2})
			}
			parts := [2][][]*event.Slice{
				{
					{mk(event.KindBegin, 0, 10, 10), rows(s, 10, snapshotOf(t, s, 12, 1)...), mk(event.KindEnd, 12, 20, 10)},
					{mk(event.KindBegin, 20, 30, 30), rows(s, 30, snapshotOf(t, s, 32, 1)...), rows(s, 32, create(36, image(t, s, 3, "c")))},
					{mk(event.KindEnd, 36, 40, 30)},
				}, {
					{mk(event.KindBegin, 0, 10, 10), rows(s, 10, snapshotOf(t, s, 16, 2)...), mk(event.KindEnd, 16, 20, 10)},
					{mk(event.KindBegin, 20, 30, 30), rows(s, 30, snapshotOf(t, s, 34, 2)...), rows(s, 34, create(38, image(t, s, 4, "d")))},
					{mk(event.KindEnd, 38, 40, 30)},
				},
			}
			o, at := own(t, c, m, 1, false), [2]int{}
			for _, q := range behind {
				o.write(q, parts[q][at[q]]...).flush()
				at[q]++
			}
			if got := ids(t, c); got != "1 2 3 4" {
				t.Errorf("a reader sees %s", got)
			}
		})
	}
}

// A queue has passed the END of a snapshot, and its rows of it are lost: it has not passed it any
// more, and readers see the table of before until it has again.
func TestAQueueThatGoesBackComesToTheEndAgain(t *testing.T) {
	d := testenv.ClickHouse(t)
	conn, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c, m := targetOn(t, d), schemas{}
	c.Table = "orders"
	s := simple(m)
	begin := func(prev, seq event.Seq) *event.Slice {
		return mark(event.KindBegin, s, prev, event.Mark{Seq: seq, Attempt: seq, Queues: 2})
	}
	end := func(prev, seq, begin event.Seq) *event.Slice {
		return mark(event.KindEnd, s, prev, event.Mark{Seq: seq, Attempt: begin, Queues: 2})
	}
	o := own(t, c, m, 1, false)
	o.write(0, begin(0, 4), rows(s, 4, snapshotOf(t, s, 6, 1)...), end(6, 10, 4))
	o.write(1, begin(0, 4), rows(s, 4, snapshotOf(t, s, 8, 2)...), end(8, 10, 4)).flush()
	o.minutesLater(1).write(0, begin(10, 20)).write(1, begin(10, 20), rows(s, 20, snapshotOf(t, s, 22, 2)...)).flush()
	again := []*event.Slice{rows(s, 20, snapshotOf(t, s, 24, 1)...), end(24, 30, 20)}
	o.minutesLater(2).write(0, again...).flush()
	if err := conn.Exec(t.Context(), "DELETE FROM `"+c.Database+"`.orders"+suffix+"_2 WHERE _seq = 24"); err != nil {
		t.Fatal(err)
	}
	o = own(t, c, m, 2, false).write(1, end(22, 30, 20)).flush()
	if got := ids(t, c); got != "1 2" || o.shownStore() != 1 {
		t.Errorf("while rows come again a reader sees %s, of store %d", got, o.shownStore())
	}
	o.write(0, again...).flush()
	if got := ids(t, c); got != "1 2" || o.shownStore() != 2 {
		t.Errorf("behind the END a reader sees %s, of store %d", got, o.shownStore())
	}
}

// The table that the view no longer shows is removed once the ledger can't go back to it, and a
// view that somebody, or a late statement, has defined over it is put right before.
func TestATableThatIsNotShownGoes(t *testing.T) {
	ch := testenv.ClickHouseWithFaults(t, chserver.Options{})
	c := targetOn(t, ch.ClickHouseDatabase)
	c.Table = "orders"
	r := newResync(t, true)
	if err := r.deliver(t.Context(), c, 1); err != nil {
		t.Fatal(err)
	}
	tables := func() string {
		out, err := ch.Admin(t.Context(), "SELECT arrayStringConcat(arraySort(groupArray(name)), ' ') FROM system.tables WHERE database = '"+c.Database+"' AND name LIKE 'orders%'")
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(out)
	}
	ledgerTime := func(minutes int) { // the server's clock can't be moved; what it was noted at can
		for i := range 2 {
			o := own(t, c, r.schemas, uint64(10+10*minutes+i), false)
			for s := range o.rec.Stores {
				if o.rec.Stores[s].Left > 0 {
					o.rec.Stores[s].Left -= int64(minutes) * time.Minute.Microseconds()
				}
			}
			if err := o.Maintain(t.Context()); err != nil || o.Trouble() != "" {
				t.Fatal(err, o.Trouble())
			}
		}
	}
	c.Rewind = config.Duration(time.Hour)
	ledgerTime(0)
	if got := tables(); got != "orders orders__cdc orders__cdc_2" {
		t.Errorf("at once there are %s", got)
	}
	if _, err := ch.Admin(t.Context(), "CREATE OR REPLACE VIEW "+c.Database+".orders AS SELECT _t.id AS id, _t.v AS v FROM "+c.Database+".orders__cdc AS _t FINAL"); err != nil {
		t.Fatal(err)
	}
	c.Rewind = 0
	ledgerTime(2)
	if got := tables(); got != "orders orders__cdc_2" {
		t.Errorf("later there are %s", got)
	}
	own(t, c, r.schemas, 90, false)
	if got := ids(t, c); got != "4 5 6 7" {
		t.Errorf("a reader sees %s", got)
	}
}

// A statement of an owner that was replaced comes late and defines the view as it was.
func TestAViewIsPutRight(t *testing.T) {
	ch := testenv.ClickHouseWithFaults(t, chserver.Options{})
	c, m := targetOn(t, ch.ClickHouseDatabase), schemas{}
	s := simple(m)
	o := own(t, c, m, 1, false).write(0, rows(s, 0, create(10, image(t, s, 1, "a")), create(20, image(t, s, 2, "b")))).flush()
	if _, err := ch.Admin(t.Context(), "CREATE OR REPLACE VIEW "+c.Database+".orders AS SELECT _t.id AS id, _t.v AS v FROM "+c.Database+".orders__cdc AS _t FINAL WHERE _seq >= 15"); err != nil {
		t.Fatal(err)
	}
	same(t, "late", shows(t, c), []string{"id=2 v=b"})
	if err := o.minutes(ch, 1); err != nil {
		t.Fatal(err)
	}
	same(t, "put right", shows(t, c), []string{"id=1 v=a", "id=2 v=b"})
}

// ids are what a reader sees in the end.
func ids(t testing.TB, c Config) string {
	var out []string
	for _, line := range shows(t, c) {
		id, _, _ := strings.Cut(strings.TrimPrefix(line, "id="), " ")
		out = append(out, id)
	}
	return strings.Join(out, " ")
}

// The view with texts of what columns can't hold stays what it is when the table is removed in
// which they were first met.
func TestTheViewOfTextsOutlivesItsFirstTable(t *testing.T) {
	ch := testenv.ClickHouseWithFaults(t, chserver.Options{})
	c, m := targetOn(t, ch.ClickHouseDatabase), schemas{}
	c.Table, c.Rewind = "texts", 0
	s := m.add([]event.Column{number(1, "id", 4), {ID: 2, Name: "d", Type: event.TypeDate, Native: "date", Nullable: true}}, 0)
	mk := func(k event.Kind, prev, seq, begin event.Seq) *event.Slice {
		return mark(k, s, prev, event.Mark{Seq: seq, Attempt: begin, Queues: 1})
	}
	read := func(seq event.Seq, img event.Image) event.Row {
		return event.Row{Op: event.OpRead, Index: uint64(seq), Seq: seq, After: img}
	}
	o := own(t, c, m, 1, false).write(0, mk(event.KindBegin, 0, 10, 10), rows(s, 10, read(12, image(t, s, 1, date(9999, 12, 31)))), mk(event.KindEnd, 12, 14, 10)).flush()
	same(t, "first", exact(t, c), []string{"id=1 d=9999-12-31"})
	o.write(0, mk(event.KindBegin, 14, 20, 20), rows(s, 20, read(22, image(t, s, 1, date(2026, 1, 1)))), mk(event.KindEnd, 22, 24, 20)).flush()
	for range 2 { // notes that the first table is left, then, as if a minute had gone, removes it
		for i := range o.rec.Stores {
			if left := &o.rec.Stores[i].Left; *left > 0 {
				*left -= 2 * leastLeft.Microseconds()
			}
		}
		if err := o.minutes(ch, 1); err != nil {
			t.Fatal(err)
		}
	}
	if len(o.rec.Stores) != 1 {
		t.Fatalf("there are %d stores", len(o.rec.Stores))
	}
	o.write(0, mark(event.KindTruncate, s, 24, event.Mark{Seq: 30, Queues: 1}), rows(s, 30, create(32, image(t, s, 2, date(2026, 2, 2))))).flush()
	same(t, "emptied", exact(t, c), []string{"id=2 d=2026-02-02"})
}
