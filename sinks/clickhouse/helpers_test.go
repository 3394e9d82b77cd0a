package clickhouse

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// schemas is a SchemaReader over a map.
type schemas map[event.SchemaID]*event.Schema

func (m schemas) Schema(_ context.Context, id event.SchemaID) (*event.Schema, error) {
	if s, ok := m[id]; ok {
		return s, nil
	}
	return nil, fmt.Errorf("no schema %x", id)
}

var tableName = event.TableName{DB: "shop", Table: "orders"}

// schema makes a definition and keeps it.
func (m schemas) add(columns []event.Column, key ...int) *event.Schema {
	s := event.NewSchema(tableName, columns, key)
	m[s.ID] = s
	return s
}

func queueID(q int) pipeline.QueueID {
	return pipeline.QueueID{Broker: "broker-a", Topic: "p--shop--orders", Queue: q}
}

// value is a column's value that the event package has no shorter name for.
type value func(*event.ImageBuilder)

// image encodes a row; nil is NULL.
func image(t testing.TB, s *event.Schema, vals ...any) event.Image {
	t.Helper()
	b := event.NewImageBuilder(s)
	b.Start(nil)
	for i, v := range vals {
		switch x := v.(type) {
		case nil:
			b.AppendNull()
		case value:
			x(b)
		case string:
			b.AppendText(x)
		case int:
			if s.Columns[i].Type == event.TypeInt {
				b.AppendInt(int64(x))
			} else {
				b.AppendUint(uint64(x))
			}
		default:
			t.Fatalf("a value of %T", v)
		}
	}
	_, img, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return img
}

var day = time.Date(2026, 8, 21, 12, 0, 0, 0, time.UTC)

// rows makes a slice of one transaction out of rows that follow each other.
func rows(s *event.Schema, prev event.Seq, list ...event.Row) *event.Slice {
	tx := fmt.Sprintf("0-1-%d", list[0].Seq)
	last := list[len(list)-1]
	return &event.Slice{
		Kind: event.KindRow, Table: tableName, Schema: s.ID, Prev: prev, Lo: list[0].Seq, Hi: last.Seq,
		Txs: []event.SliceTx{{ID: tx, CommitTime: day}}, Rows: list,
		From: event.Identity{Tx: tx, Index: list[0].Index}, To: event.Identity{Tx: tx, Index: last.Index},
	}
}

// mark makes a slice that is not rows.
func mark(k event.Kind, s *event.Schema, prev event.Seq, m event.Mark) *event.Slice {
	m.ID, m.Time = event.MarkIdentity(fmt.Sprint(k), m.Seq), day
	sl := &event.Slice{Kind: k, Table: tableName, Prev: prev, Lo: m.Seq, Hi: m.Seq, From: m.ID, To: m.ID, Mark: &m}
	if s != nil {
		sl.Schema, sl.Mark.Schema = s.ID, s.ID
	}
	return sl
}

func create(seq event.Seq, img event.Image) event.Row {
	return event.Row{Op: event.OpCreate, Index: uint64(seq), Seq: seq, After: img}
}

func update(seq event.Seq, before, after event.Image) event.Row {
	return event.Row{Op: event.OpUpdate, Index: uint64(seq), Seq: seq, Before: before, After: after}
}

func remove(seq event.Seq, before event.Image) event.Row {
	return event.Row{Op: event.OpDelete, Index: uint64(seq), Seq: seq, Before: before}
}

// owner is a claimed table of a test.
type owner struct {
	*Table
	t testing.TB
}

// claimed opens a sink and claims the table.
func claimed(t testing.TB, c Config, m schemas, generation uint64, keyless bool) (owner, error) {
	t.Helper()
	s, err := New(c, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	table, err := s.openTable(t.Context(), pipeline.Claim{Pipeline: "p", Sink: "olap", Table: tableName, Generation: generation, Keyless: keyless, Schemas: m})
	return owner{table, t}, err
}

func own(t testing.TB, c Config, m schemas, generation uint64, keyless bool) owner {
	t.Helper()
	o, err := claimed(t, c, m, generation, keyless)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func (o owner) write(q int, slices ...*event.Slice) owner {
	o.t.Helper()
	for _, s := range slices {
		if err := o.Write(o.t.Context(), queueID(q), s); err != nil {
			o.t.Fatal(err)
		}
	}
	return o
}

func (o owner) flush() owner {
	o.t.Helper()
	if _, err := o.Flush(o.t.Context()); err != nil {
		o.t.Fatal(err)
	}
	return o
}

// shows are the rows that the view shows, as lines of texts, sorted.
func shows(t testing.TB, c Config) []string { return read(t, c, false) }

// exact are the same, with the texts of what columns can't hold in their place.
func exact(t testing.TB, c Config) []string { return read(t, c, true) }

func read(t testing.TB, c Config, exact bool) []string {
	t.Helper()
	var out []string
	var shown []pipeline.ReadColumn
	err := reader(t, c, "p").Read(t.Context(), tableName, func(cols []pipeline.ReadColumn) error {
		shown = cols
		return nil
	}, func(cells []pipeline.Cell) error {
		var line []string
		for i, cell := range cells {
			if shown[i].RawOf != "" {
				continue
			}
			raw := slices.IndexFunc(shown, func(r pipeline.ReadColumn) bool { return r.RawOf == shown[i].Name })
			if exact && raw >= 0 && !cells[raw].Null {
				cell = cells[raw]
			}
			text := "NULL"
			if !cell.Null {
				text = string(cell.Text)
			}
			line = append(line, shown[i].Name+"="+text)
		}
		out = append(out, strings.Join(line, " "))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

func same(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: a reader sees\n%s\nand not\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
