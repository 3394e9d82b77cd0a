package event

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
)

// everything is a schema with a column of each type.
func everything() *Schema {
	cols := []Column{}
	for t := TypeInt; t < TypeUnsupported; t++ {
		cols = append(cols, Column{ID: uint32(t), Name: "c" + string('a'+rune(t)), Type: t, Native: "x", Nullable: true})
	}
	cols[TypeDateTime-1].Scale = 6
	cols[TypeTimestamp-1].Scale = 3
	cols[TypeEnum-1].Members = []string{"red", "green"}
	cols[TypeSet-1].Members = []string{"a", "b", "c"}
	cols[TypeUint-1].HasDefault, cols[TypeUint-1].Default = true, []byte{7}
	cols[TypeText-1].HasDefault = true
	return NewSchema(TableName{"shop", "every.thing"}, cols, []int{int(TypeText) - 1, int(TypeInt) - 1})
}

func fill(b *ImageBuilder) {
	b.AppendInt(math.MinInt64)
	b.AppendUint(math.MaxUint64)
	b.AppendText("-12.50")
	b.AppendFloat(1.5)
	b.AppendDouble(-2.25)
	b.AppendDate(2024, 0, 31)
	b.AppendDateTime(Civil{2024, 2, 29, 23, 59, 58, 123456})
	b.AppendTimestamp(1700000000123456)
	b.AppendTime(-3020399999999)
	b.AppendUint(1901)
	b.AppendText("")
	b.AppendBytes([]byte{0, 255})
	b.AppendUint(2)
	b.AppendUint(5)
	b.AppendUint(1 << 63)
	b.AppendText(`{"a": 1}`)
	b.AppendGeometry(4326, []byte{1, 2})
}

func TestImageHoldsEveryTypeExactly(t *testing.T) {
	s := everything()
	b := NewImageBuilder(s)
	b.Start([]byte("before"))
	fill(b)
	buf, img, err := b.Finish()
	if err != nil || string(buf[:6]) != "before" {
		t.Fatalf("finish: %v, %q", err, buf[:6])
	}
	vals, err := Values(img, s, nil)
	if err != nil || len(vals) != len(s.Columns) {
		t.Fatalf("values: %d, %v", len(vals), err)
	}
	var text []string
	for i, v := range vals {
		text = append(text, string(AppendValueText(nil, &s.Columns[i], v)))
	}
	want := []string{"-9223372036854775808", "18446744073709551615", "-12.50", "1.5", "-2.25", "2024-00-31",
		"2024-02-29 23:59:58.123456", "2023-11-14 22:13:20.123", "-838:59:59", "1901", "", "0x00ff", "green", "a,c",
		"9223372036854775808", `{"a": 1}`, "0xe61000000102"}
	if !reflect.DeepEqual(text, want) {
		t.Errorf("got  %q\nwant %q", text, want)
	}
	if vals[TypeText-1] == nil || len(vals[TypeText-1]) != 0 {
		t.Error("an empty text reads as NULL")
	}
	if srid, wkb := vals[TypeGeometry-1].Geometry(); srid != 4326 || !bytes.Equal(wkb, []byte{1, 2}) {
		t.Errorf("geometry %d %x", srid, wkb)
	}
	for n := range len(img) {
		if CheckImage(img[:n], s) == nil {
			t.Errorf("prefix of %d bytes passes", n)
		}
	}
	if !IsFull(img, s) {
		t.Error("a full image is not full")
	}
}

func TestNullAndAbsentAreDifferent(t *testing.T) {
	s := NewSchema(TableName{"d", "t"}, []Column{{Name: "a", Type: TypeInt}, {Name: "b", Type: TypeText}, {Name: "c", Type: TypeInt}}, nil)
	b := NewImageBuilder(s)
	b.Start(nil)
	b.AppendNull()
	b.AppendAbsent()
	b.AppendInt(1)
	_, img, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	var c Cursor
	c.Reset(img, s)
	if !c.Next() || !c.Present() || c.Value() != nil || !c.Next() || c.Present() || !c.Next() || c.Value().Int() != 1 ||
		c.Next() || c.Err() != nil {
		t.Errorf("walk of %x went wrong: %v", img, c.Err())
	}
	if IsFull(img, s) {
		t.Error("a partial image is full")
	}
}

func TestBuilderRefuses(t *testing.T) {
	s := NewSchema(TableName{"d", "t"}, []Column{{Name: "a", Type: TypeDate}}, nil)
	for name, f := range map[string]func(*ImageBuilder){
		"missing column": func(*ImageBuilder) {},
		"one too many":   func(b *ImageBuilder) { b.AppendNull(); b.AppendNull() },
		"wrong type":     func(b *ImageBuilder) { b.AppendInt(1) },
		"out of range":   func(b *ImageBuilder) { b.AppendDate(2024, 13, 1) },
		"not canonical":  func(b *ImageBuilder) { b.AppendValue(Value{0x80, 0}) },
	} {
		b := NewImageBuilder(s)
		b.Start(nil)
		f(b)
		if _, _, err := b.Finish(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestImagesAreCanonical(t *testing.T) {
	s := NewSchema(TableName{"d", "t"}, []Column{{Name: "a", Type: TypeUint}}, nil)
	for _, img := range []Image{{1, 0, 0x80, 0}, {1, 0, 1, 1}, {3, 0, 1}, {0, 1}, {1, 1, 0}} {
		if CheckImage(img, s) == nil {
			t.Errorf("% x passes", []byte(img))
		}
	}
}

func TestKeyHash(t *testing.T) {
	s := NewSchema(TableName{"d", "t"}, []Column{{Name: "a", Type: TypeText}, {Name: "b", Type: TypeText, Nullable: true}}, []int{0, 1})
	image := func(a string, b ...string) Image {
		ib := NewImageBuilder(s)
		ib.Start(nil)
		ib.AppendText(a)
		if len(b) == 0 {
			ib.AppendNull()
		} else {
			ib.AppendText(b[0])
		}
		_, img, err := ib.Finish()
		if err != nil {
			t.Fatal(err)
		}
		return img
	}
	for _, c := range []struct {
		img  Image
		cols []int
		key  string
	}{
		{image("ab", "c"), []int{0, 1}, "\x02ab\x01c"},
		{image("a", "bc"), []int{0, 1}, "\x01a\x02bc"},
		{image("a", "bc"), []int{1, 0}, "\x02bc\x01a"},
		{image("a"), []int{0, 1}, "\x01a\x80\x00"},
		{image("a", ""), []int{0, 1}, "\x01a\x00"},
	} {
		got, err := KeyHash(c.img, s, c.cols)
		if want := xxhash.Sum64String(c.key); err != nil || got != want {
			t.Errorf("%q by %v: %x, want %x, %v", c.key, c.cols, got, want, err)
		}
	}
	if _, err := KeyHash(image("a"), s, []int{2}); err == nil {
		t.Error("a key column that does not exist")
	}
}

func TestTopicNames(t *testing.T) {
	long := strings.Repeat("é", 60)
	for _, c := range []struct{ db, table, want string }{
		{"shop", "order_items", "p--shop--order_items"},
		{"shop-1", "a.b", "p--shop-2D1--a-2Eb"},
		{"..", "/", "p---2E-2E---2F"},
	} {
		if got := TopicName("p", TableName{c.db, c.table}); got != c.want {
			t.Errorf("%s.%s: %s, want %s", c.db, c.table, got, c.want)
		}
	}
	seen := map[string]bool{}
	for _, tail := range []string{"", "x", "xy", "xyz"} {
		got := TopicName("p", TableName{"shop", tail + long})
		if len(got) > 127 || seen[got] || strings.Count(got, "--") != 3 {
			t.Errorf("long name: %s", got)
		}
		seen[got] = true
	}
}

func TestIdentityText(t *testing.T) {
	for _, id := range []Identity{{}, {"0-1-100", 7, 1}, {"1/bin.1:4#x.y", 0, 0}, {"", 1, 0}, TxEndIdentity("g"), MarkIdentity("begin", 9)} {
		got, err := ParseIdentity(id.String())
		if err != nil || got != id {
			t.Errorf("%q: %v %v", id.String(), got, err)
		}
	}
	for _, s := range []string{"x", "x#1", "x#01.0", "x#1.256", "x#1.", "#0.0", "x#+1.0", "x.1#1"} {
		if id, err := ParseIdentity(s); err == nil {
			t.Errorf("%q reads as %v", s, id)
		}
	}
}

func TestSchemaRoundTrip(t *testing.T) {
	s := everything()
	enc := AppendSchema(nil, s)
	got, err := ParseSchema(enc)
	if err != nil || !reflect.DeepEqual(got, s) {
		t.Fatalf("%v\n%+v\n%+v", err, got, s)
	}
	for n := range len(enc) {
		if _, err := ParseSchema(enc[:n]); err == nil {
			t.Errorf("prefix of %d bytes passes", n)
		}
	}
	other := *s
	other.Columns = append([]Column{}, s.Columns...)
	other.Columns[3].ID++
	if other.computeID() == s.ID {
		t.Error("a column's identity does not count")
	}
	if id, err := ParseSchemaID(s.ID.String()); err != nil || id != s.ID {
		t.Error(id, err)
	}
}

func sampleSlices() []*Slice {
	s := everything()
	b := NewImageBuilder(s)
	b.Start(nil)
	fill(b)
	_, img, _ := b.Finish()
	t0 := time.UnixMicro(1700000000000000).UTC()
	return []*Slice{
		{
			Kind: KindRow, Table: s.Name, Schema: s.ID, Lo: 100, Hi: 131, Prev: 90,
			From: Identity{"0-1-100", 0, 0}, To: TxEndIdentity("0-1-102"),
			Txs: []SliceTx{
				{ID: "0-1-100", CommitTime: t0, End: true, EndSeq: 110, QueueRows: 2, TableRows: 3},
				{ID: "0-1-101", CommitTime: t0.Add(time.Second), End: true, EndSeq: 120, QueueRows: 9, TableRows: 9},
				{ID: "0-1-102", CommitTime: t0, End: true, EndSeq: 131, QueueRows: 1, TableRows: 1},
			},
			Rows: []Row{
				{Op: OpCreate, Seq: 100, After: img},
				{Op: OpUpdate, Seq: 102, Index: 2, Before: img, After: img},
				{Op: OpDelete, Part: 1, Tx: 2, Seq: 130, Before: img},
			},
		},
		{
			Kind: KindRow, Table: s.Name, Lo: 7, Hi: 7, From: TxEndIdentity("a"), To: TxEndIdentity("a"),
			Txs: []SliceTx{{ID: "a", CommitTime: t0, End: true, EndSeq: 7, QueueRows: 1, TableRows: 4}},
		},
		{
			Kind: KindDDL, Table: s.Name, Schema: s.ID, Lo: 8, Hi: 8, Prev: 7, From: Identity{"g", 0, PartDDL}, To: Identity{"g", 0, PartDDL},
			Mark: &Mark{Seq: 8, ID: Identity{"g", 0, PartDDL}, Time: t0, SQL: "alter table t add c int", Old: SchemaID{1}, Due: "why",
				Queues: 4, Schema: s.ID},
		},
	}
}

func TestSliceRoundTrip(t *testing.T) {
	for _, s := range sampleSlices() {
		enc, err := AppendSlice(nil, s)
		if err != nil {
			t.Fatal(err)
		}
		var got Slice
		if err := ParseSlice(enc, &got); err != nil {
			t.Fatal(err)
		}
		if got.Mark != nil {
			got.Txs, got.Rows = s.Txs, s.Rows
		}
		if !reflect.DeepEqual(&got, s) {
			t.Errorf("got  %+v\nwant %+v", got, *s)
		}
		for n := range len(enc) {
			if ParseSlice(enc[:n], &got) == nil {
				t.Errorf("prefix of %d bytes passes", n)
			}
		}
	}
}

func FuzzParseSlice(f *testing.F) {
	for _, s := range sampleSlices() {
		enc, _ := AppendSlice(nil, s)
		f.Add(enc)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var s Slice
		if ParseSlice(b, &s) != nil {
			return
		}
		enc, err := AppendSlice(nil, &s)
		if err != nil || !bytes.Equal(enc, b) {
			t.Errorf("not canonical: %v\n%x\n%x", err, b, enc)
		}
	})
}

func FuzzParseSchema(f *testing.F) {
	f.Add(AppendSchema(nil, everything()))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSchema(b)
		if err == nil && !bytes.Equal(AppendSchema(nil, s), b) {
			t.Errorf("not canonical: %x", b)
		}
	})
}

func FuzzImage(f *testing.F) {
	s := everything()
	ib := NewImageBuilder(s)
	ib.Start(nil)
	fill(ib)
	_, img, _ := ib.Finish()
	f.Add([]byte(img))
	f.Fuzz(func(t *testing.T, b []byte) {
		vals, err := Values(b, s, nil)
		if err != nil {
			return
		}
		ib := NewImageBuilder(s)
		ib.Start(nil)
		for i, v := range vals {
			AppendValueText(nil, &s.Columns[i], v)
			if b[i/8]&(1<<(i%8)) == 0 {
				ib.AppendAbsent()
			} else {
				ib.AppendValue(v)
			}
		}
		if _, again, err := ib.Finish(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("not canonical: %v\n%x\n%x", err, b, again)
		}
	})
}

func FuzzParseIdentity(f *testing.F) {
	f.Add("0-1-2#3.4")
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := ParseIdentity(s); err == nil && id.String() != s {
			t.Errorf("%q reads as %q", s, id.String())
		}
	})
}

func BenchmarkSliceBuilderRow(b *testing.B) {
	var sb SliceBuilder
	img := make(Image, 160)
	now := time.Unix(0, 0)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if sb.Size() > 1<<20 || sb.Empty() {
			sb.Reset()
			sb.Tx("0-1-1", now)
		}
		sb.Row(0, OpCreate, 0, uint64(i), Seq(2*i+2), nil, img)
	}
}

// BenchmarkParseSlice reads slices of single-row transactions, as order systems make them.
func BenchmarkParseSlice(b *testing.B) {
	var sb SliceBuilder
	img := make(Image, 160)
	const rows = 1000
	for i := range rows {
		sb.Row(sb.Tx(fmt.Sprintf("0-1-%d", 1_000_000+i), time.Unix(int64(i), 0)), OpCreate, 0, 0, Seq(2*i+2), nil, img)
	}
	body, err := sb.Append(nil, &Slice{Kind: KindRow, Hi: 2*rows + 2})
	if err != nil {
		b.Fatal(err)
	}
	var s Slice
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if err := ParseSlice(body, &s); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/row")
}

// TestNamesThatSwellASliceAreRefused: each name shares all but a byte with the one before it,
// so that few bytes stand for many.
func TestNamesThatSwellASliceAreRefused(t *testing.T) {
	var sb SliceBuilder
	for i := range 1000 {
		sb.Row(sb.Tx(strings.Repeat("n", 10_000)+string(rune('a'+i%2)), time.Unix(0, 0)), OpCreate, 0, 0, Seq(2*i+2), nil, Image{})
	}
	body, err := sb.Append(nil, &Slice{Kind: KindRow, Hi: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	if err := ParseSlice(body, new(Slice)); err == nil || !strings.Contains(err.Error(), "the names of transactions take more") {
		t.Errorf("%d bytes: %v", len(body), err)
	}
}
