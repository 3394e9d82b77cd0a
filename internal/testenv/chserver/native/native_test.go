package native_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testenv/chserver/native"
)

// bytesOf puts values of any width one behind the other.
func bytesOf(values ...any) []byte {
	var b []byte
	for _, v := range values {
		switch x := v.(type) {
		case string:
			b = append(binary.AppendUvarint(b, uint64(len(x))), x...)
		case int: // a number of variable length
			b = binary.AppendUvarint(b, uint64(x))
		case []byte:
			b = append(b, x...)
		default:
			b, _ = binary.Append(b, binary.LittleEndian, x) // only numbers come here
		}
	}
	return b
}

// values are the bytes of one column, with the rows it has.
type values struct {
	typ  string
	rows int
	data []byte
}

func columns() []values {
	u64 := func(n ...uint64) (b []byte) {
		for _, v := range n {
			b = binary.LittleEndian.AppendUint64(b, v)
		}
		return b
	}
	return []values{
		{"UInt8", 2, bytesOf(uint8(1), uint8(2))},
		{"DateTime64(6, 'Europe/Berlin')", 1, u64(1)},
		{"Decimal(38, 10)", 1, u64(1, 2)},
		{"Decimal(76, 20)", 1, u64(1, 2, 3, 4)},
		{"FixedString(3)", 2, []byte("abcdef")},
		{"Enum8('a, b' = 1, 'it\\'s (not)' = 2)", 1, []byte{2}},
		{"IntervalDay", 1, u64(5)},
		{"String", 3, bytesOf("", "abc", strings.Repeat("x", 300))},
		{"Nullable(String)", 2, bytesOf(uint8(1), uint8(0), "", "x")},
		{"Array(UInt16)", 3, bytesOf(u64(2, 2, 3), uint16(1), uint16(2), uint16(3))},
		{"Array(Array(String))", 1, bytesOf(u64(2), u64(1, 1), "a")},
		{"Map(String, UInt8)", 2, bytesOf(u64(1, 2), "a", "b", uint8(1), uint8(2))},
		{"Tuple(a UInt8, `b c` String)", 2, bytesOf(uint8(1), uint8(2), "x", "y")},
		{"Tuple()", 2, []byte("00")},
		{"Nested(a UInt8, b String)", 1, bytesOf(u64(1), uint8(1), "x")},
		{"SimpleAggregateFunction(groupArrayArray(5), Array(UInt8))", 1, bytesOf(u64(1), uint8(7))},
		{"LowCardinality(String)", 3, bytesOf(u64(1, 1<<9|1<<10, 2), "", "x", u64(3), []byte{0, 1, 1})},
		{"LowCardinality(Nullable(String))", 1, bytesOf(u64(1, 1<<9|1, 2), "", "x", u64(1), uint16(1))},
		{"Array(LowCardinality(String))", 2, bytesOf(u64(1), u64(1, 3), u64(1<<9, 1), "x", u64(3), []byte{0, 0, 0})},
		{"Array(LowCardinality(String))", 1, bytesOf(u64(1), u64(0))},
		{"MultiPolygon", 1, bytesOf(u64(1), u64(1), u64(1), u64(1), u64(2))},
		{"Variant(Array(UInt8), String)", 3, bytesOf(u64(0), []byte{1, 255, 0}, u64(1), uint8(9), "x")},
		{"Variant(LowCardinality(String), UInt8)", 1, bytesOf(u64(0), u64(1), []byte{1}, uint8(3))},
		{"Dynamic", 3, bytesOf(u64(1), 32, 2, "String", "UInt8", u64(0), []byte{1, 2, 255}, "x", uint8(7))},
		{"Dynamic(max_types=4)", 2, bytesOf(u64(2), 1, "UInt8", u64(0), []byte{0, 1}, "shared", uint8(1))},
		{"Dynamic", 3, bytesOf(u64(3), 1, "String", []byte{0, 1, 0}, "a", "b")},
		{"JSON", 2, bytesOf(u64(1), `{"a":1}`, `{}`)},
		{"JSON(a UInt8, b.`c d` Array(String), SKIP z, max_dynamic_paths=3)", 1,
			bytesOf(u64(3), 1, "x", u64(3), 1, "UInt8", uint8(1), u64(0), []byte{0}, uint8(5))},
		{"JSON", 1, bytesOf(u64(0), 2, 1, "x", u64(1), 1, 0, u64(0), []byte{0}, "in the shared ones", u64(1), "k", "v")},
	}
}

func wire(b ...values) []byte {
	out := append([]byte{1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0}, bytesOf(len(b), b[0].rows)...)
	for i, v := range b {
		out = append(append(out, bytesOf(fmt.Sprint("c", i), v.typ, uint8(0))...), v.data...)
	}
	return out
}

func engine(b ...values) []byte {
	out := bytesOf(len(b), b[0].rows)
	for i, v := range b {
		out = append(append(out, bytesOf(fmt.Sprint("c", i), v.typ)...), v.data...)
	}
	return out
}

func TestTheEndOfEachColumnIsFound(t *testing.T) {
	for _, v := range columns() {
		t.Run(v.typ, func(t *testing.T) {
			guard := values{"FixedString(2)", v.rows, bytes.Repeat([]byte("!?"), v.rows)}
			in, out := wire(v, guard), engine(v, guard)
			r := bufio.NewReaderSize(bytes.NewReader(append(in, "behind"...)), 16)
			b, err := native.FromWire(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b.Data, out) || b.Rows != uint64(v.rows) || len(b.Columns) != 2 || b.Columns[0].Type != v.typ {
				t.Errorf("the engine gets %+v\n%q, not\n%q", b.Columns, b.Data, out)
			}
			if rest, _ := io.ReadAll(r); string(rest) != "behind" {
				t.Errorf("%q is left behind the block", rest)
			}
			var back [][]byte
			if err := native.ToWire(append(bytes.Clone(out), out...), func(b native.Block) error {
				back = append(back, b.Data)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if len(back) != 2 || !bytes.Equal(back[0], in) || !bytes.Equal(back[1], in) {
				t.Errorf("the client gets\n%q, not twice\n%q", back, in)
			}
			// Whatever is cut off is missed.
			for n := range in {
				if _, err := native.FromWire(bufio.NewReader(bytes.NewReader(in[:n])), nil); !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatalf("%d of %d bytes: %v", n, len(in), err)
				}
			}
		})
	}
}

func TestABlockWithoutRowsIsItsHead(t *testing.T) {
	in := native.Empty([]native.Column{{Name: "a", Type: "LowCardinality(String)"}, {Name: "b", Type: "AggregateFunction(sum, UInt8)"}})
	b, err := native.FromWire(bufio.NewReader(bytes.NewReader(in)), nil)
	if err != nil || b.Rows != 0 || len(b.Columns) != 2 {
		t.Errorf("%+v, %v", b, err)
	}
}

func TestWhatIsNotKnownIsNamed(t *testing.T) {
	u64 := func(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }
	deep := strings.Repeat("Array(", 200) + "UInt8" + strings.Repeat(")", 200)
	for _, c := range []struct {
		block values
		says  string
	}{
		{values{"AggregateFunction(sum, UInt8)", 1, nil}, `column "c0": type "AggregateFunction(sum, UInt8)" is not known`},
		{values{"Array(UInt8", 1, nil}, "has no end"},
		{values{"Tuple(a))(b)", 1, nil}, "close more than they open"},
		{values{"Enum8('a)", 1, []byte{1}}, "without end"},
		{values{"Nullable(UInt8, UInt8)", 1, nil}, "one argument"},
		{values{"FixedString(0)", 1, nil}, "not known"},
		{values{"Decimal(77, 1)", 1, nil}, "not known"},
		{values{deep, 1, nil}, "deeper than"},
		{values{"LowCardinality(String)", 1, bytesOf(u64(2))}, "version 2"},
		{values{"LowCardinality(String)", 1, bytesOf(u64(1), u64(1<<8))}, "flags 0x100"},
		{values{"LowCardinality(String)", 1, bytesOf(u64(1), u64(1<<9), u64(0), u64(5))}, "5 indexes for 1 rows"},
		{values{"Variant(UInt8)", 1, bytesOf(u64(1))}, "mode 1"},
		{values{"Dynamic", 1, bytesOf(u64(9))}, "version 9"},
		{values{"JSON", 1, bytesOf(u64(9))}, "version 9"},
		{values{"JSON", 1, bytesOf(u64(2), 1<<30)}, "a list of 1073741824 names"},
		{values{"String", 1, bytesOf(1 << 40)}, "larger than"},
		{values{"UInt64", 1 << 40, nil}, "larger than"},
	} {
		_, err := native.FromWire(bufio.NewReader(bytes.NewReader(wire(c.block))), nil)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%.40s: %v; %q was expected in it", c.block.typ, err, c.says)
		}
	}
	custom := wire(values{"UInt8", 1, []byte{1}})
	custom[bytes.IndexByte(custom, 'U')+len("UInt8")] = 1
	if _, err := native.FromWire(bufio.NewReader(bytes.NewReader(custom)), nil); err == nil ||
		!strings.Contains(err.Error(), "custom serialization") {
		t.Errorf("custom serialization: %v", err)
	}
}

// FuzzBlock reads blocks from a wire. What is read goes to the engine and comes back as it was.
func FuzzBlock(f *testing.F) {
	for _, v := range columns() {
		f.Add(wire(v))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bufio.NewReaderSize(bytes.NewReader(in), 64)
		b, err := native.FromWire(r, nil)
		if err != nil {
			return
		}
		if len(b.Data) > len(in) {
			t.Fatalf("%d bytes of a block of %d", len(b.Data), len(in))
		}
		var back []native.Block
		if err := native.ToWire(b.Data, func(b native.Block) error { back = append(back, b); return nil }); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if len(back) != 1 || back[0].Rows != b.Rows {
			t.Fatalf("%d blocks came of one", len(back))
		}
		again, err := native.FromWire(bufio.NewReader(bytes.NewReader(back[0].Data)), nil)
		if err != nil || !bytes.Equal(again.Data, b.Data) {
			t.Fatalf("a block changed on its way: %v\n%q\n%q", err, b.Data, again.Data)
		}
	})
}
