package chserver_test

import (
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/chcol"

	"github.com/millrace/millrace/internal/testenv"
)

// typeCase is a type with values that go in and come back. Text is how the engine writes them:
// what has reached it.
type typeCase struct {
	name string
	in   []any
	text []string
}

func utc(s string) time.Time {
	t, err := time.Parse("2006-01-02 15:04:05.999999999", s)
	if err != nil {
		panic(err)
	}
	return t.UTC()
}

func ptr[T any](v T) *T { return &v }

func bigInt(s string) *big.Int {
	n, ok := new(big.Int).SetString(s, 10)
	if !ok {
		panic(s)
	}
	return n
}

func typeCases() []typeCase {
	long := strings.Repeat("ü", 200_000)
	return []typeCase{
		{name: "Int8", in: []any{int8(-128), int8(127)}, text: []string{"-128", "127"}},
		{name: "Int16", in: []any{int16(-32768)}, text: []string{"-32768"}},
		{name: "Int32", in: []any{int32(math.MinInt32)}, text: []string{"-2147483648"}},
		{name: "Int64", in: []any{int64(math.MinInt64), int64(math.MaxInt64)}, text: []string{"-9223372036854775808", "9223372036854775807"}},
		{name: "UInt8", in: []any{uint8(255)}, text: []string{"255"}},
		{name: "UInt16", in: []any{uint16(65535)}, text: []string{"65535"}},
		{name: "UInt32", in: []any{uint32(math.MaxUint32)}, text: []string{"4294967295"}},
		{name: "UInt64", in: []any{uint64(math.MaxUint64)}, text: []string{"18446744073709551615"}},
		{name: "Int128", in: []any{bigInt("-170141183460469231731687303715884105728")}, text: []string{"-170141183460469231731687303715884105728"}},
		{name: "UInt256", in: []any{bigInt("115792089237316195423570985008687907853269984665640564039457584007913129639935")}, text: []string{"115792089237316195423570985008687907853269984665640564039457584007913129639935"}},
		{name: "Nullable(Int128)", in: []any{nil, bigInt("7")}, text: []string{"NULL", "7"}},
		{name: "Float32", in: []any{float32(1.5), float32(math.Inf(-1))}, text: []string{"1.5", "-inf"}},
		{name: "Float64", in: []any{0.1, math.MaxFloat64}, text: []string{"0.1", "1.7976931348623157e308"}},
		{name: "String", in: []any{"", "a\x00b\xff\n'\\", long}, text: []string{"", "a\x00b\xff\n'\\", long}},
		{name: "FixedString(4)", in: []any{"ab\x00\xff"}, text: []string{"ab\x00\xff"}},
		{name: "Date", in: []any{utc("2026-12-01 00:00:00")}, text: []string{"2026-12-01"}},
		{name: "Date32", in: []any{utc("1950-01-02 00:00:00"), utc("2299-12-31 00:00:00")}, text: []string{"1950-01-02", "2299-12-31"}},
		{name: "DateTime('UTC')", in: []any{utc("2026-12-01 01:02:03")}, text: []string{"2026-12-01 01:02:03"}},
		{name: "DateTime64(3, 'UTC')", in: []any{utc("1969-07-20 20:17:40.123")}, text: []string{"1969-07-20 20:17:40.123"}},
		{name: "DateTime64(6, 'UTC')", in: []any{utc("2026-12-01 01:02:03.123456")}, text: []string{"2026-12-01 01:02:03.123456"}},
		{name: "Nullable(DateTime64(9, 'UTC'))", in: []any{nil, utc("2026-12-01 01:02:03.123456789")}, text: []string{"NULL", "2026-12-01 01:02:03.123456789"}},
		{name: "Decimal(9, 4)", in: []any{"-12345.6789"}, text: []string{"-12345.6789"}},
		{name: "Decimal(18, 2)", in: []any{"9999999999999999.99"}, text: []string{"9999999999999999.99"}},
		{name: "Decimal(38, 10)", in: []any{"-9999999999999999999999999999.9999999999"}, text: []string{"-9999999999999999999999999999.9999999999"}},
		{name: "Decimal(76, 20)", in: []any{"99999999999999999999999999999999999999999999999999999999.12345678901234567891"}, text: []string{"99999999999999999999999999999999999999999999999999999999.12345678901234567891"}},
		{name: "Nullable(String)", in: []any{nil, ptr(""), ptr("x")}, text: []string{"NULL", "", "x"}},
		{name: "LowCardinality(String)", in: []any{"a", "b", "a", ""}, text: []string{"a", "b", "a", ""}},
		{name: "LowCardinality(Nullable(String))", in: []any{nil, ptr("a"), ptr("")}, text: []string{"NULL", "a", ""}},
		{name: "LowCardinality(FixedString(2))", in: []any{"ab", "cd"}, text: []string{"ab", "cd"}},
		{name: "Array(UInt64)", in: []any{[]uint64{1, 2}, []uint64{}}, text: []string{"[1,2]", "[]"}},
		{name: "Array(Array(String))", in: []any{[][]string{{"a"}, {}}, [][]string{}}, text: []string{"[['a'],[]]", "[]"}},
		{name: "Array(LowCardinality(String))", in: []any{[]string{"a", "b"}, []string{}}, text: []string{"['a','b']", "[]"}},
		{name: "Array(Nullable(Int32))", in: []any{[]*int32{nil, ptr(int32(1))}}, text: []string{"[NULL,1]"}},
		{name: "UUID", in: []any{"61f0c404-5cb3-11e7-907b-a6006ad3dba0"}, text: []string{"61f0c404-5cb3-11e7-907b-a6006ad3dba0"}},
		{name: "Bool", in: []any{true, false}, text: []string{"true", "false"}},
		{name: "Map(LowCardinality(String), Array(UInt8))", in: []any{map[string][]uint8{"k": {1, 2}}, map[string][]uint8{}}, text: []string{"{'k':[1,2]}", "{}"}},
		{name: "Enum8('new' = 1, 'paid (or so)' = -2)", in: []any{"paid (or so)", "new"}, text: []string{"paid (or so)", "new"}},
		{name: "Enum16('a' = 1000)", in: []any{"a"}, text: []string{"a"}},
		{name: "Tuple(UInt8, String)", in: []any{[]any{uint8(1), "x"}}, text: []string{"(1,'x')"}},
		{name: "Tuple(a UInt8, b Nullable(String))", in: []any{map[string]any{"a": uint8(1), "b": ptr("x")}}, text: []string{"(1,'x')"}},
		{name: "SimpleAggregateFunction(max, UInt64)", in: []any{uint64(9)}, text: []string{"9"}},
		{name: "IPv4", in: []any{netip.MustParseAddr("10.0.0.1")}, text: []string{"10.0.0.1"}},
		{name: "IPv6", in: []any{netip.MustParseAddr("2001:db8::1")}, text: []string{"2001:db8::1"}},
		{name: "JSON", in: []any{`{"a":1,"b":{"c":["x"]}}`, `{}`}, text: []string{`{"a":1,"b":{"c":["x"]}}`, `{}`}},
		{name: "Variant(String, UInt64)", in: []any{chcol.NewVariantWithType(uint64(7), "UInt64"), chcol.NewVariantWithType("x", "String"), nil}, text: []string{"7", "x", ""}},
		{name: "Array(Variant(Array(String), UInt64))", in: []any{[]chcol.Variant{chcol.NewVariantWithType([]string{"a"}, "Array(String)"), chcol.NewVariantWithType(uint64(1), "UInt64")}}, text: []string{"[['a'],1]"}},
		{name: "Dynamic", in: []any{chcol.NewDynamicWithType(uint64(7), "UInt64"), chcol.NewDynamicWithType("x", "String"), chcol.NewDynamicWithType([]string{"a"}, "Array(String)"), nil}, text: []string{"7", "x", "['a']", ""}},
		{name: "BFloat16", in: []any{float32(1.5)}, text: []string{"1.5"}},
	}
}

func TestEveryTypeGoesInAndComesBack(t *testing.T) {
	d := testenv.ClickHouse(t)
	for name, method := range map[string]clickhouse.CompressionMethod{"plain": clickhouse.CompressionNone, "lz4": clickhouse.CompressionLZ4, "zstd": clickhouse.CompressionZSTD} {
		t.Run(name, func(t *testing.T) {
			options, err := d.Options()
			if err != nil {
				t.Fatal(err)
			}
			options.Compression = &clickhouse.Compression{Method: method}
			options.MaxCompressionBuffer = 100_000 // so that a block takes several frames
			conn, err := clickhouse.Open(options)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for _, c := range typeCases() {
				t.Run(c.name, func(t *testing.T) { roundTrip(t, conn, c) })
			}
		})
	}
}

// roundTrip puts the values in with other columns on both sides, whose ends have to be found.
func roundTrip(t *testing.T, conn clickhouse.Conn, c typeCase) {
	ctx := t.Context()
	must(t, conn.Exec(ctx, "DROP TABLE IF EXISTS v SYNC"))
	must(t, conn.Exec(ctx, "CREATE TABLE v (n UInt32, v "+c.name+", behind String) ENGINE = MergeTree ORDER BY n SETTINGS allow_nullable_key = 1"))
	b, err := conn.PrepareBatch(ctx, "INSERT INTO v (n, v, behind)")
	must(t, err)
	for i, v := range c.in {
		if err := b.Append(uint32(i), v, fmt.Sprint("row ", i)); err != nil {
			t.Fatalf("append %v: %v", v, err)
		}
	}
	must(t, b.Send())
	rows, err := conn.Query(ctx, "SELECT n, v, behind, ifNull(toString(v), 'NULL') FROM v ORDER BY n")
	must(t, err)
	defer rows.Close()
	got := 0
	for ; rows.Next(); got++ {
		var n uint32
		var behind, text string
		value := reflect.New(rows.ColumnTypes()[1].ScanType())
		if err := rows.Scan(&n, value.Interface(), &behind, &text); err != nil {
			t.Fatal(err)
		}
		if text != c.text[n] {
			t.Errorf("row %d reached the engine as %.100q, not %.100q", n, text, c.text[n])
		}
		if want := fmt.Sprint("row ", n); behind != want {
			t.Errorf("row %d has %q behind it, not %q", n, behind, want)
		}
		if back := plainText(value.Elem().Interface()); back != plainText(c.in[n]) {
			t.Errorf("row %d came back as %.100q, went in as %.100q", n, back, plainText(c.in[n]))
		}
	}
	must(t, rows.Err())
	if got != len(c.in) {
		t.Errorf("%d rows of %d", got, len(c.in))
	}
}

// plainText writes values of different Go types for one column alike.
func plainText(v any) string {
	if r := reflect.ValueOf(v); r.Kind() == reflect.Pointer && r.IsNil() {
		return "NULL"
	}
	switch x := v.(type) {
	case nil:
		return "NULL"
	case *time.Time:
		return plainText(*x)
	case time.Time:
		return x.UTC().Format("2006-01-02 15:04:05.999999999")
	case chcol.Variant:
		return plainText(x.Any())
	case chcol.JSON:
		b, err := x.MarshalJSON()
		if err != nil {
			return err.Error()
		}
		return string(b)
	case fmt.Stringer:
		return x.String()
	}
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.Pointer:
		return plainText(r.Elem().Interface())
	case reflect.Slice, reflect.Array:
		var parts []string
		for i := range r.Len() {
			parts = append(parts, plainText(r.Index(i).Interface()))
		}
		return "[" + strings.Join(parts, " ") + "]"
	case reflect.Map:
		var parts []string
		for _, k := range r.MapKeys() {
			parts = append(parts, plainText(k.Interface())+":"+plainText(r.MapIndex(k).Interface()))
		}
		slices.Sort(parts)
		return "{" + strings.Join(parts, " ") + "}"
	}
	return fmt.Sprint(v)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
