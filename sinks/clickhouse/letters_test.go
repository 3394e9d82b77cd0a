package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/testenv/chserver"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/clickhouse/column"
)

// born is a table of people, with a date of birth that a target's Date32 may not hold.
func born(m schemas, key ...int) *event.Schema {
	return m.add([]event.Column{number(1, "id", 4), {ID: 2, Name: "born", Type: event.TypeDate, Native: "date"}}, key...)
}

func birth(year int) value { return func(b *event.ImageBuilder) { b.AppendDate(year, 5, 6) } }

// aside opens a sink that puts aside so many changes of the table.
func aside(t testing.TB, c Config, m schemas, generation uint64, keyless bool, rows int) (*Table, error) {
	t.Helper()
	s, err := New(c, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s.openTable(t.Context(), pipeline.Claim{Pipeline: "p", Sink: "olap", Table: tableName, Generation: generation, Keyless: keyless, Schemas: m,
		Letters: pipeline.LetterBounds{Rows: rows, Bytes: 1 << 20}})
}

func ownAside(t testing.TB, c Config, m schemas, generation uint64, rows int) owner {
	t.Helper()
	table, err := aside(t, c, m, generation, false, rows)
	if err != nil {
		t.Fatal(err)
	}
	return owner{table, t}
}

// listed are the letters that a reader sees: number, operation, row, column.
func listed(t testing.TB, c Config) (out []string) {
	t.Helper()
	err := reader(t, c, "p").(pipeline.LetterReader).Letters(t.Context(), tableName, func(l pipeline.Letter) error {
		row := ""
		for _, cell := range l.Row {
			row += " " + cell.Column + "=" + *cell.Value
		}
		out = append(out, fmt.Sprintf("%d %s%s: %s", l.Seq, l.Op, row, l.Column))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// strict is a target that refuses what it can't hold.
func strict(t testing.TB, d testenv.ClickHouseDatabase) Config {
	c := targetOn(t, d)
	c.OutOfRange = column.Error
	return c
}

// What a column can't hold is put aside: the table flows on, and what happens to the row later
// happens to its letter.
func TestWhatAColumnCantHoldIsPutAside(t *testing.T) {
	d := testenv.ClickHouse(t)
	c, m := strict(t, d), schemas{}
	s := born(m, 0)
	row := func(id, year int) event.Image { return image(t, s, id, birth(year)) }
	o := ownAside(t, c, m, 1, 10)
	last := event.Seq(0)
	step := func(what string, want, put []string, list ...event.Row) {
		t.Helper()
		o.write(0, rows(s, last, list...)).flush()
		last = list[len(list)-1].Seq
		same(t, what, shows(t, c), want)
		if got := listed(t, c); !slices.Equal(got, put) || o.PutAside().Rows != len(put) {
			t.Errorf("%s: put aside are %q (%+v) and not %q", what, got, o.PutAside(), put)
		}
	}
	step("one of three", []string{"id=1 born=1999-05-06", "id=3 born=2001-05-06"}, []string{"12 c id=2: born"},
		create(10, row(1, 1999)), create(12, row(2, 1500)), create(14, row(3, 2001)))
	step("a newer version that is as bad", []string{"id=1 born=1999-05-06", "id=3 born=2001-05-06"}, []string{"20 u id=2: born"}, update(20, row(2, 1500), row(2, 1501)))
	step("a good row that becomes bad stays as it was", []string{"id=1 born=1999-05-06", "id=3 born=2001-05-06"}, []string{"20 u id=2: born", "22 u id=1: born"},
		update(22, row(1, 1999), row(1, 1400)))

	o = ownAside(t, c, m, 2, 10) // another process knows them
	if at := o.PutAside(); at.Rows != 2 || at.Bytes < 400 || o.Marks()[0].Seq != 22 {
		t.Errorf("another owner: %+v, marks %+v", at, o.Marks())
	}
	step("a good version ends it", []string{"id=1 born=1998-05-06", "id=3 born=2001-05-06"}, []string{"20 u id=2: born"}, update(30, row(1, 1400), row(1, 1998)))
	step("a deletion needs the key alone", []string{"id=1 born=1998-05-06"}, nil, remove(32, row(2, 1501)), update(34, row(3, 2001), row(3, 1300)), remove(36, row(3, 1300)))
	step("more", []string{"id=1 born=1998-05-06"}, []string{"40 c id=4: born", "42 c id=5: born"}, create(40, row(4, 1500)), create(42, row(5, 1501)))

	done, err := o.ReplayLetters(t.Context(), nil)
	if err != nil || done.Gone != 0 || done.Stay != 2 || !strings.Contains(done.Why, "1500-05-06 is not between") {
		t.Errorf("nothing has changed: %+v, %v", done, err)
	}
	if done, err := o.DropLetters(t.Context(), []event.Seq{42, 99}); err != nil || done.Gone != 1 || done.Left.Rows != 1 {
		t.Errorf("dropped: %+v, %v", done, err)
	}
	c.OutOfRange = column.Clamp
	o = ownAside(t, c, m, 3, 10)
	if done, err := o.ReplayLetters(t.Context(), nil); err != nil || done.Gone != 1 || done.Stay != 0 || done.Left.Rows != 0 {
		t.Errorf("the policy is another: %+v, %v", done, err)
	}
	step("replayed", []string{"id=1 born=1998-05-06", "id=4 born=1900-01-01", "id=6 born=2000-05-06"}, nil, create(50, row(6, 2000)))

	c.OutOfRange = column.Error
	o = ownAside(t, c, m, 4, 10)
	step("and more", []string{"id=1 born=1998-05-06", "id=4 born=1900-01-01", "id=6 born=2000-05-06"}, []string{"60 c id=7: born"}, create(60, row(7, 1200)))
	o.write(0, mark(event.KindTruncate, s, 60, event.Mark{Seq: 70, Queues: 1}))
	last = 70
	step("emptied", []string{"id=8 born=2000-05-06"}, []string{"82 c id=9: born"}, create(80, row(8, 2000)), create(82, row(9, 1200)))
	if removed, err := o.sink.Purge(t.Context(), "p"); err != nil || len(removed) != 1 {
		t.Errorf("purged: %v, %v", removed, err)
	}
	conn, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var left uint64
	if err := conn.QueryRow(t.Context(), "SELECT count() FROM "+c.ControlDatabase+".letters").Scan(&left); err != nil || left > 0 {
		t.Errorf("%d letters of the table are left, %v", left, err)
	}
}

// The key of a row can't be changed to one that the target holds, so it was never there: its
// deletion ends the letter and leaves nothing. What nothing explains is put aside as well.
func TestAKeyThatCantBeHeld(t *testing.T) {
	c, m := strict(t, testenv.ClickHouse(t)), schemas{}
	s := born(m, 1)
	o := ownAside(t, c, m, 1, 10).write(0, rows(s, 0, create(10, image(t, s, 1, birth(1500))), create(12, image(t, s, 2, birth(2000))), create(14, image(t, s, 3, birth(1600))))).flush()
	if got := listed(t, c); !slices.Equal(got, []string{"10 c born=1500-05-06: born", "14 c born=1600-05-06: born"}) {
		t.Errorf("put aside: %q", got)
	}
	o.write(0, rows(s, 14, remove(20, image(t, s, 1, birth(1500))), remove(22, image(t, s, 9, birth(1700))))).flush()
	if got := listed(t, c); !slices.Equal(got, []string{"14 c born=1600-05-06: born", "22 d born=1700-05-06: born"}) {
		t.Errorf("put aside: %q", got)
	}
	same(t, "the target", shows(t, c), []string{"id=2 born=2000-05-06"})
}

// Without room, or without the wish, the table stands before the change as it always did.
func TestAtTheBoundTheTableStands(t *testing.T) {
	c, m := strict(t, testenv.ClickHouse(t)), schemas{}
	s := born(m, 0)
	for generation, room := range []int{0, 1} {
		o := ownAside(t, c, m, uint64(1+generation), room)
		slice := rows(s, 0, create(10, image(t, s, 1, birth(1500))), create(12, image(t, s, 2, birth(1501))))
		err := o.Write(t.Context(), queueID(0), slice)
		if !errors.Is(err, pipeline.ErrRecord) || !strings.Contains(err.Error(), "column born of the row with key") || strings.Contains(err.Error(), "dead_letter allows") != (room > 0) {
			t.Errorf("room for %d: %v", room, err)
		}
		if rows, _ := o.Buffered(); rows > 0 || o.batch.last().letters.Changed() {
			t.Errorf("room for %d: %d rows are held", room, rows)
		}
	}
}

// bornLater tells a table's story, each line with what a crash may come before; its changes are bad
// and good, and end as they should whatever is given again.
func bornLater(t testing.TB, s *event.Schema, keyless bool) (out [][]*event.Slice) {
	row := func(id, year int) event.Image { return image(t, s, id, birth(year)) }
	if keyless {
		return [][]*event.Slice{
			{rows(s, 0, create(10, row(1, 1500)), create(12, row(1, 1500)), create(14, row(1, 2000)))},
			{rows(s, 14, remove(20, row(1, 1500)), create(22, row(2, 1500)), create(24, row(3, 1999)))},
			{rows(s, 24, remove(30, row(2, 1500)), remove(32, row(3, 1999)))},
		}
	}
	return [][]*event.Slice{
		{rows(s, 0, create(10, row(1, 1999)), create(12, row(2, 1500)), create(14, row(3, 1500)), create(16, row(4, 1500)))},
		{rows(s, 16, update(20, row(1, 1999), row(1, 1400)), update(22, row(2, 1500), row(2, 2000)), remove(24, row(3, 1500)), update(26, row(4, 1500), row(4, 1501)))},
		{rows(s, 26, update(30, row(1, 1400), row(1, 1998)), create(32, row(3, 1600)))},
	}
}

// Each insert of the story is cut off, when its rows have come and when they have landed. Whoever
// comes next has rows and letters as without.
func TestLettersSurviveEveryCutInsert(t *testing.T) {
	server, seed := testenv.ClickHouseWithFaults(t, chserver.Options{}), seedOf(t)
	for _, one := range []struct {
		name    string
		keyless bool
		mode    Mode
		rows    []string
		letters []string
	}{
		{"mirror", false, Mirror, []string{"id=1 born=1998-05-06", "id=2 born=2000-05-06"}, []string{"26 u id=4: born", "32 c id=3: born"}},
		{"keyless", true, Mirror, []string{"id=1 born=2000-05-06"}, []string{"10 c id=1 born=1500-05-06: born"}},
		{"changelog", false, Changelog, []string{"id=1 born=1998-05-06", "id=2 born=2000-05-06"},
			[]string{"12 c id=2: born", "14 c id=3: born", "16 c id=4: born", "20 u id=1: born", "24 d id=3: born", "26 u id=4: born", "32 c id=3: born"}},
	} {
		t.Run(one.name, func(t *testing.T) {
			n := 0
			for ; ; n++ {
				c := strict(t, server.ClickHouseDatabase)
				c.Mode, c.Database = one.mode, fmt.Sprintf("letters_%s_%d", one.name, n)
				c.ControlDatabase = c.Database
				at := []chserver.Point{chserver.Received, chserver.Landed}[(n+int(seed))%2]
				fault := server.Inject(t, chserver.Fault{On: chserver.Insert, Match: "INSERT INTO .{1,3}" + c.Database + ".{1,3}(orders__cdc|letters|ledger)", Skip: n, At: at, Drop: true})
				m := schemas{}
				s := born(m, 0)
				if one.keyless {
					s = born(m)
				}
				deliver(t, c, m, bornLater(t, s, one.keyless), one.keyless)
				hit := fault.State().Hits > 0
				fault.Remove()
				same(t, fmt.Sprintf("insert %d, %s", n, at), shows(t, c), one.rows)
				if got := listed(t, c); !slices.Equal(got, one.letters) {
					t.Errorf("insert %d, %s: put aside are %q and not %q", n, at, got, one.letters)
				}
				if _, err := server.Admin(t.Context(), "DROP DATABASE "+c.Database); err != nil {
					t.Fatal(err)
				}
				if t.Failed() || !hit || one.mode == Changelog { // there the number alone counts
					break
				}
			}
			if n < 9 && one.mode != Changelog {
				t.Errorf("only %d inserts were cut off", n)
			}
		})
	}
}

// A replay whose end was not written has happened all the same: where rows are counted, whoever comes
// next knows by the row, and its deletion deletes it.
func TestALetterThatLandedBeforeACrashIsNone(t *testing.T) {
	server := testenv.ClickHouseWithFaults(t, chserver.Options{})
	c, m := strict(t, server.ClickHouseDatabase), schemas{}
	s := born(m)
	open := func(generation uint64) owner {
		t.Helper()
		table, err := aside(t, c, m, generation, true, 10)
		if err != nil {
			t.Fatal(err)
		}
		return owner{table, t}
	}
	open(1).write(0, rows(s, 0, create(10, image(t, s, 1, birth(1500))), create(12, image(t, s, 2, birth(2000))))).flush()
	c.OutOfRange = column.Clamp
	fault := server.Inject(t, chserver.Fault{On: chserver.Insert, Match: "INSERT INTO .{1,3}" + c.ControlDatabase + ".{1,3}letters", At: chserver.Received, Drop: true})
	if done, err := open(2).ReplayLetters(t.Context(), nil); err == nil || fault.State().Hits == 0 {
		t.Fatalf("replayed to the end: %+v, %+v", done, fault.State())
	}
	fault.Remove()
	o := open(3)
	same(t, "the row has come", shows(t, c), []string{"id=1 born=1900-01-01", "id=2 born=2000-05-06"})
	if got := listed(t, c); len(got) > 0 || o.PutAside().Rows > 0 {
		t.Errorf("put aside: %q, %+v", got, o.PutAside())
	}
	o.write(0, rows(s, 12, remove(20, image(t, s, 1, birth(1500))))).flush()
	same(t, "it goes", shows(t, c), []string{"id=2 born=2000-05-06"})
}

// deliver gives a story to as many owners as it takes.
func deliver(t *testing.T, c Config, m schemas, story [][]*event.Slice, keyless bool) {
	t.Helper()
	var err error
	for generation := uint64(1); generation < 6; generation++ {
		if err = deliverOnce(t.Context(), t, c, m, story, keyless, generation); err == nil {
			return
		}
	}
	t.Fatalf("no owner came to the end: %v", err)
}

func deliverOnce(ctx context.Context, t *testing.T, c Config, m schemas, story [][]*event.Slice, keyless bool, generation uint64) error {
	table, err := aside(t, c, m, generation, keyless, 100)
	if err != nil {
		return err
	}
	at := event.Seq(0)
	if marks := table.Marks(); len(marks) > 0 {
		at = marks[0].Seq
	}
	for _, part := range story {
		for _, s := range part {
			if s.Hi <= at {
				continue
			}
			if err := table.Write(ctx, queueID(0), s); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := table.Flush(ctx); err != nil {
			return err
		}
	}
	return nil
}
