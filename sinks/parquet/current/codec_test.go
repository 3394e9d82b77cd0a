package current

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/parquet/file"
)

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
		{Name: "a", ID: 1, Type: "long", typ: file.Type{Kind: file.Long}}, {Name: "d", ID: 2, Type: "date", typ: file.Type{Kind: file.Date}},
		{Name: "d__raw", ID: 2, Type: "string", Raw: true, typ: file.Type{Kind: file.String}}, {Name: "n", ID: 3, Type: "decimal(30,2)", typ: file.DecimalType(30, 2)}}}
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
