package clickhouse

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline/event"
)

// logOf are the lines of a changelog's view, by number.
func logOf(t *testing.T, d testenv.ClickHouseDatabase, c Config, columns string) []string {
	t.Helper()
	conn, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	rows, err := conn.Query(t.Context(), fmt.Sprintf("SELECT arrayStringConcat(arrayMap(x -> ifNull(x, '-'), [%s]), ' ') FROM `%s`.`%s` ORDER BY _seq",
		columns, c.Database, c.Table))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		out = append(out, line)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// Each change is one row, with what was before, its operation, time and transaction; what is
// deleted below a number is told, and what was deleted stays.
func TestAChangelogHasEveryChange(t *testing.T) {
	d := testenv.ClickHouse(t)
	c := targetOn(t, d)
	c.Mode, c.Table = Changelog, "story"
	m := schemas{}
	s := m.add([]event.Column{number(1, "id", 4), text(2, "v")}, 0)
	o := own(t, c, m, 1, false)
	o.write(0, rows(s, 0, create(10, image(t, s, 1, "a")), create(12, image(t, s, 2, "b"))),
		rows(s, 12, update(14, image(t, s, 1, "a"), image(t, s, 1, nil)), remove(16, image(t, s, 2, "b")))).flush()
	columns := "toString(_seq), toString(_op), toString(id), v, toString(id__before), v__before, _tx, toString(_ts)"
	want := []string{
		"10 c 1 a - - 0-1-10 2026-08-21 12:00:00.000000",
		"12 c 2 b - - 0-1-10 2026-08-21 12:00:00.000000",
		"14 u 1 - 1 a 0-1-14 2026-08-21 12:00:00.000000",
		"16 d 2 b 2 b 0-1-14 2026-08-21 12:00:00.000000",
	}
	same(t, "the log", logOf(t, d, c, columns), want)
	same(t, "the rows", shows(t, c), []string{"id=1 v=NULL"})

	// A column more, another type and another name; a deletion of all; a number as a name.
	wide := number(1, "nr", 8)
	extra := text(3, "_op")
	extra.HasDefault, extra.Default = true, []byte("web")
	s2 := m.add([]event.Column{wide, text(2, "v"), extra}, 0)
	o = own(t, c, m, 2, false)
	o.write(0, changeOf(s2, 16, 20, ""), rows(s2, 20, update(22, image(t, s2, 1, nil, "web"), image(t, s2, i64(1<<40), "c", nil))),
		mark(event.KindTruncate, s2, 22, event.Mark{Seq: 24, Queues: 1}), rows(s2, 24, create(26, image(t, s2, 5, "d", "x")))).flush()
	columns = "toString(_seq), toString(_op_), toString(nr), v, _op, toString(nr__before), v__before, _op__before, toString(_below)"
	same(t, "another definition", logOf(t, d, c, columns), []string{
		"10 c 1 a web - - - 0", "12 c 2 b web - - - 0", "14 u 1 - web 1 a - 0", "16 d 2 b web 2 b - 0",
		"22 u 1099511627776 c - 1 - web 0", "24 x 0 - - - - - 24", "26 c 5 d x - - - 0",
	})
	same(t, "the rows behind a TRUNCATE", shows(t, c), []string{"nr=5 v=d _op=x"})
	// What a queue that lags brings from before it is told as well, and does not come back.
	o.write(1, rows(s, 0, create(11, image(t, s, 7, "late")))).flush()
	if got := logOf(t, d, c, "toString(_seq)"); strings.Join(got, " ") != "10 11 12 14 16 22 24 26" {
		t.Errorf("the log has %v", got)
	}
	same(t, "late", shows(t, c), []string{"nr=5 v=d _op=x"})
}

// A block that has no mark comes again with others, in other groups and by another owner: what
// is there of it is not sent again, and what is not there is.
func TestWhatHasLandedIsNotSentAgain(t *testing.T) {
	d := testenv.ClickHouse(t)
	conn, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, window := range []int{1, 2, 100} {
		c := targetOn(t, d)
		c.Mode, c.Table = Changelog, fmt.Sprintf("window%d", window)
		m := schemas{}
		s := m.add([]event.Column{number(1, "id", 4), text(2, "v")}, 0)
		at := func(seq event.Seq) event.Row { return create(seq, image(t, s, int(seq), "x")) }
		o := own(t, c, m, 1, false).write(0, rows(s, 0, at(10), at(14), at(18), at(22))).write(1, rows(s, 0, at(12), at(16), at(20))).flush()
		was := o.rec.Queues
		// The mark goes back, and one row is lost.
		o.minutesLater(1)
		rec := *o.rec
		rec.Queues = nil
		if err := o.writeRecord(t.Context(), &rec); err != nil {
			t.Fatal(err)
		}
		if err := conn.Exec(t.Context(), fmt.Sprintf("DELETE FROM `%s`.`%s` WHERE _seq = 16", c.Database, c.Table+suffix)); err != nil {
			t.Fatal(err)
		}
		again := own(t, c, m, 2, false)
		again.sink.windowRows = window
		again.write(1, rows(s, 0, at(12), at(16)), rows(s, 16, at(20), at(24)))
		again.write(0, rows(s, 0, at(10)), rows(s, 10, at(14), at(18), at(22), at(26))).flush()
		if got := strings.Join(logOf(t, d, c, "toString(_seq)"), " "); got != "10 12 14 16 18 20 22 24 26" {
			t.Errorf("window %d, marks %+v: the log has %s", window, was, got)
		}
	}
}

// An owner ends before the ledger has a queue whose rows it has sent: they are below the marks of
// the others.
func TestWhatHasLandedOfANewQueueIsNotSentAgain(t *testing.T) {
	d := testenv.ClickHouse(t)
	c := targetOn(t, d)
	c.Mode, c.Table = Changelog, "behind"
	m := schemas{}
	s := m.add([]event.Column{number(1, "id", 4), text(2, "v")}, 0)
	at := func(seq event.Seq) event.Row { return create(seq, image(t, s, int(seq), "x")) }
	o := own(t, c, m, 1, false).write(0, rows(s, 0, at(100))).flush()
	known := *o.rec
	o.write(1, rows(s, 0, at(10), at(12))).flush()
	if err := o.writeRecord(t.Context(), &known); err != nil {
		t.Fatal(err)
	}
	own(t, c, m, 2, false).write(1, rows(s, 0, at(10), at(12), at(14))).flush()
	if got := strings.Join(logOf(t, d, c, "toString(_seq)"), " "); got != "10 12 14 100" {
		t.Errorf("the log has %s", got)
	}
}

// Rows that were there already are rows that a mark rests on, as those that were sent with it.
func TestAMarkOverWhatHasLandedIsNotBelieved(t *testing.T) {
	d := testenv.ClickHouse(t)
	conn, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c, m := targetOn(t, d), schemas{}
	c.Mode, c.Table = Changelog, "landed"
	s := simple(m)
	one, two := rows(s, 0, create(10, image(t, s, 1, "a"))), rows(s, 10, create(12, image(t, s, 2, "a")))
	o := own(t, c, m, 1, false).write(0, one).flush()
	known := *o.rec
	o.minutesLater(1).write(0, two).flush()
	if err := o.writeRecord(t.Context(), &known); err != nil {
		t.Fatal(err)
	}
	own(t, c, m, 2, false).minutesLater(2).write(0, two).flush()
	if err := conn.Exec(t.Context(), "DELETE FROM `"+c.Database+"`.landed"+suffix+" WHERE _seq = 12"); err != nil {
		t.Fatal(err)
	}
	own(t, c, m, 3, false).stands("what has landed is gone", one)
}

// A target goes on in the mode that it was begun in.
func TestAModeIsForEver(t *testing.T) {
	c := targetOn(t, testenv.ClickHouse(t))
	m := schemas{}
	s := m.add([]event.Column{number(1, "id", 4)}, 0)
	own(t, c, m, 1, false).write(0, rows(s, 0, create(10, image(t, s, 1)))).flush()
	c.Tables = map[string]Shape{tableName.String(): {Mode: Changelog}}
	_, err := claimed(t, c, m, 2, false)
	if err == nil || !strings.Contains(err.Error(), "was begun as mode mirror, and the sink says changelog; name another target") {
		t.Errorf("%v", err)
	}
}
