package clickhouse

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/clickhouse/column"
)

// chosenCase is a source column in a type that was chosen: what its values are, what is shown of
// them, and what verification is told.
type chosenCase struct {
	native string
	col    event.Column
	as     string
	in     []any
	shown  []string
	exact  []string // where it is not what is shown
}

func chosenCases() []chosenCase {
	int1, int4, int8 := whole(event.TypeInt, 1), whole(event.TypeInt, 4), whole(event.TypeInt, 8)
	dec := event.Column{Type: event.TypeDecimal, Precision: 10, Scale: 2}
	char := event.Column{Type: event.TypeText, Length: 36}
	uuid := "61f0c404-5cb3-11e7-907b-a6006ad3dba0"
	uuidBytes := "\x61\xf0\xc4\x04\x5c\xb3\x11\xe7\x90\x7b\xa6\x00\x6a\xd3\xdb\xa0"
	at := event.Civil{Year: 2026, Month: 8, Day: 21, Hour: 1, Minute: 2, Second: 3}
	half := at
	half.Micro = 500000
	moments := event.Column{Type: event.TypeDateTime}
	return []chosenCase{
		{"tinyint(1)", int1, "Bool", []any{i64(1), i64(0), i64(2), i64(-1)}, []string{"1", "0", "1", "0"}, []string{"1", "0", "2", "-1"}},
		{"int", int4, "Int64", []any{i64(-2147483648), i64(7)}, []string{"-2147483648", "7"}, nil},
		{"bigint", int8, "Int16", []any{i64(32767), i64(32768), i64(-99999)}, []string{"32767", "32767", "-32768"}, []string{"32767", "32768", "-99999"}},
		{"bigint unsigned", whole(event.TypeUint, 8), "Int64", []any{u64(1), u64(1 << 63)}, []string{"1", "9223372036854775807"}, []string{"1", "9223372036854775808"}},
		{"int", int4, "UInt32", []any{i64(5), i64(-5)}, []string{"5", "0"}, []string{"5", "-5"}},
		{"bigint", int8, "Float64", []any{i64(1 << 53), i64(1<<53 + 1)}, []string{"9007199254740992", "9007199254740992"}, []string{"9007199254740992", "9007199254740993"}},
		{"int", int4, "Decimal(12, 2)", []any{i64(-12), i64(0)}, []string{"-12", "0"}, nil},
		{"int", int4, "String", []any{i64(-12)}, []string{"-12"}, nil},
		{"int", int4, "LowCardinality(String)", []any{i64(1), i64(2), i64(1)}, []string{"1", "2", "1"}, nil},
		{"bit(3)", event.Column{Type: event.TypeBit, Length: 3}, "UInt8", []any{u64(7)}, []string{"7"}, nil},
		{"year(4)", event.Column{Type: event.TypeYear}, "String", []any{u64(0), u64(2026)}, []string{"0", "2026"}, nil},
		{"decimal(10,2)", dec, "Float64", []any{"0.10", "-12345678.90", "0.00"}, []string{"0.10", "-12345678.90", "0.00"}, nil},
		{"decimal(10,2)", dec, "Float32", []any{"0.10", "16777217.00"}, []string{"0.10", "16777216.00"}, []string{"0.10", "16777217.00"}},
		{"decimal(10,2)", dec, "Decimal(20, 4)", []any{"1.50", "-99999999.99"}, []string{"1.50", "-99999999.99"}, nil},
		{"decimal(10,2)", dec, "Decimal(5, 1)", []any{"1.50", "1.55", "99999.00", "-12345.60"}, []string{"1.50", "1.50", "9999.90", "-9999.90"}, []string{"1.50", "1.55", "99999.00", "-12345.60"}},
		{"decimal(10,2)", dec, "Int64", []any{"3.00", "3.50"}, []string{"3.00", "3.00"}, []string{"3.00", "3.50"}},
		{"decimal(10,2)", dec, "String", []any{"-3.50"}, []string{"-3.50"}, nil},
		{"float", event.Column{Type: event.TypeFloat}, "Float64", []any{f32(0.1), f32(-1.5)}, []string{"0.1", "-1.5"}, nil},
		{"double", event.Column{Type: event.TypeDouble}, "Float32", []any{f64(1.5), f64(0.1)}, []string{"1.5", "0.10000000149011612"}, []string{"1.5", "0.1"}},
		{"double", event.Column{Type: event.TypeDouble}, "String", []any{f64(1e300)}, []string{"1e+300"}, nil},
		{"date", event.Column{Type: event.TypeDate}, "Date", []any{date(2026, 8, 21), date(1969, 12, 31)}, []string{"2026-08-21", "1970-01-01"}, []string{"2026-08-21", "1969-12-31"}},
		{"date", event.Column{Type: event.TypeDate}, "String", []any{date(9999, 12, 31), date(0, 0, 0)}, []string{"9999-12-31", "0000-00-00"}, nil},
		{"datetime(6)", event.Column{Type: event.TypeDateTime, Scale: 6}, "DateTime", []any{civil(at), civil(half)}, []string{"2026-08-21 01:02:03.000000", "2026-08-21 01:02:03.000000"},
			[]string{"2026-08-21 01:02:03.000000", "2026-08-21 01:02:03.500000"}},
		{"datetime", moments, "String", []any{civil(at)}, []string{"2026-08-21 01:02:03.000000"}, nil},
		{"datetime", moments, "DateTime64(3)", []any{civil(at)}, []string{"2026-08-21 01:02:03.000000"}, nil},
		{"timestamp", event.Column{Type: event.TypeTimestamp}, "DateTime('Europe/Berlin')", []any{instant(1_000_000), noTime()}, []string{"1970-01-01 00:00:01.000000", "NULL"},
			[]string{"1970-01-01 00:00:01.000000", "0000-00-00 00:00:00.000000"}},
		{"char(36)", char, "UUID", []any{uuid, strings.ToUpper(uuid), "no"}, []string{uuid, uuid, "NULL"}, []string{uuid, strings.ToUpper(uuid), "no"}},
		{"binary(16)", event.Column{Type: event.TypeBinary, Length: 16}, "UUID", []any{raw(uuidBytes)}, []string{"61f0c4045cb311e7907ba6006ad3dba0"}, nil},
		{"binary(3)", event.Column{Type: event.TypeBinary, Length: 3}, "FixedString(3)", []any{raw("\x00\xff\x00")}, []string{"00ff00"}, nil},
		{"varbinary(9)", event.Column{Type: event.TypeBinary, Length: 9}, "FixedString(2)", []any{raw("ab"), raw("\x01")}, []string{"6162", "0100"}, []string{"6162", "01"}},
		{"varchar(9)", char, "LowCardinality(String)", []any{"", "größe"}, []string{"", "größe"}, nil},
		{"varchar(9)", char, "Int32", []any{"12", "012", "x"}, []string{"12", "12", "NULL"}, []string{"12", "012", "x"}},
		{"varchar(9)", char, "Float64", []any{"1.5", "1.50"}, []string{"1.5", "1.5"}, []string{"1.5", "1.50"}},
		{"enum('a','b')", event.Column{Type: event.TypeEnum, Members: []string{"a", "b"}}, "String", []any{u64(2), u64(0)}, []string{"b", ""}, nil},
		{"set('x','y')", event.Column{Type: event.TypeSet, Members: []string{"x", "y"}}, "LowCardinality(String)", []any{u64(3)}, []string{"x,y"}, nil},
	}
}

// What a type holds that was chosen is read back as the source has it, and of what it does not hold
// the text is beside it.
func TestTypesThatAreChosen(t *testing.T) {
	d := testenv.ClickHouse(t)
	c := targetOn(t, d)
	columns, longest := []event.Column{{ID: 1, Name: "id", Type: event.TypeInt, Native: "int", Precision: 4}}, 0
	shape, cases := Shape{Columns: map[string]ColumnShape{"ID": {Type: "Int32"}}}, chosenCases()
	for i, tc := range cases {
		col := tc.col
		col.ID, col.Name, col.Native, col.Nullable = uint32(i+2), fmt.Sprintf("c%d", i), tc.native, true
		shape.Columns[strings.ToUpper(col.Name)] = ColumnShape{Type: tc.as}
		columns, longest = append(columns, col), max(longest, len(tc.in))
	}
	c = shaped(c, shape)
	c.Table = "chosen"
	m := schemas{}
	s := m.add(columns, 0)
	var list []event.Row
	want, precise := make([]string, longest), make([]string, longest)
	for n := range longest {
		vals, line, fine := []any{n}, fmt.Sprintf("id=%d", n), fmt.Sprintf("id=%d", n)
		for i, tc := range cases {
			v, text, exact := any(nil), "NULL", "NULL"
			if n < len(tc.in) {
				v, text, exact = tc.in[n], tc.shown[n], tc.shown[n]
				if tc.exact != nil {
					exact = tc.exact[n]
				}
			}
			vals, line, fine = append(vals, v), line+fmt.Sprintf(" c%d=%s", i, text), fine+fmt.Sprintf(" c%d=%s", i, exact)
		}
		list = append(list, create(event.Seq(10+2*n), image(t, s, vals...)))
		want[n], precise[n] = line, fine
	}
	own(t, c, m, 1, false).write(0, rows(s, 0, list...)).flush()
	own(t, c, m, 2, false) // reads the types back
	sameCells(t, shows(t, c), want)
	sameCells(t, exact(t, c), precise)
	conn, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var got string
	if err := conn.QueryRow(t.Context(), "SELECT arrayStringConcat(groupArray(type), '|') FROM (SELECT type FROM system.columns WHERE database = ? AND table = ? ORDER BY position)",
		c.Database, c.Table).Scan(&got); err != nil {
		t.Fatal(err)
	}
	types := []string{"Int32"}
	for _, tc := range cases {
		a, err := column.ParseAs(tc.as)
		if err != nil {
			t.Fatal(err)
		}
		name := "Nullable(" + a.Name + ")"
		if tc.as == "LowCardinality(String)" {
			name = "LowCardinality(Nullable(String))"
		}
		types = append(types, name)
	}
	same(t, "types", strings.Split(got, "|"), types)
}

// sameCells is same, cell by cell.
func sameCells(t *testing.T, got, want []string) {
	t.Helper()
	slices.Sort(want)
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) {
			t.Fatalf("%d rows and not %d", len(got), len(want))
		}
		a, b := strings.Split(got[i], " c"), strings.Split(want[i], " c")
		for k := range max(len(a), len(b)) {
			if k >= len(a) || k >= len(b) || a[k] != b[k] {
				t.Errorf("row %d: %q and not %q", i, a[min(k, len(a)-1)], b[min(k, len(b)-1)])
			}
		}
	}
}

// Types that can't be had stand the table by name: of a key those that don't hold each of its
// values, and of any column those in which its values have no form.
func TestTypesThatCanNotBeChosen(t *testing.T) {
	d := testenv.ClickHouse(t)
	m := schemas{}
	s := m.add([]event.Column{number(1, "id", 8), text(2, "v")}, 0)
	for want, c := range map[string]struct{ name, as string }{
		"type Float64 can't be chosen for column id of the key": {"id", "Float64"},
		"type Int32 can't be chosen for column id of the key":   {"id", "Int32"},
		"of the key, which is int: a key has no NULL":           {"id", "Nullable(Int64)"},
		"type Date can't be chosen for column v, which is text": {"v", "Date"},
		"columns of the sink names w, which the table does not": {"w", "String"},
	} {
		cfg := shaped(targetOn(t, d), Shape{Columns: map[string]ColumnShape{c.name: {Type: c.as}}})
		cfg.Table = "not " + c.name + " " + c.as
		err := own(t, cfg, m, 1, false).Write(t.Context(), queueID(0), rows(s, 0, create(10, image(t, s, 1, "a"))))
		if !errors.Is(err, pipeline.ErrRecord) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s %s: %v", c.name, c.as, err)
		}
	}
	cfg := shaped(targetOn(t, d), Shape{Columns: map[string]ColumnShape{"v": {Type: "DateTime('Nowhere/At_All')"}}})
	sink, err := New(cfg, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	problems, err := sink.Preflight(t.Context())
	if err != nil || !slices.ContainsFunc(problems, func(p pipeline.Problem) bool {
		return p.Fatal && p.Thing == "tables.shop.orders.columns.v.type" && strings.Contains(p.Found, "Nowhere/At_All")
	}) {
		t.Errorf("%v, %v", problems, err)
	}
}

// Another choice makes another column, which older rows fill as far as they can; that of a key's
// column is taken up by a snapshot. A renamed column keeps its choice.
func TestAChoiceIsChanged(t *testing.T) {
	d := testenv.ClickHouse(t)
	c, m := targetOn(t, d), schemas{}
	c.Table = "changed"
	amount := event.Column{ID: 2, Name: "amount", Type: event.TypeDecimal, Native: "decimal(10,2)", Precision: 10, Scale: 2, Nullable: true}
	renamed := amount
	renamed.Name = "sum"
	s, now := m.add([]event.Column{number(1, "id", 4), amount}, 0), m.add([]event.Column{number(1, "id", 4), renamed}, 0)
	o := own(t, c, m, 1, false).write(0, mark(event.KindBegin, s, 0, event.Mark{Seq: 4, Attempt: 4, Queues: 1}), mark(event.KindEnd, s, 4, event.Mark{Seq: 6, Attempt: 4, Queues: 1}),
		rows(s, 6, create(10, image(t, s, 1, "1.50")))).flush()
	c = shaped(c, Shape{Columns: map[string]ColumnShape{"amount": {Type: "Float64"}, "id": {Type: "String"}}})
	o = own(t, c, m, 2, false)
	same(t, "before a change", seen(t, d, c), []string{"(1,1.5)"})
	o.write(0, rows(s, 10, create(12, image(t, s, 2, "0.25"))), mark(event.KindDDL, now, 12, event.Mark{Seq: 14, Queues: 1, Old: s.ID}),
		rows(now, 14, update(16, image(t, now, 2, "0.25"), image(t, now, 2, "0.75")), create(18, image(t, now, 3, nil)))).flush()
	same(t, "behind it", shows(t, c), []string{"id=1 sum=1.50", "id=2 sum=0.75", "id=3 sum=NULL"})
	if got := typesOf(t, d, c); got != "id Int64, sum Nullable(Float64)" {
		t.Error(got)
	}
	o.write(0, mark(event.KindBegin, now, 18, event.Mark{Seq: 20, Attempt: 20, Queues: 1}),
		rows(now, 20, event.Row{Op: event.OpRead, Seq: 22, After: image(t, now, 1, "1.50")}), mark(event.KindEnd, now, 22, event.Mark{Seq: 24, Attempt: 20, Queues: 1})).flush()
	same(t, "behind a snapshot", shows(t, c), []string{"id=1 sum=1.50"})
	if got := typesOf(t, d, c); got != "id String, sum Nullable(Float64)" {
		t.Error(got)
	}
}

// typesOf are the view's columns.
func typesOf(t *testing.T, d testenv.ClickHouseDatabase, c Config) (text string) {
	t.Helper()
	conn, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.QueryRow(t.Context(), "SELECT arrayStringConcat(groupArray(concat(name, ' ', type)), ', ') FROM (SELECT name, type FROM system.columns WHERE database = ? AND table = ? ORDER BY position)",
		c.Database, c.Table).Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text
}
