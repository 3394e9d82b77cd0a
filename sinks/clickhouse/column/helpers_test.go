package column

import (
	"bytes"
	"testing"

	"github.com/ClickHouse/ch-go/proto"
	driver "github.com/ClickHouse/clickhouse-go/v2/lib/column"

	"github.com/millrace/millrace/pipeline/event"
)

// fill appends a value to a row that is being built.
type fill func(*event.ImageBuilder)

func anInt(n int64) fill    { return func(b *event.ImageBuilder) { b.AppendInt(n) } }
func aUint(n uint64) fill   { return func(b *event.ImageBuilder) { b.AppendUint(n) } }
func aText(s string) fill   { return func(b *event.ImageBuilder) { b.AppendText(s) } }
func bytesOf(s string) fill { return func(b *event.ImageBuilder) { b.AppendBytes([]byte(s)) } }
func aTime(n int64) fill    { return func(b *event.ImageBuilder) { b.AppendTime(n) } }
func aDate(y, m, d int) fill {
	return func(b *event.ImageBuilder) { b.AppendDate(y, m, d) }
}
func aDateTime(c event.Civil) fill { return func(b *event.ImageBuilder) { b.AppendDateTime(c) } }
func anInstant(n int64) fill       { return func(b *event.ImageBuilder) { b.AppendTimestamp(n) } }
func noInstant() fill              { return func(b *event.ImageBuilder) { b.AppendZeroTimestamp() } }

// valueOf is a value as the source hands it over.
func valueOf(t testing.TB, c event.Column, f fill) event.Value {
	t.Helper()
	if f == nil {
		return nil
	}
	s := event.NewSchema(event.TableName{DB: "d", Table: "t"}, []event.Column{c}, nil)
	b := event.NewImageBuilder(s)
	b.Start(nil)
	f(b)
	_, img, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	vals, err := event.Values(img, s, nil)
	if err != nil {
		t.Fatal(err)
	}
	return vals[0]
}

func col(typ event.Type, change ...func(*event.Column)) event.Column {
	c := event.Column{ID: 1, Name: "c", Type: typ}
	for _, f := range change {
		f(&c)
	}
	return c
}

func sized(precision, scale int) func(*event.Column) {
	return func(c *event.Column) { c.Precision, c.Scale = precision, scale }
}

func nullable(c *event.Column) { c.Nullable = true }

func native(s string) func(*event.Column) { return func(c *event.Column) { c.Native = s } }

func members(m ...string) func(*event.Column) { return func(c *event.Column) { c.Members = m } }

// throughTheWire is the column as who gets its bytes has it.
func throughTheWire(t testing.TB, c driver.Interface) driver.Interface {
	t.Helper()
	var wire proto.Buffer
	rows := c.Rows()
	if prefixed, ok := c.(driver.CustomSerialization); ok {
		if err := prefixed.WriteStatePrefix(&wire); err != nil {
			t.Fatal(err)
		}
	}
	c.Encode(&wire)
	got, err := c.Type().Column("c", &driver.ServerContext{})
	if err != nil {
		t.Fatal(err)
	}
	r := proto.NewReader(bytes.NewReader(wire.Buf))
	if prefixed, ok := got.(driver.CustomSerialization); ok {
		if err := prefixed.ReadStatePrefix(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := got.Decode(r, rows); err != nil {
		t.Fatal(err)
	}
	return got
}

// received are the values that the driver finds in what a buffer gives it.
func received(t testing.TB, b *Buffer) []any {
	t.Helper()
	c, err := driver.Type(b.typ.Text()).Column("c", &driver.ServerContext{})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Into(c); err != nil {
		t.Fatal(err)
	}
	c = throughTheWire(t, c)
	if c.Rows() != b.Rows() {
		t.Fatalf("the driver has %d rows of %d", c.Rows(), b.Rows())
	}
	out := make([]any, c.Rows())
	for i := range out {
		out[i] = c.Row(i, false)
	}
	return out
}
