package column

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	driver "github.com/ClickHouse/clickhouse-go/v2/lib/column"

	"github.com/millrace/millrace/pipeline/event"
)

func TestTypes(t *testing.T) {
	vector := col(event.TypeBinary, native("VECTOR(3)"), nullable)
	for _, c := range []struct {
		col  event.Column
		key  bool
		o    Options
		want string
	}{
		{col(event.TypeInt, sized(1, 0)), false, Options{}, "Int8"},
		{col(event.TypeInt, sized(3, 0), nullable), false, Options{}, "Nullable(Int32)"},
		{col(event.TypeInt, sized(1, 0)), true, Options{}, "Int64"},
		{col(event.TypeUint, sized(2, 0), nullable), true, Options{}, "Nullable(UInt64)"},
		{col(event.TypeUint, sized(2, 0)), false, Options{}, "UInt16"},
		{col(event.TypeBit, sized(1, 0)), false, Options{}, "UInt64"},
		{col(event.TypeYear), true, Options{}, "UInt16"},
		{col(event.TypeDecimal, sized(9, 9)), false, Options{}, "Decimal(9, 9)"},
		{col(event.TypeDecimal, sized(65, 30), nullable), false, Options{}, "Nullable(Decimal(65, 30))"},
		{col(event.TypeDecimal, sized(77, 0)), false, Options{}, "String"},
		{col(event.TypeDecimal, sized(5, 6)), false, Options{}, "String"},
		{col(event.TypeDate), false, Options{}, "Date32"},
		{col(event.TypeDateTime, sized(0, 3)), false, Options{}, "DateTime64(3, 'UTC')"},
		{col(event.TypeTimestamp, sized(0, 6)), false, Options{}, "DateTime64(6, 'UTC')"},
		{col(event.TypeTime, sized(0, 2)), false, Options{Time64: true}, "Time64(2)"},
		{col(event.TypeTime, sized(0, 2)), false, Options{}, "Int64"},
		{col(event.TypeEnum, nullable), false, Options{}, "LowCardinality(Nullable(String))"},
		{col(event.TypeEnum), false, Options{}, "LowCardinality(String)"},
		{col(event.TypeSet), false, Options{}, "String"},
		{col(event.TypeJSON, nullable), false, Options{}, "Nullable(String)"},
		{vector, false, Options{}, "Array(Float32)"},
		{col(event.TypeBinary, native("binary(3)")), false, Options{}, "String"},
	} {
		typ, err := Of(&c.col, c.key, c.o)
		if err != nil || typ.Text() != c.want || typ.Key != c.key {
			t.Errorf("%v, key %v: %s, key %v, %v, and not %s", c.col, c.key, typ.Text(), typ.Key, err, c.want)
		}
	}
	none := col(event.Type(200), native("mystery"))
	if _, err := Of(&none, false, Options{}); err == nil ||
		!strings.Contains(err.Error(), "column c has a type (mystery) that the target can't hold") {
		t.Errorf("a type that nobody knows: %v", err)
	}
	typ, err := Of(&vector, false, Options{})
	if err != nil || typ.OrNull().Nullable {
		t.Errorf("an Array with NULL: %v", err)
	}
	number := col(event.TypeInt, sized(4, 0))
	if typ, err = Of(&number, true, Options{}); err != nil || typ.OrNull().Text() != "Nullable(Int64)" || typ.OrNull().Key {
		t.Errorf("%s, %v", typ.OrNull().Text(), err)
	}
}

// The driver finds the same values, and NULL, whatever stands beside them; a buffer that was
// reset has none of before.
func TestValuesAreAsTheDriverReadsThem(t *testing.T) {
	day := time.Date(2026, 12, 1, 11, 22, 33, 0, time.UTC)
	for _, c := range []struct {
		col  event.Column
		in   []fill
		want string
	}{
		{col(event.TypeInt, sized(1, 0), nullable), []fill{anInt(-128), nil, anInt(127)}, "[-128 <nil> 127]"},
		{col(event.TypeInt, sized(8, 0)), []fill{anInt(math.MinInt64), anInt(math.MaxInt64)}, "[-9223372036854775808 9223372036854775807]"},
		{col(event.TypeUint, sized(8, 0), nullable), []fill{nil, aUint(math.MaxUint64)}, "[<nil> 18446744073709551615]"},
		{col(event.TypeText, nullable), []fill{aText(""), nil, aText("größe\x00")}, "[ <nil> größe\x00]"},
		{col(event.TypeEnum, members("a", "b"), nullable), []fill{aUint(2), nil, aUint(0), aUint(1), aUint(2)}, "[b <nil>  a b]"},
		{col(event.TypeEnum, members("a", "b")), []fill{aUint(2), aUint(1)}, "[b a]"},
		{col(event.TypeSet, members("a", "b", "c")), []fill{aUint(5), aUint(0)}, "[a,c ]"},
		{col(event.TypeDecimal, sized(4, 2), nullable), []fill{aText("-12.34"), nil, aText("0.05")}, "[-12.34 <nil> 0.05]"},
		{col(event.TypeDecimal, sized(65, 0)), []fill{aText("-" + strings.Repeat("9", 65))}, "[-" + strings.Repeat("9", 65) + "]"},
		{col(event.TypeDate), []fill{aDate(1900, 1, 1), aDate(2299, 12, 31), aDate(2024, 2, 29)}, "[1900-01-01 00:00:00 +0000 UTC 2299-12-31 00:00:00 +0000 UTC 2024-02-29 00:00:00 +0000 UTC]"},
		{col(event.TypeTimestamp, sized(0, 0)), []fill{anInstant(day.UnixMicro()), anInstant(-1_500_000)}, "[2026-12-01 11:22:33 +0000 UTC 1969-12-31 23:59:58 +0000 UTC]"},
		{col(event.TypeBinary, native("vector(2)"), nullable), []fill{bytesOf("\x00\x00\x80\x3f\x00\x00\x00\x40"), nil}, "[[1 2] []]"},
	} {
		typ, err := Of(&c.col, false, Options{Time64: true})
		if err != nil {
			t.Fatal(err)
		}
		b := NewBuffer(&c.col, typ, DefaultPolicy())
		for range 2 {
			for _, f := range c.in {
				if changed, err := b.Append(valueOf(t, c.col, f)); err != nil || changed != Kept {
					t.Fatalf("%s: %v, %v", typ.Text(), changed, err)
				}
			}
			got := received(t, b)
			for i, v := range got { // a Nullable gives a pointer
				if p := reflect.ValueOf(v); p.Kind() == reflect.Pointer && p.Type().Elem().Kind() != reflect.Struct {
					got[i] = nil
					if !p.IsNil() {
						got[i] = p.Elem().Interface()
					}
				} else if p.Kind() == reflect.Pointer && p.IsNil() {
					got[i] = nil
				}
			}
			if text := fmt.Sprint(got); text != c.want {
				t.Errorf("%s: %s, and not %s", typ.Text(), text, c.want)
			}
			if b.Size() == 0 {
				t.Errorf("%s: its values take no room", typ.Text())
			}
			b.Reset()
			if b.Rows() != 0 || b.Size() != 0 {
				t.Errorf("%s: %d rows are left", typ.Text(), b.Rows())
			}
		}
	}
}

// What a type can't hold follows the policy, and is told; the value of a key is refused.
func TestPolicies(t *testing.T) {
	civil := func(y, mo, d int) fill {
		return aDateTime(event.Civil{Year: y, Month: mo, Day: d, Hour: 23, Minute: 59, Second: 59, Micro: 999999})
	}
	for _, c := range []struct {
		col     event.Column
		in      fill
		policy  Policy
		key     bool
		want    string
		changed Changed
	}{
		{col(event.TypeDate), aDate(9999, 12, 31), Policy{Clamp, Null}, false, "2299-12-31", Clamped},
		{col(event.TypeDate), aDate(1000, 1, 1), Policy{Clamp, Null}, false, "1900-01-01", Clamped},
		{col(event.TypeDate, nullable), aDate(1000, 1, 1), Policy{Null, Null}, false, "", Nulled},
		{col(event.TypeDate), aDate(1000, 1, 1), Policy{Null, Null}, false, "1900-01-01", Clamped},
		{col(event.TypeDate), aDate(1000, 1, 1), Policy{Error, Null}, false, "out_of_range: error", 0},
		{col(event.TypeDate), aDate(1000, 1, 1), Policy{Clamp, Null}, true, "the value of a key can't be changed", 0},
		{col(event.TypeDate, nullable), aDate(0, 0, 0), Policy{Clamp, Null}, false, "", Nulled},
		{col(event.TypeDate), aDate(0, 0, 0), Policy{Clamp, Null}, false, "1970-01-01", Zeroed},
		{col(event.TypeDate, nullable), aDate(2026, 2, 30), Policy{Clamp, Epoch}, false, "1970-01-01", Zeroed},
		{col(event.TypeDate, nullable), aDate(2026, 2, 0), Policy{Clamp, Error}, false, "zero_date: error", 0},
		{col(event.TypeDate), aDate(2026, 0, 1), Policy{Clamp, Epoch}, true, "the value of a key can't be changed", 0},
		{col(event.TypeDateTime, sized(0, 6)), civil(9999, 12, 31), DefaultPolicy(), false, "9999-12-31", Kept},
		{col(event.TypeDateTime, sized(0, 6)), civil(999, 12, 31), DefaultPolicy(), false, "1000-01-01", Clamped},
		{col(event.TypeTimestamp), noInstant(), DefaultPolicy(), false, "1970-01-01", Zeroed},
		{col(event.TypeTimestamp, nullable), noInstant(), DefaultPolicy(), false, "", Nulled},
	} {
		typ, err := Of(&c.col, c.key, Options{})
		if err != nil {
			t.Fatal(err)
		}
		b := NewBuffer(&c.col, typ, c.policy)
		changed, err := b.Append(valueOf(t, c.col, c.in))
		if err != nil {
			if c.changed != 0 || !strings.Contains(err.Error(), c.want) || b.Rows() != 0 || b.Size() != 0 {
				t.Errorf("%s under %v: %v, %d rows", typ.Text(), c.policy, err, b.Rows())
			}
			continue
		}
		// The driver's times end in 2262: the numbers are looked at.
		got := ""
		switch {
		case len(b.nulls) == 1 && b.nulls[0] == 1:
		case c.col.Type == event.TypeDate:
			got = time.Unix(86400*int64(int32(word(b.raw))), 0).UTC().Format("2006-01-02")
		default:
			got = time.UnixMicro(int64(word(b.raw)) * pow10(6-typ.scale)).UTC().Format("2006-01-02")
		}
		if got != c.want || changed != c.changed {
			t.Errorf("%s under %v: %q, %d, and not %q, %d", typ.Text(), c.policy, got, changed, c.want, c.changed)
		}
	}
	for _, p := range []Policy{{"", Null}, {Epoch, Null}, {Clamp, Clamp}, {Clamp, ""}} {
		if p.Validate() == nil {
			t.Errorf("policy %v is taken", p)
		}
	}
}

// Nothing is kept of a value that is refused, and a block's column of another type is.
func TestWhatIsRefused(t *testing.T) {
	number := col(event.TypeInt, sized(4, 0))
	typ, err := Of(&number, false, Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := NewBuffer(&number, typ, DefaultPolicy())
	if _, err := b.Append(nil); err == nil || b.Rows() != 0 || b.Size() != 0 {
		t.Errorf("NULL in a column without: %v, %d rows", err, b.Rows())
	}
	other, err := driver.Type("Int64").Column("c", &driver.ServerContext{})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Into(other); err == nil || !strings.Contains(err.Error(), "column c is Int64 in the target and not Int32") {
		t.Errorf("another type: %v", err)
	}
	vector := col(event.TypeBinary, native("vector(1)"))
	if typ, err = Of(&vector, false, Options{}); err != nil {
		t.Fatal(err)
	}
	b = NewBuffer(&vector, typ, DefaultPolicy())
	if _, err := b.Append(event.Value("abc")); err == nil || b.Rows() != 0 || b.Size() != 0 {
		t.Errorf("a vector of three bytes: %v, %d rows", err, b.Rows())
	}
}

func TestConstants(t *testing.T) {
	for _, c := range []struct {
		col  event.Column
		in   fill
		want string
	}{
		{col(event.TypeInt, sized(8, 0)), anInt(math.MinInt64), "-9223372036854775808"},
		{col(event.TypeUint, sized(8, 0)), aUint(math.MaxUint64), "18446744073709551615"},
		{col(event.TypeText), aText(`it's \ größe`), "unhex('69742773205c206772c3b6c39f65')"},
		{col(event.TypeDecimal, sized(5, 2)), aText("-1.50"), "CAST('-1.50', 'Decimal(5, 2)')"},
		{col(event.TypeDate), aDate(2024, 2, 29), "toDate32('2024-02-29')"},
		{col(event.TypeDate), aDate(1000, 1, 1), "toDate32('1900-01-01')"},
		{col(event.TypeDate, nullable), aDate(0, 0, 0), "NULL"},
		{col(event.TypeDateTime, sized(0, 3)), aDateTime(event.Civil{Year: 1969, Month: 12, Day: 31, Hour: 23, Minute: 59, Second: 59, Micro: 500000}), "toDateTime64('1969-12-31 23:59:59.500000', 3, 'UTC')"},
		{col(event.TypeTime), aTime(-3_600_000_000), "-3600000000"},
		{col(event.TypeEnum, members("it's")), aUint(1), `'it\'s'`},
		{col(event.TypeSet, members("a", "b")), aUint(3), "'a,b'"},
		{col(event.TypeEnum, members("a"), nullable), nil, "NULL"},
	} {
		typ, err := Of(&c.col, false, Options{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := Literal(&c.col, typ, valueOf(t, c.col, c.in), DefaultPolicy())
		if err != nil || got != c.want {
			t.Errorf("%s: %s, %v, and not %s", typ.Text(), got, err, c.want)
		}
	}
}

// Every pair of types has a conversion that the server can compute of any value, or none.
func TestConversions(t *testing.T) {
	var types []Type
	for _, c := range []event.Column{col(event.TypeInt, sized(4, 0)), col(event.TypeInt, sized(8, 0), nullable), col(event.TypeText), col(event.TypeEnum),
		col(event.TypeDate, nullable), col(event.TypeTime), col(event.TypeBinary, native("vector(2)"))} {
		typ, err := Of(&c, false, Options{Time64: true})
		if err != nil {
			t.Fatal(err)
		}
		types = append(types, typ)
	}
	var got []string
	for _, from := range types {
		for _, to := range types {
			text := Cast(from, to, "`x`")
			none := from.kind == kindVector || to.kind == kindVector || from.kind != to.kind && (from.Name == "Int64" || to.Name == "Int64") &&
				(from.kind == kindTime || to.kind == kindTime)
			if none != (text == "") {
				t.Errorf("%s to %s: %q", from.Text(), to.Text(), text)
			}
			if !to.Nullable && text == "`x`" || strings.Count(text, "(") != strings.Count(text, ")") {
				t.Errorf("%s to %s: %q", from.Text(), to.Text(), text)
			}
			got = append(got, text)
		}
	}
	for _, want := range []string{
		"`x`", "ifNull(`x`, defaultValueOfTypeName('Int32'))", "ifNull(CAST(`x`, 'Nullable(String)'), defaultValueOfTypeName('String'))",
		"ifNull(accurateCastOrNull(`x`, 'Date32'), NULL)", "CAST(ifNull(`x`, defaultValueOfTypeName('Time64(0)')), 'Time64(0)')",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("no pair is converted by %s", want)
		}
	}
}
