package clickhouse

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/clickhouse/column"
)

// typeCase is a source column, values as they are captured, and what a reader is to see, in
// the form of pipeline.Cell.
type typeCase struct {
	col  event.Column
	in   []any
	want []string
	typ  string // in the target
	// exact, where it is not want, is what stands beside values that the column can't hold.
	exact []string
}

func i64(n int64) value      { return func(b *event.ImageBuilder) { b.AppendInt(n) } }
func u64(n uint64) value     { return func(b *event.ImageBuilder) { b.AppendUint(n) } }
func f32(n float32) value    { return func(b *event.ImageBuilder) { b.AppendFloat(n) } }
func f64(n float64) value    { return func(b *event.ImageBuilder) { b.AppendDouble(n) } }
func date(y, m, d int) value { return func(b *event.ImageBuilder) { b.AppendDate(y, m, d) } }
func civil(c event.Civil) value {
	return func(b *event.ImageBuilder) { b.AppendDateTime(c) }
}
func instant(n int64) value { return func(b *event.ImageBuilder) { b.AppendTimestamp(n) } }
func clock(n int64) value   { return func(b *event.ImageBuilder) { b.AppendTime(n) } }
func raw(s string) value    { return func(b *event.ImageBuilder) { b.AppendBytes([]byte(s)) } }

func noTime() value { return func(b *event.ImageBuilder) { b.AppendZeroTimestamp() } }

func whole(typ event.Type, bytes int) event.Column {
	return event.Column{Type: typ, Precision: bytes}
}

func typeCases() []typeCase {
	dec := func(p, s int) event.Column { return event.Column{Type: event.TypeDecimal, Precision: p, Scale: s} }
	scaled := func(t event.Type, s int) event.Column { return event.Column{Type: t, Scale: s} }
	last := event.Civil{Year: 9999, Month: 12, Day: 31, Hour: 23, Minute: 59, Second: 59}
	micro := last
	micro.Micro = 999999
	return []typeCase{
		{whole(event.TypeInt, 1), []any{i64(-128), i64(127)}, []string{"-128", "127"}, "Int8", nil},
		{whole(event.TypeInt, 2), []any{i64(-32768), i64(32767)}, []string{"-32768", "32767"}, "Int16", nil},
		{whole(event.TypeInt, 3), []any{i64(-8388608), i64(8388607)}, []string{"-8388608", "8388607"}, "Int32", nil},
		{whole(event.TypeInt, 4), []any{i64(-2147483648), i64(2147483647)}, []string{"-2147483648", "2147483647"}, "Int32", nil},
		{whole(event.TypeInt, 8), []any{i64(-9223372036854775808), i64(9223372036854775807)}, []string{"-9223372036854775808", "9223372036854775807"}, "Int64", nil},
		{whole(event.TypeUint, 1), []any{u64(0), u64(255)}, []string{"0", "255"}, "UInt8", nil},
		{whole(event.TypeUint, 3), []any{u64(0), u64(16777215)}, []string{"0", "16777215"}, "UInt32", nil},
		{whole(event.TypeUint, 8), []any{u64(0), u64(18446744073709551615)}, []string{"0", "18446744073709551615"}, "UInt64", nil},
		{dec(9, 2), []any{"-9999999.99", "12.50", "0.00"}, []string{"-9999999.99", "12.50", "0.00"}, "Decimal(9, 2)", nil},
		{dec(18, 4), []any{"-99999999999999.9999", "0.0001"}, []string{"-99999999999999.9999", "0.0001"}, "Decimal(18, 4)", nil},
		{dec(19, 0), []any{"-9999999999999999999", "7"}, []string{"-9999999999999999999", "7"}, "Decimal(19, 0)", nil},
		{dec(38, 10), []any{"-9999999999999999999999999999.9999999999", "-0.0000000001"}, []string{"-9999999999999999999999999999.9999999999", "-0.0000000001"}, "Decimal(38, 10)", nil},
		{dec(65, 30), []any{"12345678901234567890123456789012345.000000000000000000000000000001", "-99999999999999999999999999999999999.999999999999999999999999999999"},
			[]string{"12345678901234567890123456789012345.000000000000000000000000000001",
				"-99999999999999999999999999999999999.999999999999999999999999999999"}, "Decimal(65, 30)", nil},
		{event.Column{Type: event.TypeFloat}, []any{f32(1.5), f32(-3.4e38), f32(0.1)}, []string{"1.5", "-3.4e+38", "0.1"}, "Float32", nil},
		{event.Column{Type: event.TypeDouble}, []any{f64(0.1), f64(-1e300), f64(5e-324)}, []string{"0.1", "-1e+300", "5e-324"}, "Float64", nil},
		{event.Column{Type: event.TypeDate}, []any{date(2026, 8, 21), date(1900, 1, 1), date(2299, 12, 31), date(1969, 12, 31)}, []string{"2026-08-21", "1900-01-01", "2299-12-31", "1969-12-31"}, "Date32", nil},
		// Beyond what the type holds: the nearest; no day: NULL.
		{event.Column{Type: event.TypeDate}, []any{date(9999, 12, 31), date(1000, 1, 1), date(0, 0, 0), date(2026, 2, 30), date(2026, 0, 1)}, []string{"2299-12-31", "1900-01-01", "NULL", "NULL", "NULL"}, "Date32", []string{"9999-12-31", "1000-01-01", "0000-00-00", "2026-02-30", "2026-00-01"}},
		{scaled(event.TypeDateTime, 0), []any{civil(last), civil(event.Civil{Year: 1000, Month: 1, Day: 1})}, []string{"9999-12-31 23:59:59.000000", "1000-01-01 00:00:00.000000"}, "DateTime64(0, 'UTC')", nil},
		{scaled(event.TypeDateTime, 6), []any{civil(micro), civil(event.Civil{Year: 1677, Month: 1, Day: 1, Micro: 1}), civil(event.Civil{})}, []string{"9999-12-31 23:59:59.999999", "1677-01-01 00:00:00.000001", "NULL"}, "DateTime64(6, 'UTC')", []string{"9999-12-31 23:59:59.999999", "1677-01-01 00:00:00.000001", "0000-00-00 00:00:00.000000"}},
		{scaled(event.TypeTimestamp, 0), []any{instant(1_000_000), noTime(), instant(2147483647000000)}, []string{"1970-01-01 00:00:01.000000", "NULL", "2038-01-19 03:14:07.000000"}, "DateTime64(0, 'UTC')", []string{"1970-01-01 00:00:01.000000", "0000-00-00 00:00:00.000000", "2038-01-19 03:14:07.000000"}},
		{scaled(event.TypeTimestamp, 3), []any{instant(1700000000123000)}, []string{"2023-11-14 22:13:20.123000"}, "DateTime64(3, 'UTC')", nil},
		{scaled(event.TypeTime, 6), []any{clock(-3020399000001), clock(0), clock(3020399999999), clock(-1)}, []string{"-3020399000001", "0", "3020399999999", "-1"}, "Time64(6)", nil},
		{scaled(event.TypeTime, 0), []any{clock(-3020399000000), clock(86400000000)}, []string{"-3020399000000", "86400000000"}, "Time64(0)", nil},
		{event.Column{Type: event.TypeYear}, []any{u64(1901), u64(2155), u64(0)}, []string{"1901", "2155", "0"}, "UInt16", nil},
		{event.Column{Type: event.TypeText}, []any{"", "zażółć 𝄞 \"x\"\\ \x00'`\n"}, []string{"", "zażółć 𝄞 \"x\"\\ \x00'`\n"}, "String", nil},
		{event.Column{Type: event.TypeBinary, Native: "varbinary(8)"}, []any{raw("\x00\xff"), raw("")}, []string{"00ff", ""}, "String", nil},
		{event.Column{Type: event.TypeBinary, Native: "vector(3)"}, []any{raw("\x00\x00\x80\x3f\x00\x00\x00\x00\x00\x00\x80\xbf")}, []string{"0000803f00000000000080bf"}, "Array(Float32)", nil},
		{event.Column{Type: event.TypeEnum, Members: []string{"a", "b,c"}}, []any{u64(1), u64(2), u64(0)}, []string{"a", "b,c", ""}, "LowCardinality(String)", nil},
		{event.Column{Type: event.TypeSet, Members: []string{"x", "y", "z"}}, []any{u64(5), u64(0)}, []string{"x,z", ""}, "String", nil},
		{event.Column{Type: event.TypeBit, Length: 1}, []any{u64(1), u64(0)}, []string{"1", "0"}, "UInt64", nil},
		{event.Column{Type: event.TypeBit, Length: 64}, []any{u64(1 << 63)}, []string{"9223372036854775808"}, "UInt64", nil},
		{event.Column{Type: event.TypeJSON}, []any{`{"a": [1, 2.50]}`, `null`}, []string{`{"a": [1, 2.50]}`, `null`}, "String", nil},
		{event.Column{Type: event.TypeGeometry, Native: "point"}, []any{func() value {
			return func(b *event.ImageBuilder) { b.AppendGeometry(4326, []byte{1, 2}) }
		}()}, []string{"e61000000102"}, "String", nil},
	}
}

// Each type with its edges, NULL beside them, and as a column that has no NULL.
func TestEveryTypeIsShownAsTheSourceHasIt(t *testing.T) {
	c := targetOn(t, testenv.ClickHouse(t))
	for _, nullable := range []bool{true, false} {
		c.Table = fmt.Sprintf("types %v", nullable)
		columns := []event.Column{{ID: 1, Name: "id", Type: event.TypeInt, Native: "int", Precision: 4}}
		longest := 0
		var cases []typeCase
		for _, tc := range typeCases() {
			if !nullable && slices.Contains(tc.want, "NULL") {
				continue
			}
			col := tc.col
			col.ID, col.Name, col.Nullable = uint32(len(columns)+1), fmt.Sprintf("c%d", len(columns)), nullable
			columns, cases, longest = append(columns, col), append(cases, tc), max(longest, len(tc.in)+1)
		}
		m := schemas{}
		s := m.add(columns, 0)
		var list []event.Row
		want, precise := make([]string, longest), make([]string, longest)
		for n := range longest {
			vals, line, fine := []any{n}, fmt.Sprintf("id=%d", n), fmt.Sprintf("id=%d", n)
			for i, tc := range cases {
				v, text := any(nil), "NULL"
				switch {
				case n < len(tc.in):
					v, text = tc.in[n], tc.want[n]
				case !nullable:
					v, text = tc.in[0], tc.want[0]
				}
				vals, line = append(vals, v), line+fmt.Sprintf(" c%d=%s", i+1, text)
				if tc.exact != nil && n < len(tc.in) {
					text = tc.exact[n]
				}
				fine += fmt.Sprintf(" c%d=%s", i+1, text)
			}
			list = append(list, create(event.Seq(10+2*n), image(t, s, vals...)))
			want[n], precise[n] = line, fine
		}
		own(t, c, m, 1, false).write(0, rows(s, 0, list...)).flush()
		slices.Sort(want)
		slices.Sort(precise)
		same(t, c.Table, shows(t, c), want)
		same(t, c.Table+", exactly", exact(t, c), precise)
		signsOfAllTypes(t, c, m, s, list, precise)
		for i, tc := range cases {
			typ, err := column.Of(&columns[i+1], false, column.Options{Time64: true})
			if err != nil || typ.Name != tc.typ {
				t.Errorf("c%d: %s is %s and not %s: %v", i+1, tc.col.Native, typ.Name, tc.typ, err)
			}
		}
	}
}

// A value that a column can't hold is refused before anything of its row is kept, and named;
// what was written before it is not lost with it: it is given again.
func TestAValueThatTheTargetCannotHoldIsNamed(t *testing.T) {
	c := targetOn(t, testenv.ClickHouse(t))
	c.OutOfRange, c.ZeroDate = column.Error, column.Error
	m := schemas{}
	s := m.add([]event.Column{{ID: 1, Name: "id", Type: event.TypeDate, Native: "date"}, {ID: 2, Name: "d", Type: event.TypeDate, Native: "date", Nullable: true},
		{ID: 3, Name: "n", Type: event.TypeDecimal, Native: "decimal(4,2)", Precision: 4, Scale: 2}}, 0)
	good := []any{date(2026, 1, 1), date(2026, 1, 1), "1.00"}
	generation := uint64(0)
	for what, vals := range map[string][]any{
		"no day":        {date(2026, 1, 1), date(0, 0, 0), "1.00"},
		"out of range":  {date(2026, 1, 1), date(9999, 12, 31), "1.00"},
		"key":           {date(9999, 12, 31), nil, "1.00"},
		"too many":      {date(2026, 1, 1), nil, "123.45"},
		"not a decimal": {date(2026, 1, 1), nil, "1x"},
		"no null":       {date(2026, 1, 1), nil, nil},
	} {
		generation++
		o := own(t, c, m, generation, false)
		o.write(0, rows(s, 0, create(10, image(t, s, good...))))
		err := o.Write(t.Context(), queueID(0), rows(s, 10, create(12, image(t, s, vals...))))
		if !errors.Is(err, pipeline.ErrRecord) {
			t.Errorf("%s: %v", what, err)
		}
		if n, _ := o.Buffered(); n != 0 || len(o.Marks()) != 0 {
			t.Errorf("%s: %d rows are held, marks %v", what, n, o.Marks())
		}
	}
}
