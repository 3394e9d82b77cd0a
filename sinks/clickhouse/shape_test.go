package clickhouse

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/projection/where"
)

// shaped is the configuration with a shape for the tests' table.
func shaped(c Config, s Shape) Config {
	c.Tables = map[string]Shape{tableName.String(): s}
	return c
}

// A row whose sort column changes, or that goes, is deleted where it was: under its old sorting
// key. Rows come in any order, and again.
func TestASortColumnChanges(t *testing.T) {
	d := testenv.ClickHouse(t)
	c := shaped(targetOn(t, d), Shape{OrderBy: []string{"city", "id"}, PartitionBy: "cityHash64(city) % 4"})
	c.Table = "sorted"
	m := schemas{}
	s := m.add([]event.Column{number(1, "id", 4), text(2, "city"), text(3, "v")}, 0)
	img := func(vals ...any) event.Image { return image(t, s, vals...) }
	o := own(t, c, m, 1, false)
	o.write(0, rows(s, 0, create(10, img(1, "Rome", "a")), create(12, img(2, nil, "b")), create(14, img(3, "Oslo", "c")))).flush()
	o.write(0, rows(s, 14, update(16, img(1, "Rome", "a"), img(1, "Oslo", "a")), update(18, img(2, nil, "b"), img(2, "Rome", "b")),
		update(20, img(3, "Oslo", "c"), img(3, "Oslo", "d")))).flush()
	want := []string{"id=1 city=Oslo v=a", "id=2 city=Rome v=b", "id=3 city=Oslo v=d"}
	same(t, "moved", shows(t, c), want)
	back := rows(s, 20, update(22, img(1, "Oslo", "a"), img(1, "Rome", "e")), remove(24, img(3, "Oslo", "d")))
	own(t, c, m, 2, false).write(0, back).flush()
	want = []string{"id=1 city=Rome v=e", "id=2 city=Rome v=b"}
	same(t, "moved back, and gone", shows(t, c), want)
	conn, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Exec(t.Context(), "OPTIMIZE TABLE `"+c.Database+"`.sorted"+suffix+" FINAL"); err != nil {
		t.Fatal(err)
	}
	same(t, "merged", shows(t, c), want)
}

// Another sorting key is another table, filled by a snapshot while readers see the first one.
func TestTheSortingKeyIsChangedByASnapshot(t *testing.T) {
	c := targetOn(t, testenv.ClickHouse(t))
	c.Table = "resorted"
	m := schemas{}
	s := m.add([]event.Column{number(1, "id", 4), text(2, "v")}, 0)
	begin := func(prev, seq event.Seq) *event.Slice {
		return mark(event.KindBegin, s, prev, event.Mark{Seq: seq, Attempt: seq, Queues: 1})
	}
	read := func(seq event.Seq, img event.Image) event.Row {
		return event.Row{Op: event.OpRead, Index: uint64(seq), Seq: seq, After: img}
	}
	end := func(prev, seq, begin event.Seq) *event.Slice {
		return mark(event.KindEnd, s, prev, event.Mark{Seq: seq, Attempt: begin, Queues: 1})
	}
	own(t, c, m, 1, false).write(0, begin(0, 10), rows(s, 10, read(12, image(t, s, 1, "a"))), end(12, 14, 10)).flush()
	c = shaped(c, Shape{OrderBy: []string{"v", "id"}})
	o := own(t, c, m, 2, false).write(0, rows(s, 14, update(16, image(t, s, 1, "a"), image(t, s, 1, "b")), create(18, image(t, s, 2, "z")))).flush()
	want := []string{"id=1 v=b", "id=2 v=z"}
	same(t, "before the snapshot", shows(t, c), want)
	if o.shownStore() != 1 {
		t.Errorf("store %d is shown before the snapshot", o.shownStore())
	}
	o.write(0, begin(18, 20), rows(s, 20, read(22, image(t, s, 1, "b")), read(24, image(t, s, 2, "z"))), end(24, 26, 20)).flush()
	same(t, "behind the snapshot", shows(t, c), want)
	if o.shownStore() != 2 || len(o.rec.Stores[1].Key) != 2 {
		t.Errorf("store %d is shown behind the snapshot", o.shownStore())
	}
}

// Another sorting key is configured while a snapshot is under way: the rest of it goes where its
// beginning went, which is what readers see behind its END.
func TestTheSortingKeyIsChangedInASnapshot(t *testing.T) {
	for name, founded := range map[string]bool{"the first one": false, "a later one": true} {
		c := targetOn(t, testenv.ClickHouse(t))
		c.Table = "resorted"
		m := schemas{}
		s := m.add([]event.Column{number(1, "id", 4), text(2, "v")}, 0)
		mk := func(k event.Kind, prev, seq, begin event.Seq) *event.Slice {
			return mark(k, s, prev, event.Mark{Seq: seq, Attempt: begin, Queues: 1})
		}
		o, prev := own(t, c, m, 1, false), event.Seq(0)
		if founded {
			o.write(0, mk(event.KindBegin, 0, 4, 4), mk(event.KindEnd, 4, 6, 4)).flush()
			prev = 6
		}
		o.write(0, mk(event.KindBegin, prev, 10, 10), rows(s, 10, snapshotOf(t, s, 12, 1)...)).flush()
		c = shaped(c, Shape{OrderBy: []string{"v", "id"}})
		o = own(t, c, m, 2, false).write(0, rows(s, 12, snapshotOf(t, s, 60, 2, 3)...), rows(s, 62, remove(64, image(t, s, 3, "-"))),
			mk(event.KindEnd, 64, 70, 10)).flush()
		if got := ids(t, c); got != "1 2" {
			t.Errorf("%s: a reader sees %q", name, got)
		}
		o.write(0, mk(event.KindBegin, 70, 80, 80), rows(s, 80, snapshotOf(t, s, 82, 1, 2)...), mk(event.KindEnd, 84, 90, 80)).flush()
		if got, key := ids(t, c), shown(o.rec.Stores, o.whole()).Key; got != "1 2" || len(key) != 2 {
			t.Errorf("%s: behind another snapshot a reader sees %q under key %v", name, got, key)
		}
	}
}

func (o owner) shownStore() int { return shown(o.rec.Stores, o.whole()).Number }

// A sort column is renamed: order_by may say either name, in whatever order the queues bring the
// rows of before and the statement.
func TestASortColumnIsRenamed(t *testing.T) {
	d := testenv.ClickHouse(t)
	columns := []event.Column{number(1, "id", 4), text(2, "city")}
	for _, name := range []string{"city", "town"} {
		c := shaped(targetOn(t, d), Shape{OrderBy: []string{"city", "id"}})
		c.Table = "renamed " + name
		m := schemas{}
		old := m.add(slices.Clone(columns), 0)
		columns := slices.Clone(columns)
		columns[1].Name = "town"
		now := m.add(columns, 0)
		own(t, c, m, 1, false).write(0, rows(old, 0, create(10, image(t, old, 1, "Rome")))).flush()
		before := rows(old, 10, update(12, image(t, old, 1, "Rome"), image(t, old, 1, "Oslo")))
		ddl := mark(event.KindDDL, now, 12, event.Mark{Seq: 14, Queues: 2, Old: old.ID})
		behind := rows(now, 14, update(16, image(t, now, 1, "Oslo"), image(t, now, 1, "Bern")))
		late := rows(old, 0, create(11, image(t, old, 2, "Nice")))
		var o owner
		if name == "city" {
			o = own(t, c, m, 2, false).write(0, before, ddl, behind).write(1, late).flush()
		} else { // it was let in with the name of before, and is said as it is now
			c = shaped(c, Shape{OrderBy: []string{"city", "id"}})
			own(t, c, m, 3, false).write(0, before, ddl).flush()
			c = shaped(c, Shape{OrderBy: []string{name, "id"}})
			o = own(t, c, m, 4, false).write(1, late).write(0, behind).flush()
		}
		same(t, name, shows(t, c), []string{"id=1 town=Bern", "id=2 town=Nice"})
		if len(o.rec.Stores) != 1 {
			t.Errorf("%s: there are %d stores", name, len(o.rec.Stores))
		}
		// One that goes stands the table, whichever name is said.
		gone := m.add(columns[:1], 0)
		err := o.Write(t.Context(), queueID(0), mark(event.KindDDL, gone, 16, event.Mark{Seq: 20, Queues: 2, Old: now.ID}))
		if err == nil || !strings.Contains(err.Error(), "order_by names column "+name) {
			t.Errorf("%s: it is dropped, and %v", name, err)
		}
	}
}

// What a definition does not allow is refused by name, before anything is made.
func TestShapesThatATableCanNotHave(t *testing.T) {
	d := testenv.ClickHouse(t)
	columns := []event.Column{number(1, "id", 4), number(2, "shop", 4), text(3, "v")}
	for name, c := range map[string]struct {
		shape Shape
		key   []int
		want  string
	}{
		"lacks":      {Shape{OrderBy: []string{"v", "id"}}, []int{0, 1}, "order_by lacks column shop of the primary key"},
		"unknown":    {Shape{OrderBy: []string{"id", "vv"}}, []int{0}, "order_by names column vv, which the table does not have"},
		"keyless":    {Shape{OrderBy: []string{"id"}}, nil, "order_by is for tables with a primary key"},
		"kept":       {Shape{Deletes: Deletes{Mode: SoftDeletes}}, nil, "deletes: soft is for tables with a primary key"},
		"kept twice": {Shape{Deletes: Deletes{Mode: IgnoreDeletes}, OrderBy: []string{"v", "id"}}, []int{0}, "an order_by with columns beside the primary key's don't go together"},
		"torn":       {Shape{PartitionBy: "intDiv(shop, 10)"}, []int{0}, `partition_by "intDiv(shop, 10)" names shop, which is no column of the sorting key (id)`},
		"torn too":   {Shape{PartitionBy: "toYYYYMM(_ts)"}, []int{0}, "names _ts, which is no column of the sorting key (id)"},
		"no setting": {Shape{Settings: map[string]string{"index_granulariti": "1"}}, []int{0}, "(see order_by, partition_by, ttl, columns and settings of the sink)"},
		"no column":  {Shape{Mode: Changelog, PartitionBy: "nothing % 3"}, []int{0}, "(see order_by, partition_by, ttl, columns and settings of the sink)"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := shaped(targetOn(t, d), c.shape)
			cfg.Table = name
			m := schemas{}
			s := m.add(slices.Clone(columns), c.key...)
			o := own(t, cfg, m, 1, len(c.key) == 0)
			err := o.Write(t.Context(), queueID(0), rows(s, 0, create(10, image(t, s, 1, 2, "a"))))
			if err == nil {
				_, err = o.Flush(t.Context())
			}
			if !errors.Is(err, pipeline.ErrUnwritable) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, and not %s", err, c.want)
			}
		})
	}
}

// A partition may be of any column where rows have no versions, and rows may go by themselves.
func TestAChangelogIsPartitioned(t *testing.T) {
	d := testenv.ClickHouse(t)
	c := shaped(targetOn(t, d), Shape{Mode: Changelog, PartitionBy: "id % 2", TTL: "toDateTime(_ts) + INTERVAL 30 YEAR DELETE",
		Settings: map[string]string{"index_granularity": "1024"}})
	c.Table, c.Settings = "partitioned", map[string]string{"index_granularity": "512", "min_bytes_for_wide_part": "0"}
	m := schemas{}
	s := m.add([]event.Column{number(1, "id", 4)}, 0)
	own(t, c, m, 1, false).write(0, rows(s, 0, create(10, image(t, s, 1)), create(12, image(t, s, 2)))).flush()
	conn, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var parts uint64
	var engine string
	err = conn.QueryRow(t.Context(), "SELECT uniqExact(partition), any(engine_full) FROM system.parts AS p JOIN system.tables AS t ON p.database = t.database AND p.table = t.name "+
		"WHERE p.active AND p.database = ? AND p.table = ?", c.Database, c.Table+suffix).Scan(&parts, &engine)
	if err != nil || parts != 2 || !strings.Contains(engine, "index_granularity = 1024, min_bytes_for_wide_part = 0") || !strings.Contains(engine, "TTL") {
		t.Errorf("%d partitions, %s, %v", parts, engine, err)
	}
	same(t, "the rows", shows(t, c), []string{"id=1", "id=2"})
}

// A block's rows may lie in more partitions than the server takes unasked, which is 100.
func TestABlockOfManyPartitions(t *testing.T) {
	c := shaped(targetOn(t, testenv.ClickHouse(t)), Shape{PartitionBy: "id % 150"})
	c.Table = "scattered"
	m := schemas{}
	s := m.add([]event.Column{number(1, "id", 4)}, 0)
	var list []event.Row
	for id := range 150 {
		list = append(list, create(event.Seq(10+2*id), image(t, s, id)))
	}
	own(t, c, m, 1, false).write(0, rows(s, 0, list...)).flush()
	if got := len(shows(t, c)); got != 150 {
		t.Errorf("a reader sees %d rows", got)
	}
}

func TestMistakesOfShapesAreNamed(t *testing.T) {
	for want, change := range map[string]func(*Config){
		`partition_by: in mode signed a block lies in one`:    func(c *Config) { c.Mode, c.PartitionBy = Signed, "id % 4" },
		`tables.shop.a.ttl: a mirror has the source's rows`:   func(c *Config) { c.Tables = map[string]Shape{"shop.a": {Mode: Signed, TTL: "_ts"}} },
		`deletes: "ignore" is for mode: mirror; in mode sig`:  func(c *Config) { c.Mode, c.Deletes.Mode = Signed, IgnoreDeletes },
		`mode: "mirrored" must be mirror, changelog or sign`:  func(c *Config) { c.Mode = "mirrored" },
		`tables.shop.a.b.mode: "x" must be`:                   func(c *Config) { c.Tables = map[string]Shape{"shop.a.b": {Mode: "x"}} },
		`tables.orders: must be named database.table`:         func(c *Config) { c.Tables = map[string]Shape{"orders": {}} },
		`tables.shop.a.order_by: a changelog is ordered by`:   func(c *Config) { c.Tables = map[string]Shape{"shop.a": {Mode: Changelog, OrderBy: []string{"a"}}} },
		`tables.shop.a.order_by: "a" must be the name of a`:   func(c *Config) { c.Tables = map[string]Shape{"shop.a": {OrderBy: []string{"a", "a"}}} },
		`tables.shop.a.settings.A B: is no setting`:           func(c *Config) { c.Tables = map[string]Shape{"shop.a": {Settings: map[string]string{"A B": "1"}}} },
		`deletes: "soft" is for mode: mirror; in mode change`: func(c *Config) { c.Mode, c.Deletes.Mode = Changelog, SoftDeletes },
		`deletes.when: says which deletions are soft or`:      func(c *Config) { c.Deletes = Deletes{ApplyDeletes, new(where.Expr)} },
		`schema_change: "evolve" is for mode: mirror; mode`:   func(c *Config) { c.Mode, c.SchemaChange.Other = Changelog, evolve },
		`tables.shop.a.schema_change: "x" must be lenient`:    func(c *Config) { c.Tables = map[string]Shape{"shop.a": {SchemaChange: SchemaChange{Other: "x"}}} },
		`schema_change.add: there is no such event; there`:    func(c *Config) { c.SchemaChange.Events = map[string]string{"add": exception} },
		`schema_change.truncate: "ignore" is for columns; s`:  func(c *Config) { c.SchemaChange.Events = map[string]string{"truncate": "ignore"} },
		`deletes: "drop" must be apply, soft or ignore`:       func(c *Config) { c.Deletes.Mode = "drop" },
		`ttl: a mirror has the source's rows`:                 func(c *Config) { c.TTL = "toDateTime(_ts)" },
		`partition_by: "id) ORDER BY (x" is no expression`:    func(c *Config) { c.PartitionBy = "id) ORDER BY (x" },
		`partition_by: "f(id" is no expression: a ( is not`:   func(c *Config) { c.PartitionBy = "f(id" },
		`partition_by: "id, x" is no expression: a comma`:     func(c *Config) { c.PartitionBy = "id, x" },
		`partition_by: "id; x" is no expression: ';' stand`:   func(c *Config) { c.PartitionBy = "id; x" },
		`partition_by: "id -- x" is no expression: a comme`:   func(c *Config) { c.PartitionBy = "id -- x" },
		`partition_by: "'id" is no expression: its ' is not`:  func(c *Config) { c.PartitionBy = "'id" },
	} {
		c := DefaultConfig()
		c.Address = []string{"ch1:9000"}
		change(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, not %s", err, want)
		}
	}
}

func TestNamesInExpressions(t *testing.T) {
	for text, want := range map[string]string{
		"id":                             "id",
		"toYYYYMM(created)":              "created",
		"(toYYYYMM(`my col`), x % 3)":    "my col|x",
		`"a""b"`:                         "a|b",
		"concat('it''s', 'x\\'y', name)": "name",
		"intDiv ( id, 10 )":              "id",
		"größe + 1e3":                    "größe",
		"cityHash64(a, b) % 8":           "a|b",
		"":                               "",
	} {
		if got := strings.Join(identifiers(text), "|"); got != want {
			t.Errorf("%s names %s and not %s", text, got, want)
		}
	}
}

// An expression that is taken is closed where it ends: the pieces' parentheses say so, whatever
// is in its quotes.
func FuzzAnExpressionEndsWhereItEnds(f *testing.F) {
	for _, s := range []string{"id", "f(a, 'b)')", "`(`", "a) x (b", "x -- y", "'\\'", "a /* b", "f(((", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if isWhole(s) != nil {
			return
		}
		depth, quote := 0, byte(0)
		for i := 0; i < len(s); i++ {
			switch c := s[i]; {
			case quote != 0 && c == '\\':
				i++
			case quote != 0:
				if c == quote {
					quote = 0
				}
			case c == '\'' || c == '`' || c == '"':
				quote = c
			case c == '(':
				depth++
			case c == ')':
				depth--
			case c == ';' || c < ' ' && c != '\t':
				t.Fatalf("%q has %q outside of quotes", s, c)
			}
			if depth < 0 {
				t.Fatalf("%q closes what it has not opened", s)
			}
		}
		if depth != 0 || quote != 0 {
			t.Fatalf("%q does not end: depth %d, quote %q", s, depth, quote)
		}
	})
}
