package parquet

import (
	"bytes"
	"math/big"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/millrace/millrace/pipeline/event"
)

func TestDecimalsAgreeWithBigIntegers(t *testing.T) {
	for _, seed := range seeds(t, 3) {
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
			var a arena
			typ := decimalType(prec, scale)
			v, err := encodeDecimal(typ, []byte(text), &a)
			if err != nil {
				t.Fatalf("seed %d: %s as decimal(%d,%d): %v", seed, text, prec, scale, err)
			}
			if got := string(appendText(nil, typ, v)); got != text {
				t.Fatalf("seed %d: %s came back as %s", seed, text, got)
			}
			if typ.kind == kindDec128 && signed(v.ByteArray()).Cmp(n) != 0 {
				t.Fatalf("seed %d: %s is stored as %x", seed, text, v.ByteArray())
			}
		}
	}
	for _, bad := range []string{"", "-", ".", "1e5", "1.234", "100", "1..2", "0x1", "99999999999999999999999999999999999999999"} {
		if _, err := encodeDecimal(decimalType(4, 2), []byte(bad), &arena{}); err == nil {
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
	long, text, double := colType{kind: kindLong}, colType{kind: kindString}, colType{kind: kindDouble}
	civil, date := colType{kind: kindCivil}, colType{kind: kindDate}
	for _, c := range []struct {
		from colType
		in   parquet.Value
		to   colType
		want string
	}{
		{long, parquet.Int64Value(-7), text, "-7"},
		{long, parquet.Int64Value(-7), decimalType(20, 0), "-7"},
		{long, parquet.Int64Value(7), decimalType(5, 2), "7.00"},
		{long, parquet.Int64Value(70000), decimalType(5, 2), "NULL"},
		{decimalType(9, 4), parquet.Int32Value(12345), decimalType(9, 2), "1.23"},
		{decimalType(9, 4), parquet.Int32Value(12350), decimalType(9, 2), "1.24"},
		{decimalType(9, 4), parquet.Int32Value(-12350), decimalType(30, 2), "-1.24"},
		{decimalType(9, 1), parquet.Int32Value(-5), long, "-1"},
		{text, parquet.ByteArrayValue([]byte("12.6")), long, "13"},
		{text, parquet.ByteArrayValue([]byte("x")), long, "NULL"},
		{text, parquet.ByteArrayValue([]byte("2.5")), double, "2.5"},
		{double, parquet.DoubleValue(1e21), text, "1e+21"},
		{civil, parquet.Int64Value(-1), date, "1969-12-31"},
		{date, parquet.Int32Value(1), civil, "1970-01-02 00:00:00"},
		{colType{kind: kindBinary}, parquet.ByteArrayValue([]byte("\xff")), text, "NULL"},
		{text, parquet.ByteArrayValue([]byte("a")), date, "NULL"},
	} {
		out := convert(c.from, c.to, c.in, &arena{})
		got := "NULL"
		if !out.IsNull() {
			got = string(appendText(nil, c.to, out))
		}
		if got != c.want {
			t.Errorf("%s %v as %s: %s, not %s", c.from.delta(), c.in, c.to.delta(), got, c.want)
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

func TestSideFileComesBack(t *testing.T) {
	s := side{"k": {minus: []event.Seq{5}}, "": {plus: []event.Seq{1, 2}, minus: []event.Seq{1 << 60}}, "long\x00key": {}}
	data := s.encode()
	got, err := decodeSide(data)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, s) {
		t.Fatalf("%v, not %v", got, s)
	}
	for n := range data {
		if _, err := decodeSide(data[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes are taken for a whole file", n, len(data))
		}
		bad := bytes.Clone(data)
		bad[n] ^= 0x40
		if _, err := decodeSide(bad); err == nil {
			t.Fatalf("a flipped bit in byte %d is not noticed", n)
		}
	}
}

func FuzzDecodeSide(f *testing.F) {
	f.Add(side{"k": {minus: []event.Seq{5}}, "": {plus: []event.Seq{1, 2}}}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		// Past the checksum, what the reader makes of hostile counts and lengths.
		r := sideReader{b: b}
		for range r.count(3) {
			r.bytes(int(r.count(1)))
			for range r.count(1) {
				r.uvarint()
			}
		}
		decodeSide(b)
	})
}

func FuzzDecodeKey(f *testing.F) {
	l := &layout{Columns: []layoutColumn{
		{Name: "a", ID: 1, Type: "long", typ: colType{kind: kindLong}}, {Name: "d", ID: 2, Type: "date", typ: colType{kind: kindDate}},
		{Name: "d__raw", ID: 2, Type: "string", Raw: true, typ: colType{kind: kindString}}, {Name: "n", ID: 3, Type: "decimal(30,2)", typ: decimalType(30, 2)}}}
	f.Add(l.appendKey(nil, []parquet.Value{parquet.Int64Value(1), parquet.NullValue(), parquet.ByteArrayValue([]byte("0000-00-00")), parquet.NullValue()}))
	f.Fuzz(func(t *testing.T, b []byte) {
		vals, err := l.decodeKey(b)
		if err != nil {
			return
		}
		key := l.appendKey(nil, vals)
		again, err := l.decodeKey(key)
		if err != nil || !bytes.Equal(l.appendKey(nil, again), key) {
			t.Fatalf("%v came back as %v: %v", vals, again, err)
		}
	})
}

func TestBucketsCoverEveryHash(t *testing.T) {
	b, ok := parseBucket("b0110")
	if !ok || b.text() != "b0110" || !b.has(0x6<<60) || b.has(0x7<<60) {
		t.Fatalf("bucket %+v", b)
	}
	list := cover(bucket{}, []group{{bucket: b}})
	var end uint64
	for i, g := range list {
		if g.prefix != end {
			t.Fatalf("bucket %d begins at %x, not %x", i, g.prefix, end)
		}
		end, ok = g.end()
	}
	if ok || end != 0 {
		t.Fatalf("the last bucket ends at %x", end)
	}
	for _, bad := range []string{"", "0", "b2", "x01", "b" + strings.Repeat("0", 65)} {
		if _, ok := parseBucket(bad); ok {
			t.Errorf("%q is taken for a bucket", bad)
		}
	}
}
