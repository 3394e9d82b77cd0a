package file

import (
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
)

func TestDecimalsAgreeWithBigIntegers(t *testing.T) {
	for seed := range uint64(3) {
		rng := rand.New(rand.NewPCG(seed, 1))
		for range 20000 {
			prec := 1 + rng.IntN(38)
			scale := rng.IntN(prec + 1)
			n := new(big.Int)
			for range 1 + rng.IntN(prec) {
				n.Mul(n, big.NewInt(10)).Add(n, big.NewInt(rng.Int64N(10)))
			}
			if rng.IntN(2) == 0 {
				n.Neg(n)
			}
			digits := new(big.Int).Abs(n).String()
			digits = strings.Repeat("0", max(0, scale+1-len(digits))) + digits
			text := digits[:len(digits)-scale]
			if scale > 0 {
				text += "." + digits[len(digits)-scale:]
			}
			if n.Sign() < 0 {
				text = "-" + text
			}
			var a Arena
			typ := DecimalType(prec, scale)
			v, err := encodeDecimal(typ, []byte(text), &a)
			if err != nil {
				t.Fatalf("seed %d: %s as decimal(%d,%d): %v", seed, text, prec, scale, err)
			}
			if got := string(AppendText(nil, typ, v)); got != text {
				t.Fatalf("seed %d: %s came back as %s", seed, text, got)
			}
			if typ.Kind == Dec128 && wholeOf(v.ByteArray()).Cmp(n) != 0 {
				t.Fatalf("seed %d: %s is stored as %x", seed, text, v.ByteArray())
			}
		}
	}
	for _, bad := range []string{"", "-", ".", "1e5", "1.234", "100", "1..2", "0x1", "99999999999999999999999999999999999999999"} {
		if _, err := encodeDecimal(DecimalType(4, 2), []byte(bad), &Arena{}); err == nil {
			t.Errorf("%q fits decimal(4,2)", bad)
		}
	}
}

func TestDaysAgreeWithTheCalendar(t *testing.T) {
	for d := -719162; d < 2932897; d += 97 {
		y, m, day := time.Unix(int64(d)*86400, 0).UTC().Date()
		if got := daysOf(y, int(m), day); got != d {
			t.Fatalf("%d-%d-%d is day %d, not %d", y, m, day, got, d)
		}
		if !isDay(y, int(m), day) {
			t.Fatalf("%d-%d-%d is said to be no day", y, m, day)
		}
	}
	for _, c := range [][3]int{{0, 1, 1}, {2026, 0, 1}, {2026, 1, 0}, {2026, 2, 29}, {1900, 2, 29}, {2026, 4, 31}, {2026, 13, 1}} {
		if isDay(c[0], c[1], c[2]) {
			t.Errorf("%v is said to be a day", c)
		}
	}
}

func TestValuesTakeAnotherType(t *testing.T) {
	long, text, double := Type{Kind: Long}, Type{Kind: String}, Type{Kind: Double}
	civil, date := Type{Kind: Civil}, Type{Kind: Date}
	for _, c := range []struct {
		from Type
		in   parquet.Value
		to   Type
		want string
	}{
		{long, parquet.Int64Value(-7), text, "-7"},
		{long, parquet.Int64Value(-7), DecimalType(20, 0), "-7"},
		{long, parquet.Int64Value(7), DecimalType(5, 2), "7.00"},
		{long, parquet.Int64Value(70000), DecimalType(5, 2), "NULL"},
		{DecimalType(9, 4), parquet.Int32Value(12345), DecimalType(9, 2), "1.23"},
		{DecimalType(9, 4), parquet.Int32Value(12350), DecimalType(9, 2), "1.24"},
		{DecimalType(9, 4), parquet.Int32Value(-12350), DecimalType(30, 2), "-1.24"},
		{DecimalType(9, 1), parquet.Int32Value(-5), long, "-1"},
		{text, parquet.ByteArrayValue([]byte("12.6")), long, "13"},
		{text, parquet.ByteArrayValue([]byte("x")), long, "NULL"},
		{text, parquet.ByteArrayValue([]byte("2.5")), double, "2.5"},
		{double, parquet.DoubleValue(1e21), text, "1e+21"},
		{civil, parquet.Int64Value(-1), date, "1969-12-31"},
		{date, parquet.Int32Value(1), civil, "1970-01-02 00:00:00"},
		{Type{Kind: Binary}, parquet.ByteArrayValue([]byte("\xff")), text, "NULL"},
		{text, parquet.ByteArrayValue([]byte("a")), date, "NULL"},
	} {
		out := Convert(c.from, c.to, c.in, &Arena{})
		got := "NULL"
		if !out.IsNull() {
			got = string(AppendText(nil, c.to, out))
		}
		if got != c.want {
			t.Errorf("%s %v as %s: %s, not %s", c.from.Delta(), c.in, c.to.Delta(), got, c.want)
		}
	}
}

func TestTextAboveIsAbove(t *testing.T) {
	for _, c := range []struct{ in, want string }{{"a", "b"}, {"\U0010ffff", ""}, {"a\U0010ffff", "b"}, {"\ud7ff", "\ue000"}, {"", ""}} {
		if got := string(textAbove([]byte(c.in))); got != c.want {
			t.Errorf("%q: %q, not %q", c.in, got, c.want)
		}
	}
}
