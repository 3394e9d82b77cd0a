package decode

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/millrace/millrace/pipeline/event"
)

// orders is a table as applications have them: a row is about 160 bytes.
func orders() (*event.Schema, *TableMap, []byte) {
	col := func(name string, t event.Type, native string, c event.Column) event.Column {
		c.Name, c.Type, c.Native = name, t, native
		return c
	}
	s := event.NewSchema(event.TableName{DB: "shop", Table: "orders"}, []event.Column{
		col("id", event.TypeInt, "bigint", event.Column{Precision: 8}), col("customer", event.TypeInt, "bigint", event.Column{Precision: 8}),
		col("ref", event.TypeText, "varchar(64)", event.Column{Length: 64, Charset: "utf8mb4"}),
		col("state", event.TypeInt, "tinyint", event.Column{Precision: 1}),
		col("total", event.TypeDecimal, "decimal(12,2)", event.Column{Precision: 12, Scale: 2}),
		col("note", event.TypeText, "varchar(200)", event.Column{Length: 200, Charset: "utf8mb4"}),
		col("at", event.TypeDateTime, "datetime(3)", event.Column{Scale: 3}),
		col("changed", event.TypeTimestamp, "timestamp(3)", event.Column{Scale: 3}),
	}, []int{0})
	body := []byte{1, 0, 0, 0, 0, 0, 1, 0, 4}
	body = append(body, "shop\x00"...)
	body = append(body, 6)
	body = append(body, "orders\x00"...)
	body = append(body, 8, wireLongLong, wireLongLong, wireVarchar, wireTiny, wireDecimal, wireVarchar, wireDateTime2, wireTimestamp2)
	body = append(body, 8, 0, 1, 12, 2, 32, 3, 3, 3, 0xff)
	tm, err := ParseTableMap(body)
	if err != nil {
		panic(err)
	}
	return s, tm, body
}

func orderRow(dst []byte, i int) []byte {
	dst = append(dst, 0)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(i))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(i*7))
	dst = binary.LittleEndian.AppendUint16(dst, 24)
	dst = append(dst, fmt.Sprintf("ref-%020d", i)...)
	dst = append(dst, byte(i))
	dst = append(dst, 0x80, 0, 0, byte(i>>8), byte(i), byte(i%100)) // whole 10 digits: 1+4 bytes, fraction 1
	dst = binary.LittleEndian.AppendUint16(dst, 90)
	dst = append(dst, strings.Repeat("n", 90)...)
	dst = append(dst, 0x99, 0xb3, 0x02, 0x4a, 0x85, 0x12, 0x34)
	return append(dst, 0x66, 0x11, 0x22, 0x33, 0x11, 0x11)
}

func TestEveryCutRowIsAnError(t *testing.T) {
	s, tm, _ := orders()
	d, err := NewDecoder(s, tm, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	row := orderRow(nil, 77)
	img, n, err := d.AppendImage(nil, row)
	if err != nil || n != len(row) {
		t.Fatalf("%d of %d bytes, %v", n, len(row), err)
	}
	if err := event.CheckImage(img, s); err != nil {
		t.Fatal(err)
	}
	for i := range row {
		if _, _, err := d.AppendImage(nil, row[:i]); !errors.Is(err, ErrMalformed) {
			t.Errorf("%d bytes of a row: %v", i, err)
		}
	}
}

func TestTableMapThatDoesNotFitIsRefused(t *testing.T) {
	s, tm, _ := orders()
	for i := range tm.Types {
		other := *tm
		other.Types = append([]byte(nil), tm.Types...)
		other.Types[i] = wireYear
		if _, err := NewDecoder(s, &other, false, nil); !errors.Is(err, ErrMismatch) {
			t.Errorf("column %d of another type: %v", i, err)
		}
	}
	unsigned := *tm
	unsigned.Unsigned = make([]bool, len(tm.Types))
	unsigned.Unsigned[0] = true
	if _, err := NewDecoder(s, &unsigned, false, nil); !errors.Is(err, ErrMismatch) {
		t.Errorf("another sign: %v", err)
	}
}

func TestDecimalAgainstItsDefinition(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	for range 5000 {
		scale := r.IntN(31)
		precision := max(1, scale+r.IntN(66-scale))
		if precision > 65 {
			continue
		}
		want, packed := packDecimal(r, precision, scale)
		got, n, err := appendDecimal(nil, packed, precision, scale)
		if err != nil || n != len(packed) || string(got[1:]) != want {
			t.Fatalf("seed %d: DECIMAL(%d,%d) %x: %q, want %q, %v", seed, precision, scale, packed, got, want, err)
		}
	}
}

// packDecimal makes a random decimal and packs it as the servers do.
func packDecimal(r *rand.Rand, precision, scale int) (string, []byte) {
	digitsOf := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteByte(byte('0' + r.IntN(10)*r.IntN(2)))
		}
		return b.String()
	}
	whole, frac := digitsOf(precision-scale), digitsOf(scale)
	var out []byte
	put := func(s string) {
		var v uint32
		fmt.Sscanf("0"+s, "%d", &v)
		n := digitBytes[len(s)]
		for i := n - 1; i >= 0; i-- {
			out = append(out, byte(v>>(8*i)))
		}
	}
	lead := len(whole) % 9
	put(whole[:lead])
	for i := lead; i < len(whole); i += 9 {
		put(whole[i : i+9])
	}
	full := len(frac) / 9 * 9
	for i := 0; i < full; i += 9 {
		put(frac[i : i+9])
	}
	put(frac[full:])
	out[0] ^= 0x80
	text := strings.TrimLeft(whole, "0")
	if text == "" {
		text = "0"
	}
	if scale > 0 {
		text += "." + frac
	}
	if r.IntN(2) == 0 && strings.Trim(text, "0.") != "" {
		text = "-" + text
		for i := range out {
			out[i] = ^out[i]
		}
	}
	return text, out
}

func TestJSONDoublesPrintLikeTheServer(t *testing.T) {
	for _, c := range []struct {
		f    float64
		want string
	}{{0, "0.0"}, {1, "1.0"}, {-1.5, "-1.5"}, {1e14, "100000000000000.0"}, {1e15, "1e15"}, {123456789012345, "123456789012345.0"},
		{1e-14, "0.00000000000001"},
		{1e-15, "0.000000000000001"}, {1e-16, "1e-16"}, {1.25e-16, "1.25e-16"}, {math.MaxFloat64, "1.7976931348623157e308"}, {0.1, "0.1"}} {
		if got := string(appendJSONDouble(nil, c.f)); got != c.want {
			t.Errorf("%g prints %s, want %s", c.f, got, c.want)
		}
	}
}

func FuzzRow(f *testing.F) {
	s, tm, _ := orders()
	f.Add(orderRow(nil, 1))
	d, err := NewDecoder(s, tm, false, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, row []byte) {
		img, n, err := d.AppendImage(nil, row)
		if err != nil {
			return
		}
		if n > len(row) || n == 0 {
			t.Fatalf("took %d of %d bytes", n, len(row))
		}
		if err := event.CheckImage(img, s); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzTableMap(f *testing.F) {
	s, _, body := orders()
	f.Add(body)
	f.Fuzz(func(t *testing.T, b []byte) {
		tm, err := ParseTableMap(b)
		if err == nil {
			_, _ = NewDecoder(s, tm, true, nil)
		}
	})
}

func FuzzJSON(f *testing.F) {
	for _, h := range []string{"", "0c036162", "000100120012000100040061ff01", "02020010000500010005020001000c00"} {
		b, _ := hex.DecodeString(h)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 4096 {
			return
		}
		out, err := appendJSONColumn(nil, b)
		if err != nil {
			return
		}
		n, k := binary.Uvarint(out)
		if k <= 0 || n != uint64(len(out)-k) {
			t.Fatalf("length %d of %d bytes", n, len(out)-k)
		}
	})
}

const benchRows = 50

func benchBody() (body []byte, start int) {
	body = []byte{1, 0, 0, 0, 0, 0, 1, 0, 2, 0, 8, 0xff}
	start = len(body)
	for i := range benchRows {
		body = orderRow(body, i)
	}
	return body, start
}

// BenchmarkDecode is rows of the log into images.
func BenchmarkDecode(b *testing.B) {
	s, tm, _ := orders()
	d, err := NewDecoder(s, tm, false, nil)
	if err != nil {
		b.Fatal(err)
	}
	body, start := benchBody()
	buf := make([]byte, 0, 64<<10)
	b.SetBytes(int64(len(body) - start))
	b.ReportAllocs()
	for b.Loop() {
		buf = buf[:0]
		for at := start; at < len(body); {
			out, n, err := d.AppendImage(buf, body[at:])
			if err != nil {
				b.Fatal(err)
			}
			buf, at = out, at+n
		}
	}
	b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkDecodeLibrary is the same rows by the library's own decoder.
func BenchmarkDecodeLibrary(b *testing.B) {
	_, _, tmBody := orders()
	body, start := benchBody()
	header := func(typ byte, n int) []byte {
		h := make([]byte, 19, 19+n)
		h[4] = typ
		binary.LittleEndian.PutUint32(h[9:], uint32(19+n))
		return h
	}
	format := make([]byte, 2+50+4+1+40+5)
	format[0] = 4
	copy(format[2:], "8.0.40")
	format[56] = 19
	for i := 57; i < len(format)-5; i++ {
		format[i] = 8
	}
	p := replication.NewBinlogParser()
	for _, e := range [][]byte{append(header(15, len(format)), format...), append(header(19, len(tmBody)), tmBody...)} {
		if _, err := p.Parse(e); err != nil {
			b.Fatal(err)
		}
	}
	rows := append(header(30, len(body)), body...)
	rows[19+6] = 0 // the statement goes on: the table stays
	b.SetBytes(int64(len(body) - start))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Parse(rows); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
}
