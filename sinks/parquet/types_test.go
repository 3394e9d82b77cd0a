package parquet

import (
	"context"
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/parquet/file"
)

// column is one case: a source column, values as they are captured, and what readers of
// the target are to show.
type typeCase struct {
	col  event.Column
	in   []any
	want []any // as deltalake's rows print: numbers as text
	raw  []any
}

func typeCases() []typeCase {
	return []typeCase{
		{col: event.Column{Name: "tiny", Type: event.TypeInt, Precision: 1}, in: []any{-128, 0, 127}, want: []any{"-128", "0", "127"}},
		{col: event.Column{Name: "big", Type: event.TypeInt, Precision: 8}, in: []any{int64(-9223372036854775808), nil, int64(9223372036854775807)}, want: []any{"-9223372036854775808", nil, "9223372036854775807"}},
		{col: event.Column{Name: "ubig", Type: event.TypeUint, Precision: 8}, in: []any{uint64(18446744073709551615), uint64(0), nil}, want: []any{"18446744073709551615", "0", nil}},
		{col: event.Column{Name: "uint", Type: event.TypeUint, Precision: 4}, in: []any{uint64(4294967295), uint64(1), nil}, want: []any{"4294967295", "1", nil}},
		{col: event.Column{Name: "d9", Type: event.TypeDecimal, Precision: 9, Scale: 2}, in: []any{"-9999999.99", "0.00", "12.50"}, want: []any{"-9999999.99", "0.00", "12.50"}},
		{col: event.Column{Name: "d18", Type: event.TypeDecimal, Precision: 18, Scale: 4}, in: []any{"-12345678901234.5678", nil, "99999999999999.9999"}, want: []any{"-12345678901234.5678", nil, "99999999999999.9999"}},
		{col: event.Column{Name: "d38", Type: event.TypeDecimal, Precision: 38, Scale: 10}, in: []any{"-9999999999999999999999999999.9999999999", "-0.0000000001", "1.0000000000"},
			want: []any{"-9999999999999999999999999999.9999999999", "-1E-10", "1.0000000000"}},
		{col: event.Column{Name: "d65", Type: event.TypeDecimal, Precision: 65, Scale: 30}, in: []any{"12345678901234567890123456789012345.000000000000000000000000000001", nil, "-1.000000000000000000000000000000"},
			want: []any{"12345678901234567890123456789012345.000000000000000000000000000001", nil, "-1.000000000000000000000000000000"}},
		{col: event.Column{Name: "f", Type: event.TypeFloat}, in: []any{float32(1.5), float32(-3.4e38), nil}, want: []any{"1.5", "-3.3999999521443642e+38", nil}},
		{col: event.Column{Name: "dd", Type: event.TypeDouble}, in: []any{0.1, -1e300, 2.5}, want: []any{"0.1", "-1e+300", "2.5"}},
		{col: event.Column{Name: "day", Type: event.TypeDate}, in: []any{[3]int{2026, 8, 21}, [3]int{0, 0, 0}, [3]int{9999, 12, 31}},
			want: []any{"2026-08-21", nil, "9999-12-31"}, raw: []any{nil, "0000-00-00", nil}},
		{col: event.Column{Name: "dt6", Type: event.TypeDateTime, Scale: 6}, in: []any{event.Civil{Year: 1000, Month: 1, Day: 1}, event.Civil{Year: 2026, Month: 2, Day: 30, Hour: 3}, event.Civil{Year: 9999, Month: 12, Day: 31, Hour: 23, Minute: 59, Second: 59, Micro: 999999}},
			want: []any{"1000-01-01 00:00:00", nil, "9999-12-31 23:59:59.999999"}, raw: []any{nil, "2026-02-30 03:00:00.000000", nil}},
		{col: event.Column{Name: "ts", Type: event.TypeTimestamp}, in: []any{1, zeroTime{}, 2147483647000000}, want: []any{"1970-01-01 00:00:00.000001+00:00", nil, "2038-01-19 03:14:07+00:00"},
			raw: []any{nil, "0000-00-00 00:00:00", nil}},
		{col: event.Column{Name: "t", Type: event.TypeTime}, in: []any{-3020399000000, 0, 3020399999999}, want: []any{"-3020399000000", "0", "3020399999999"}},
		{col: event.Column{Name: "y", Type: event.TypeYear}, in: []any{2026, 0, 2155}, want: []any{"2026", "0", "2155"}},
		{col: event.Column{Name: "text", Type: event.TypeText}, in: []any{"", "zażółć 𝄞 \"x\"\\", "\U0010ffff and a text that is longer than the sixty-four bytes that count for the bounds of a column"},
			want: []any{"", "zażółć 𝄞 \"x\"\\", "\U0010ffff and a text that is longer than the sixty-four bytes that count for the bounds of a column"}},
		{col: event.Column{Name: "e", Type: event.TypeEnum, Members: []string{"a", "b,c"}}, in: []any{1, 2, 0}, want: []any{"a", "b,c", ""}},
		{col: event.Column{Name: "s", Type: event.TypeSet, Members: []string{"x", "y", "z"}}, in: []any{5, 0, 7}, want: []any{"x,z", "", "x,y,z"}},
		{col: event.Column{Name: "bit8", Type: event.TypeBit, Length: 8}, in: []any{255, 0, 1}, want: []any{"255", "0", "1"}},
		{col: event.Column{Name: "bit64", Type: event.TypeBit, Length: 64}, in: []any{uint64(1) << 63, 0, 1}, want: []any{"9223372036854775808", "0", "1"}},
		{col: event.Column{Name: "j", Type: event.TypeJSON}, in: []any{`{"a": [1, 2.50]}`, `null`, nil}, want: []any{`{"a": [1, 2.50]}`, `null`, nil}},
		// Names that the target cannot hold, or that differ by case from a technical one.
		{col: event.Column{Name: "_SEQ", Type: event.TypeInt, Precision: 4}, in: []any{1, 2, 3}, want: []any{"1", "2", "3"}},
		{col: event.Column{Name: "a b;c", Type: event.TypeInt, Precision: 4}, in: []any{1, 2, 3}, want: []any{"1", "2", "3"}},
		{col: event.Column{Name: "x.y", Type: event.TypeInt, Precision: 4}, in: []any{1, 2, 3}, want: []any{"1", "2", "3"}},
		{col: event.Column{Name: "größe", Type: event.TypeInt, Precision: 4}, in: []any{1, 2, 3}, want: []any{"1", "2", "3"}},
	}
}

func binaryCases() []typeCase {
	return []typeCase{
		{col: event.Column{Name: "bin", Type: event.TypeBinary, Length: 4}, in: []any{[]byte{0, 1, 0, 0}, []byte{}, nil}, want: []any{"00010000", "", nil}},
		{col: event.Column{Name: "geo", Type: event.TypeGeometry}, in: []any{point{4326, []byte{1, 2}}, nil, point{0, nil}}, want: []any{"e61000000102", nil, "00000000"}},
	}
}

// writeCases writes three rows with the cases' values and returns the table's directory.
func writeCases(t *testing.T, cases []typeCase) string {
	t.Helper()
	dir := t.TempDir()
	m := schemas{}
	s := event.Schema{Name: tableName, PrimaryKey: []int{0}}
	s.Columns = append(s.Columns, event.Column{ID: 1, Name: "id", Type: event.TypeInt, Precision: 4})
	for i, c := range cases {
		c.col.ID = uint32(i + 2)
		s.Columns = append(s.Columns, c.col)
	}
	schema := m.add(t, s)
	sink := testSink(t, vfs.OS(), testConfig(dir))
	table := open(t, sink, claim(m, 1))
	prev := event.Seq(0)
	for n := range 3 {
		vals := []any{n + 1}
		for _, c := range cases {
			vals = append(vals, c.in[n])
		}
		seq := event.Seq(10 * (n + 1))
		write(t, table, 0, rows(schema, prev, "gtid:1", create(seq, uint64(n), image(t, schema, vals...))))
		prev = seq
	}
	if got := flush(t, table); got.Rows != 3 {
		t.Fatalf("flushed %d rows", got.Rows)
	}
	return filepath.Join(dir, "p", DirName(tableName), "changes")
}

const dumpScript = `
import sys, json, datetime, decimal
from deltalake import DeltaTable
t = DeltaTable(sys.argv[1])
def show(v):
    if v is None: return None
    if isinstance(v, bytes): return v.hex()
    if isinstance(v, float): return repr(v)
    return str(v)
rows = t.to_pyarrow_table().to_pylist()
print(json.dumps([{k: show(v) for k, v in r.items()} for r in rows]))
`

func dump(t *testing.T, d *testenv.Deltalake, dir string) []map[string]*string {
	t.Helper()
	out, err := d.Run(context.Background(), dumpScript, dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []map[string]*string
	if err := json.Unmarshal(out, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestDeltalakeReadsEveryType(t *testing.T) {
	d := testenv.NewDeltalake(t)
	for name, cases := range map[string][]typeCase{"with bounds": typeCases(), "with bytes": append(typeCases(), binaryCases()...)} {
		t.Run(name, func(t *testing.T) {
			got := dump(t, d, writeCases(t, cases))
			if len(got) != 3 {
				t.Fatalf("%d rows", len(got))
			}
			byID := map[string]map[string]*string{}
			for _, r := range got {
				byID[*r["id"]] = r
			}
			for n, id := range []string{"1", "2", "3"} {
				for _, c := range cases {
					check(t, c.col.Name, byID[id], file.ColumnName(c.col.Name), c.want[n])
					if c.raw != nil {
						check(t, c.col.Name+" as text", byID[id], file.ColumnName(c.col.Name)+file.RawSuffix, c.raw[n])
					}
				}
			}
		})
	}
}

func check(t *testing.T, what string, row map[string]*string, name string, want any) {
	t.Helper()
	got, ok := row[name]
	switch {
	case !ok:
		t.Errorf("%s: no column %s", what, name)
	case want == nil && got != nil:
		t.Errorf("%s: %q, not NULL", what, *got)
	case want != nil && (got == nil || *got != want):
		t.Errorf("%s: %v, not %q", what, text(got), want)
	}
}

func text(s *string) string {
	if s == nil {
		return "NULL"
	}
	return *s
}

var _ = time.Second
