package clickhouse

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/testenv/chserver"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// deleting is a Deletes of the tests.
func deleting(t testing.TB, text string) (d Deletes) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// seen are the rows that whoever queries the view sees, with all its columns, sorted.
func seen(t testing.TB, d testenv.ClickHouseDatabase, c Config) (out []string) {
	t.Helper()
	conn, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	rows, err := conn.Query(t.Context(), "SELECT toString(tuple(*)) FROM `"+c.Database+"`.`"+c.Table+"`")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		out = append(out, line)
	}
	slices.Sort(out)
	return out
}

// A row that goes is shown as the table asks for it, verification sees the source's rows in any
// case, and one that comes again is one. What was asked for may change.
func TestRowsThatGo(t *testing.T) {
	d := testenv.ClickHouse(t)
	const at = "'2026-08-21 12:00:00.000000'"
	tables := 0
	for asked, want := range map[string][]string{
		"apply":                           {"(2,'B')", "(4,'d')"},
		"soft":                            {"(1,'a'," + at + ")", "(2,'B',NULL)", "(3,'c'," + at + ")", "(4,'d',NULL)"},
		"ignore":                          {"(1,'a')", "(2,'B')", "(3,'c')", "(4,'d')"},
		`{mode: soft, when: "id > 2"}`:    {"(2,'B',NULL)", "(3,'c'," + at + ")", "(4,'d',NULL)"},
		`{mode: ignore, when: "id <= 2"}`: {"(1,'a')", "(2,'B')", "(4,'d')"},
	} {
		c := targetOn(t, d)
		tables++
		c.Table, c.Deletes = fmt.Sprintf("gone_%d", tables), deleting(t, asked)
		m := schemas{}
		s := simple(m)
		img := func(id int, v string) event.Image { return image(t, s, id, v) }
		first := rows(s, 0, create(10, img(1, "a")), create(12, img(2, "b")), create(14, img(3, "c")), create(16, img(4, "d")))
		goes := rows(s, 16, remove(18, img(1, "a")), remove(20, img(2, "b")), remove(22, img(3, "c")), create(24, img(2, "B")))
		own(t, c, m, 1, false).write(0, first).flush().write(0, goes).flush()
		same(t, asked, seen(t, d, c), want)
		own(t, c, m, 2, false).write(0, first, goes).flush() // it has them
		same(t, asked+", again", seen(t, d, c), want)
		same(t, asked+", verified", shows(t, c), []string{"id=2 v=B", "id=4 v=d"})

		c.Deletes = Deletes{}
		o := own(t, c, m, 3, false)
		same(t, asked+", then applied", seen(t, d, c), []string{"(2,'B')", "(4,'d')"})
		same(t, asked+", then applied, verified", shows(t, c), []string{"id=2 v=B", "id=4 v=d"})
		o.write(0, rows(s, 24, remove(26, img(4, "d")))).flush()
		same(t, asked+", and one more", seen(t, d, c), []string{"(2,'B')"})
		c.Deletes = deleting(t, asked)
		own(t, c, m, 4, false)
		want = slices.DeleteFunc(slices.Clone(want), func(line string) bool { return strings.HasPrefix(line, "(4,") })
		same(t, asked+", asked again", seen(t, d, c), want)
		own(t, c, m, 5, false).write(0, mark(event.KindTruncate, s, 26, event.Mark{Seq: 30, Queues: 1})).flush()
		same(t, asked+", emptied", seen(t, d, c), nil)
	}
}

func archiveColumns() []event.Column {
	return []event.Column{number(1, "id", 4), number(2, "v", 4)}
}

// archive is the life of a table of which rows are kept, that is read anew: what each message is.
func archive(t testing.TB, m schemas) (before []*event.Slice, end *event.Slice) {
	s := m.add(archiveColumns(), 0)
	img := func(id, v int) event.Image { return image(t, s, id, v) }
	mk := func(k event.Kind, prev, seq, attempt event.Seq) *event.Slice {
		return mark(k, s, prev, event.Mark{Seq: seq, Attempt: attempt, Queues: 1})
	}
	read := func(seq event.Seq, id, v int) event.Row {
		return event.Row{Op: event.OpRead, Index: uint64(seq), Seq: seq, After: img(id, v)}
	}
	return []*event.Slice{
		mk(event.KindBegin, 0, 10, 10),
		rows(s, 10, read(12, 1, 1), read(14, 2, 2), read(16, 3, 3), read(18, 4, 4), read(20, 5, 5), read(22, 9, 99)),
		mk(event.KindEnd, 22, 24, 10),
		// 1 is kept; 2 is kept and comes again; 3 is kept, comes again and goes for good.
		rows(s, 24, remove(26, img(1, 1)), remove(28, img(2, 2)), create(30, img(2, 22)), remove(32, img(3, 3)), create(34, img(3, 7)), remove(36, img(3, 7))),
		mk(event.KindBegin, 36, 40, 40),
		// 4 goes behind BEGIN, and 1 comes again and is kept again.
		rows(s, 40, remove(42, img(4, 4)), create(44, img(6, 6))),
		rows(s, 44, read(46, 2, 22), read(48, 5, 5), read(50, 6, 6)),
	}, mk(event.KindEnd, 50, 60, 40)
}

var archived = []string{"(1,1)", "(2,22)", "(4,4)", "(5,5)", "(6,6)"}

// What was kept is there behind a snapshot, which has not found it, whichever statement of the
// owner was the last one, with its work done or not.
func TestRowsThatWereKeptOutliveASnapshot(t *testing.T) {
	ch := testenv.ClickHouseWithFaults(t, chserver.Options{})
	for _, at := range []chserver.Point{chserver.Begin, chserver.Landed} {
		for n, hit := 0, true; hit; n++ {
			c, m := targetOn(t, ch.ClickHouseDatabase), schemas{}
			c.Table = fmt.Sprintf("archive_%s_%d", at, n)
			c.Deletes = deleting(t, `{mode: ignore, when: "v <> 7"}`)
			before, end := archive(t, m)
			o := own(t, c, m, 1, false)
			for _, s := range before {
				o.write(0, s).flush()
			}
			if got := seen(t, ch.ClickHouseDatabase, c); len(got) != 6 {
				t.Fatalf("before the END a reader sees %v", got)
			}
			fault := ch.Inject(t, chserver.Fault{Match: c.Table + `\b`, Skip: n, At: at, Drop: true})
			o.write(0, end)
			_, err := o.Flush(t.Context())
			hit = fault.State().Hits > 0
			fault.Remove()
			if err != nil {
				o = own(t, c, m, 2, false)
				if marks := o.Marks(); marks[0].Seq < end.Hi {
					o.write(0, end).flush()
				}
			}
			name := fmt.Sprintf("statement %d, %s", n, at)
			same(t, name, seen(t, ch.ClickHouseDatabase, c), archived)
			same(t, name+", verified", shows(t, c), []string{"id=2 v=22", "id=5 v=5", "id=6 v=6"})
		}
	}
}

// A server that starts anew has lost what was copied: it is copied again, from a table that is
// there for as long as that can be. A late row of the source takes the place of one that was kept.
func TestRowsThatWereKeptAreCopiedAgain(t *testing.T) {
	ch := testenv.ClickHouseWithFaults(t, chserver.Options{})
	c, m := targetOn(t, ch.ClickHouseDatabase), schemas{}
	c.Table, c.Deletes = "copied", deleting(t, `{mode: ignore, when: "v <> 7"}`)
	before, end := archive(t, m)
	o := own(t, c, m, 1, false).write(0, before...).write(0, end).flush()
	if err := o.minutes(ch, 3); err != nil { // what is below the floor is removed
		t.Fatal(err)
	}
	if _, err := ch.Admin(t.Context(), "DELETE FROM `"+c.Database+"`.copied"+suffix+"_2 WHERE _q = 65535"); err != nil {
		t.Fatal(err)
	}
	same(t, "lost", seen(t, ch.ClickHouseDatabase, c), []string{"(2,22)", "(4,4)", "(5,5)", "(6,6)"})
	ch.Kill()
	if err := ch.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	own(t, c, m, 2, false)
	same(t, "copied again", seen(t, ch.ClickHouseDatabase, c), archived)
}

// Rows that a rule of before let in don't come along under another one.
func TestRowsThatWereKeptUnderAnotherRuleStayBehind(t *testing.T) {
	d := testenv.ClickHouse(t)
	c, m := targetOn(t, d), schemas{}
	c.Table, c.Deletes = "ruled", deleting(t, "soft")
	before, end := archive(t, m)
	source := event.NewSchema(tableName, archiveColumns(), []int{0})
	now := event.NewProjectedSchema(source, `{"where":"id > 1"}`, source.Columns, source.PrimaryKey)
	m[now.ID] = now
	o := own(t, c, m, 1, false).write(0, before[:4]...).flush()
	for _, s := range append(slices.Clone(before[4:]), end) {
		if s.Schema = now.ID; s.Mark != nil {
			s.Mark.Schema = now.ID
		}
		o.write(0, s)
	}
	o.flush()
	same(t, "behind the snapshot", seen(t, d, c), []string{"(2,22,NULL)", "(4,4,'2026-08-21 12:00:00.000000')", "(5,5,NULL)", "(6,6,NULL)"})
}

// The condition names a column that is renamed: either name will do, and one that is nothing to
// the table stands it at once.
func TestTheConditionOfDeletesIsOfTheTable(t *testing.T) {
	d := testenv.ClickHouse(t)
	for _, name := range []string{"n", "m", "other"} {
		c, m := targetOn(t, d), schemas{}
		c.Table, c.Deletes = "cond "+name, deleting(t, `{mode: ignore, when: "`+name+` = 1"}`)
		old := m.add([]event.Column{number(1, "id", 4), number(2, "n", 4)}, 0)
		now := m.add([]event.Column{number(1, "id", 4), number(2, "m", 4)}, 0)
		o := own(t, c, m, 1, false)
		first := rows(old, 0, create(10, image(t, old, 1, 1)), create(12, image(t, old, 2, 2)), create(14, image(t, old, 3, 1)))
		err := o.Write(t.Context(), queueID(0), first)
		if name != "n" {
			if !errors.Is(err, pipeline.ErrRecord) || !strings.Contains(err.Error(), "there is no column "+name+" (deletes.when)") {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		o.write(0, mark(event.KindDDL, now, 14, event.Mark{Seq: 16, Queues: 1, Old: old.ID})).flush()
		o = own(t, c, m, 2, false)
		o.write(0, rows(now, 16, remove(18, image(t, now, 1, 1)), remove(20, image(t, now, 2, 2)))).flush()
		same(t, name, seen(t, d, c), []string{"(1,1)", "(3,1)"})
		c.Deletes = deleting(t, `{mode: ignore, when: "m = 1"}`)
		own(t, c, m, 3, false).write(0, rows(now, 20, remove(22, image(t, now, 3, 1)))).flush()
		same(t, name, seen(t, d, c), []string{"(1,1)", "(3,1)"})
	}
}
