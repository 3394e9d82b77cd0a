package parquet

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/objects"
)

// schemas is a SchemaReader over a map.
type schemas map[event.SchemaID]*event.Schema

func (m schemas) Schema(_ context.Context, id event.SchemaID) (*event.Schema, error) {
	if s, ok := m[id]; ok {
		return s, nil
	}
	return nil, fmt.Errorf("no schema %x", id)
}

// add returns s with its id and keeps it.
func (m schemas) add(t testing.TB, s event.Schema) *event.Schema {
	t.Helper()
	p, err := event.ParseSchema(event.AppendSchema(nil, &s))
	if err != nil {
		t.Fatal(err)
	}
	m[p.ID] = p
	return p
}

var tableName = event.TableName{DB: "shop", Table: "orders"}

func testConfig(dir string) Config {
	c := DefaultConfig()
	c.Path = dir
	c.Current.Interval = 0
	return c
}

func testSink(t testing.TB, fs vfs.FS, cfg Config) *Sink {
	t.Helper()
	s, err := New(cfg, fs, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func claim(m schemas, gen uint64) pipeline.Claim {
	return pipeline.Claim{Pipeline: "p", Sink: "lake", Table: tableName, Generation: gen, Schemas: m}
}

func queueID(q int) pipeline.QueueID {
	return pipeline.QueueID{Broker: "broker-a", Topic: "p--shop--orders", Queue: q}
}

// image encodes a row; nil is NULL.
func image(t testing.TB, s *event.Schema, vals ...any) event.Image {
	t.Helper()
	b := event.NewImageBuilder(s)
	b.Start(nil)
	for i, v := range vals {
		appendAny(b, &s.Columns[i], v)
	}
	_, img, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func appendAny(b *event.ImageBuilder, c *event.Column, v any) {
	switch x := v.(type) {
	case nil:
		b.AppendNull()
	case int:
		switch c.Type {
		case event.TypeInt:
			b.AppendInt(int64(x))
		case event.TypeTime:
			b.AppendTime(int64(x))
		case event.TypeTimestamp:
			b.AppendTimestamp(int64(x))
		default:
			b.AppendUint(uint64(x))
		}
	case int64:
		b.AppendInt(x)
	case uint64:
		b.AppendUint(x)
	case float32:
		b.AppendFloat(x)
	case float64:
		b.AppendDouble(x)
	case string:
		b.AppendText(x)
	case []byte:
		b.AppendBytes(x)
	case [3]int:
		b.AppendDate(x[0], x[1], x[2])
	case event.Civil:
		b.AppendDateTime(x)
	case event.Value:
		b.AppendValue(x)
	case zeroTime:
		b.AppendZeroTimestamp()
	case point:
		b.AppendGeometry(x.srid, x.wkb)
	default:
		panic(fmt.Sprintf("BUG: %T", v))
	}
}

type (
	zeroTime struct{}
	point    struct {
		srid uint32
		wkb  []byte
	}
)

var day = time.Date(2026, 8, 21, 12, 0, 0, 0, time.UTC)

// rows makes a slice of one transaction out of rows that follow each other.
func rows(s *event.Schema, prev event.Seq, tx string, list ...event.Row) *event.Slice {
	sl := &event.Slice{Kind: event.KindRow, Table: tableName, Schema: s.ID, Prev: prev,
		Lo: list[0].Seq, Hi: list[len(list)-1].Seq, Txs: []event.SliceTx{{ID: tx, CommitTime: day}}, Rows: list}
	sl.From = event.Identity{Tx: tx, Index: list[0].Index, Part: list[0].Part}
	last := list[len(list)-1]
	sl.To = event.Identity{Tx: tx, Index: last.Index, Part: last.Part}
	return sl
}

// mark makes a slice that is not rows.
func mark(k event.Kind, s *event.Schema, prev event.Seq, m event.Mark) *event.Slice {
	what := map[event.Kind]string{event.KindBegin: "begin", event.KindEnd: "end", event.KindHeartbeat: "beat", event.KindDDL: "ddl",
		event.KindTruncate: "truncate"}[k]
	m.ID = event.MarkIdentity(what, m.Seq)
	if m.Time.IsZero() {
		m.Time = day
	}
	sl := &event.Slice{Kind: k, Table: tableName, Prev: prev, Lo: m.Seq, Hi: m.Seq, From: m.ID, To: m.ID, Mark: &m}
	if s != nil {
		sl.Schema, sl.Mark.Schema = s.ID, s.ID
	}
	return sl
}

func create(seq event.Seq, index uint64, img event.Image) event.Row {
	return event.Row{Op: event.OpCreate, Index: index, Seq: seq, After: img}
}

func update(seq event.Seq, index uint64, before, after event.Image) event.Row {
	return event.Row{Op: event.OpUpdate, Index: index, Seq: seq, Before: before, After: after}
}

func remove(seq event.Seq, index uint64, before event.Image) event.Row {
	return event.Row{Op: event.OpDelete, Index: index, Seq: seq, Before: before}
}

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func open(t testing.TB, s *Sink, c pipeline.Claim) *Table {
	t.Helper()
	table, err := s.openTable(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { table.Close() })
	return table
}

func write(t testing.TB, table *Table, q int, slices ...*event.Slice) {
	t.Helper()
	for _, s := range slices {
		if err := table.Write(context.Background(), queueID(q), s); err != nil {
			t.Fatal(err)
		}
	}
}

func flush(t testing.TB, table *Table) pipeline.Flushed {
	t.Helper()
	return must[pipeline.Flushed](t)(table.Flush(context.Background()))
}

// scratchOf is a scratch on a file system.
func scratchOf(t testing.TB, fsys vfs.FS) *objects.Scratch {
	t.Helper()
	s, err := objects.OpenScratch(fsys, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// storeOf is a store on a file system, for a single file.
func storeOf(fsys vfs.FS) objects.Store { return objects.NewLocal(fsys, "files") }

// configure gives a sink what no pipeline file may say.
func configure(s *Sink, cfg Config) {
	s.cfg, s.Keep, s.Compression = cfg, cfg.Keep, cfg.Compression
}

// keepOf is the version from which on entries of changes/ are needed.
func keepOf(t *Table) int64 {
	if t.current == nil {
		return math.MaxInt64
	}
	return t.current.Merged() + 1
}
