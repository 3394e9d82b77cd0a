package projection

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/projection/where"
)

func condition(t *testing.T, text string) *where.Expr {
	t.Helper()
	e, err := where.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// scripted is a source that hands over what it was given, and keeps what was asked of it.
type scripted struct {
	pipeline.Source
	table *event.Table
	items []event.Item
	asked []string
}

func (s *scripted) Open(context.Context, pipeline.Resume) (pipeline.Opened, error) {
	return pipeline.Opened{Tables: []*event.Table{s.table}}, nil
}

func (s *scripted) Next(context.Context) (out []event.Item, err error) {
	if len(s.items) == 0 {
		return nil, errNoMore
	}
	out, s.items = s.items, nil
	return out, nil
}

func (s *scripted) RequestSnapshot(tables []event.TableName, cause string) {
	s.asked = append(s.asked, fmt.Sprint(tables, " ", cause))
}

func (s *scripted) SetPaused(t event.TableName, paused bool) {
	s.asked = append(s.asked, fmt.Sprint(t, " paused ", paused))
}

func (s *scripted) Close() error { return nil }

var errNoMore = errors.New("the script is over")

// place is a table of numbers: id, region, n, and a text.
func place() *event.Table {
	return &event.Table{Name: people, KeyColumns: []int{0}, Queues: 1, Schema: event.NewSchema(people, []event.Column{
		col(1, "id", event.TypeInt, "int"), col(2, "region", event.TypeInt, "int"), col(3, "n", event.TypeInt, "int"),
		col(4, "secret", event.TypeText, "text"),
	}, []int{0})}
}

type placeRow struct {
	id, region, n int64
	null          bool // the region
}

func (r *placeRow) image(t *testing.T, s *event.Schema) event.Image {
	t.Helper()
	if r == nil {
		return nil
	}
	b := event.NewImageBuilder(s)
	b.Start(nil)
	b.AppendInt(r.id)
	if r.null {
		b.AppendNull()
	} else {
		b.AppendInt(r.region)
	}
	b.AppendInt(r.n)
	b.AppendText("hunter2")
	_, img, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestAChangeIsWhatIsSeenOfIt(t *testing.T) {
	table := place()
	in, out, null := &placeRow{1, 7, 1, false}, &placeRow{1, 8, 1, false}, &placeRow{1, 0, 1, true}
	for _, c := range []struct {
		what          string
		op            event.Op
		before, after *placeRow
		want          string
	}{
		{"a row that is created inside", 'c', nil, in, "c - +"},
		{"one that is created outside", 'c', nil, out, ""},
		{"one of which it is not known", 'c', nil, null, ""},
		{"a row of a snapshot inside", 'r', nil, in, "r - +"},
		{"one outside", 'r', nil, out, ""},
		{"a change inside", 'u', in, in, "u + +"},
		{"a change outside", 'u', out, null, ""},
		{"a change that moves in", 'u', out, in, "c - +"},
		{"a change from NULL that moves in", 'u', null, in, "c - +"},
		{"a change that moves out", 'u', in, out, "d + -"},
		{"a change to NULL", 'u', in, null, "d + -"},
		{"a deletion inside", 'd', in, nil, "d + -"},
		{"a deletion outside", 'd', out, nil, ""},
	} {
		for _, rule := range []Rule{{Where: condition(t, "region = 7")}, {Where: condition(t, "region = 7"), Exclude: []string{"region", "secret"}}} {
			inner := &scripted{table: table, items: []event.Item{{Kind: event.KindRow, Op: c.op, Part: 1, Index: 3, Seq: 44, Table: table,
				Before: c.before.image(t, table.Schema), After: c.after.image(t, table.Schema)},
				{Kind: event.KindCommit, Commit: &event.Position{Counter: 9}}}}
			s := New(inner, Rules{Tables: map[string]Rule{"shop.people": rule}}, nil, nil)
			hidden := 0
			s.Hidden = func(event.TableName) func() { return func() { hidden++ } }
			if _, err := s.Open(t.Context(), pipeline.Resume{}); err != nil {
				t.Fatal(err)
			}
			items, err := s.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if it := items[0]; it.Kind == event.KindRow {
				has := func(img event.Image) string { return map[bool]string{true: "+", false: "-"}[img != nil] }
				got = fmt.Sprintf("%c %s %s", it.Op, has(it.Before), has(it.After))
				if it.Seq != 44 || it.Part != 1 || it.Index != 3 || it.Table.Schema.Projection == "" {
					t.Errorf("%s: its identity is another: %+v", c.what, it)
				}
				for _, img := range []event.Image{it.Before, it.After} {
					if len(rule.Exclude) > 0 && strings.Contains(string(img), "hunter2") {
						t.Errorf("%s: an excluded column leaves", c.what)
					}
				}
			}
			if got != c.want || hidden != map[bool]int{true: 1}[c.want == ""] || items[len(items)-1].Kind != event.KindCommit {
				t.Errorf("%s: %q and not %q, %d hidden, %+v", c.what, got, c.want, hidden, items)
			}
		}
	}
}

// TestWhoeverFollowsSeesTheSelection applies random changes to a table, and what leaves of
// them to another: it must hold what the condition selects, after each change.
func TestWhoeverFollowsSeesTheSelection(t *testing.T) {
	random := seededRandom(t)
	table := place()
	inner := &scripted{table: table}
	s := New(inner, Rules{Tables: map[string]Rule{"shop.people": {Where: condition(t, "region = 1 OR n > 2 AND NOT region = 0")}}}, nil, nil)
	if _, err := s.Open(t.Context(), pipeline.Resume{}); err != nil {
		t.Fatal(err)
	}
	selects := func(r placeRow) bool { return !r.null && (r.region == 1 || r.n > 2 && r.region != 0) }
	rows, follows := map[int64]placeRow{}, map[int64]string{}
	for range 5000 {
		now := placeRow{random.Int64N(10), random.Int64N(3), random.Int64N(5), random.IntN(4) == 0}
		it := event.Item{Kind: event.KindRow, Op: event.OpCreate, Table: table, After: now.image(t, table.Schema)}
		if was, there := rows[now.id]; there {
			it.Op, it.Before = event.OpUpdate, was.image(t, table.Schema)
			if random.IntN(3) == 0 {
				it.Op, it.After = event.OpDelete, nil
			}
		}
		if rows[now.id] = now; it.Op == event.OpDelete {
			delete(rows, now.id)
		}
		inner.items = append(inner.items, it, event.Item{Kind: event.KindCommit, Commit: &event.Position{}})
		items, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range items {
			follow(t, follows, it, now.id)
		}
		want := map[int64]string{}
		for id, r := range rows {
			if selects(r) {
				want[id] = string(r.image(t, table.Schema))
			}
		}
		if !maps.Equal(follows, want) {
			t.Fatalf("after %c of %+v: %v, not %v", it.Op, now, follows, want)
		}
	}
}

// follow does to a target what a change says, and refuses what does not fit it.
func follow(t *testing.T, target map[int64]string, it event.Item, id int64) {
	t.Helper()
	if it.Kind != event.KindRow {
		return
	}
	have, there := target[id]
	if there != (it.Before != nil) || there && have != string(it.Before) {
		t.Fatalf("%c of row %d, of which the target has %t", it.Op, id, there)
	}
	if delete(target, id); it.After != nil {
		target[id] = string(it.After)
	}
}

func seededRandom(t *testing.T) *rand.Rand {
	seed := uint64(rand.Uint32())
	if s := os.Getenv("MILLRACE_TEST_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	t.Logf("MILLRACE_TEST_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// TestAConditionFollowsItsColumns alters the table that a condition is on.
func TestAConditionFollowsItsColumns(t *testing.T) {
	table := place()
	columns := func(change func([]event.Column) []event.Column) *event.Schema {
		return event.NewSchema(people, change(slices.Clone(table.Schema.Columns)), []int{0})
	}
	for what, c := range map[string]struct {
		now  *event.Schema
		want string // asked of the source
		due  string
	}{
		"another column": {columns(func(c []event.Column) []event.Column { return append(c, col(9, "x", event.TypeInt, "int")) }), "", ""},
		"its column gone": {columns(func(c []event.Column) []event.Column { return slices.Delete(c, 1, 2) }),
			"shop.people paused true", ""},
		"its column another": {columns(func(c []event.Column) []event.Column { c[1].ID = 9; return c }),
			"[shop.people] the column region, which tables.shop.people.where reads, is another", "is another"},
		"its column wider":  {columns(func(c []event.Column) []event.Column { c[1].Native = "bigint(20)"; return c }), "", ""},
		"its column a text": {columns(func(c []event.Column) []event.Column { c[1].Type, c[1].Native = event.TypeText, "text"; return c }), "shop.people paused true", ""},
		"its column unsigned": {columns(func(c []event.Column) []event.Column {
			c[1].Type, c[1].Native = event.TypeUint, "int unsigned"
			return c
		}), "[shop.people] the column region, which tables.shop.people.where reads, is another", "is another"},
		"its column elsewhere": {columns(func(c []event.Column) []event.Column { return append(slices.Delete(c, 1, 2), table.Schema.Columns[1]) }), "", ""},
	} {
		inner := &scripted{table: table}
		s := New(inner, Rules{Tables: map[string]Rule{"shop.people": {Where: condition(t, "region = 7"), Silent: true}}}, nil, nil)
		if _, err := s.Open(t.Context(), pipeline.Resume{}); err != nil {
			t.Fatal(err)
		}
		now := *table
		now.Schema = c.now
		inner.items = []event.Item{{Kind: event.KindDDL, Table: &now, DDL: &event.DDL{SQL: "ALTER TABLE people …", Old: table.Schema, New: c.now}, Commit: &event.Position{}}}
		items, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(inner.asked, "; "); got != c.want {
			t.Errorf("%s: asked %q, not %q", what, got, c.want)
		}
		if strings.Contains(c.want, "paused") {
			if last := items[len(items)-1]; last.Kind != event.KindPaused || !strings.Contains(last.Reason.Text, "(tables.shop.people.where)") {
				t.Errorf("%s: %+v", what, items)
			}
			continue
		}
		if len(items) != 1 || items[0].DDL.SQL == withheld || !strings.Contains(items[0].DDL.Due, c.due) ||
			c.due == "" && items[0].DDL.Due != "" {
			t.Errorf("%s: %+v", what, items[0].DDL)
		}
	}
}

// TestRowsThatAreKeptBackDoNotLeaveInACopy has a table with the columns of one that is
// filtered.
func TestRowsThatAreKeptBackDoNotLeaveInACopy(t *testing.T) {
	rules := Rules{Tables: map[string]Rule{"shop.people": {Where: condition(t, "region = 7"), Silent: true}, "shop.others": {}}}
	for name, copy := range map[event.TableName]bool{people: false, copies: true, others: false, {DB: "old", Table: "x"}: false} {
		s := New(nil, rules, nil, nil)
		s.tables = map[event.TableName]*table{}
		s.at(people).last = place().Schema
		ev := place()
		ev.Name = name
		if got := s.copied(ev); (got != "") != copy {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// keyed is a reader of rows with the keys 1 to n, which shows where it was asked to read.
type keyed struct {
	SourceReader
	n     int
	after []int
}

func (k *keyed) ReadAfter(_ context.Context, _ event.TableName, after []pipeline.Cell, n int, columns func([]pipeline.ReadColumn) error,
	row func([]pipeline.Cell) error) error {
	from := 0
	if after != nil {
		from, _ = strconv.Atoi(string(after[0].Text))
	}
	k.after = append(k.after, from)
	if err := columns([]pipeline.ReadColumn{{Name: "v", Type: "int"}, {Name: "id", Key: true, Type: "int"}}); err != nil {
		return err
	}
	buffer := make([]byte, 0, 8) // cells are valid during the call
	for id := from + 1; id <= min(from+n, k.n); id++ {
		buffer = strconv.AppendInt(buffer[:0], int64(id), 10)
		if err := row([]pipeline.Cell{{Text: []byte(strconv.Itoa(id % 10))}, {Text: buffer}}); err != nil {
			return err
		}
	}
	return nil
}

func TestAReaderGoesOnUntilItHasRowsToShow(t *testing.T) {
	for _, c := range []struct {
		cond   string
		n      int
		shown  string
		asked  string
		hidden int
	}{
		{"v = 3", 4, "3 13 23 33", "[0 4 8 12 16 20 24 28 32]", 29},
		{"v = 3", 40, "3 13 23 33 43 53 63 73 83 93", "[0 40 80]", 85},
		{"v >= 0", 4, "1 2 3 4", "[0]", 0},
		{"v = 11", 30, "", "[0 30 60 90]", 95},
	} {
		in := &keyed{n: 95}
		r := NewReader(in, Rules{Tables: map[string]Rule{"shop.people": {Where: condition(t, c.cond)}}})
		hidden := 0
		r.OnHidden(func(_ context.Context, n int) error { hidden += n; return nil })
		var shown []string
		err := r.ReadAfter(t.Context(), people, nil, c.n, func([]pipeline.ReadColumn) error { return nil }, func(cells []pipeline.Cell) error {
			shown = append(shown, string(cells[1].Text))
			return nil
		})
		if err != nil || strings.Join(shown, " ") != c.shown || fmt.Sprint(in.after) != c.asked || hidden != c.hidden {
			t.Errorf("%s, %d: %v, asked %v, %d hidden, %v", c.cond, c.n, shown, in.after, hidden, err)
		}
	}
	r := NewReader(&keyed{n: 95}, Rules{Tables: map[string]Rule{"shop.people": {Where: condition(t, "v = 3")}}})
	stop := errors.New("stop")
	r.OnHidden(func(context.Context, int) error { return stop })
	if err := r.ReadAfter(t.Context(), people, nil, 4, func([]pipeline.ReadColumn) error { return nil }, func([]pipeline.Cell) error { return nil }); !errors.Is(err, stop) {
		t.Errorf("it goes on although it was told to stop: %v", err)
	}
}

// defined is a source with a definition of each table.
type defined struct {
	scripted
	schema *event.Schema
}

func (d *defined) Preflight(context.Context) ([]pipeline.Problem, error) { return nil, nil }

func (d *defined) Definition(context.Context, event.TableName) (*event.Schema, error) {
	return d.schema, nil
}

// Before a pipeline starts a condition is held to the definitions: members of an ENUM, and texts
// that are JSON, which the names of the types do not tell.
func TestPreflightHoldsAConditionToTheDefinition(t *testing.T) {
	name := event.TableName{DB: "shop", Table: "people"}
	schema := event.NewSchema(name, []event.Column{
		{ID: 1, Name: "id", Type: event.TypeInt, Native: "int", Precision: 4},
		{ID: 2, Name: "state", Type: event.TypeEnum, Native: "enum('new','old')", Members: []string{"new", "old"}},
		{ID: 3, Name: "doc", Type: event.TypeJSON, Native: "longtext", Charset: "utf8mb4", Collation: "utf8mb4_bin"},
	}, []int{0})
	look := func(context.Context, event.TableName) (out []pipeline.ReadColumn, err error) {
		for i, c := range schema.Columns {
			out = append(out, pipeline.ReadColumn{Name: c.Name, Type: c.Native, Charset: c.Charset, Key: i == 0})
		}
		return out, nil
	}
	for text, want := range map[string]string{
		"state = 'new'": "", "doc IS NULL": "", "state = 'knew'": "no member 'knew'", "BINARY doc = 'x'": "IS NULL and IS NOT NULL alone",
	} {
		rules := Rules{Tables: map[string]Rule{name.String(): {Where: condition(t, text)}}}
		problems, err := New(&defined{schema: schema}, rules, look, nil).Preflight(t.Context())
		if err != nil || (len(problems) > 0) != (want != "") || want != "" && !strings.Contains(problems[0].Found, want) {
			t.Errorf("%s: %+v, %v", text, problems, err)
		}
	}
}
