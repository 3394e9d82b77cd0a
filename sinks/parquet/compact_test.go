package parquet

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline/event"
)

// Packing small files changes no row, and rows that were written before a column existed
// still show its default when current/ is made anew from the packed files.
func TestPackingChangesNoRow(t *testing.T) {
	w, mem := newWorld(t, 3, 2, false), vfs.NewMem()
	sink := twinSink(t, mem)
	d := delivererTo(t, w, sink, 1)
	step := func() {
		t.Helper()
		for q := range w.queues {
			must[int](t)(0, d.write(q, len(w.queues[q])))
		}
		must[int](t)(0, d.flush())
		must[int](t)(0, d.table.current.MergeNow())
	}
	for range 30 {
		w.insert()
		w.update()
		step()
	}
	s := *w.schema
	s.Columns = append(slices.Clone(s.Columns), event.Column{ID: 9, Name: "via", Type: event.TypeText, HasDefault: true, Default: []byte("web")})
	w.schema = w.schemas.add(t, s)
	w.fills[9] = "web"
	for _, r := range w.rows {
		r[9] = "web"
	}
	w.sendAll(event.KindDDL, w.schema, event.Mark{Seq: w.next()})
	for range 30 {
		w.update()
		w.delete()
		w.insert()
		step()
	}
	before := len(liveFiles(t, mem, d.table.Dir+"/changes"))
	must[int](t)(0, pack(d.table))
	after := len(liveFiles(t, mem, d.table.Dir+"/changes"))
	if after > before/3 {
		t.Errorf("%d files were packed into %d", before, after)
	}
	w.identities(mem, d.table.Dir, d.flushed)
	must[int](t)(0, d.table.changes.Vacuum(context.Background()))
	must[int](t)(0, d.table.Close())

	d.table = open(t, sink, claim(w.schemas, 2))
	must[int](t)(0, d.table.current.MakeAnew(context.Background()))
	must[int](t)(0, d.table.current.MergeNow())
	if got, want := shown(t, mem, d.table.Dir, w.schema), w.view(d.flushed); !slices.Equal(got, want) {
		t.Errorf("current/ made anew shows %v, not %v", got, want)
	}
}

// In changes/ a renamed, dropped or changed column keeps what it held, and another column
// of the same name is another column.
func TestChangesKeepColumnsApart(t *testing.T) {
	mem, m := vfs.NewMem(), schemas{}
	col := func(id uint32, name string, typ event.Type) event.Column {
		return event.Column{ID: id, Name: name, Type: typ, Precision: 4, Nullable: true}
	}
	schema := func(cols ...event.Column) *event.Schema {
		return m.add(t, event.Schema{Name: tableName, PrimaryKey: []int{0}, Columns: append([]event.Column{col(1, "id", event.TypeInt)}, cols...)})
	}
	table := open(t, twinSink(t, mem), claim(m, 1))
	seq, prev := event.Seq(0), event.Seq(0)
	put := func(s *event.Schema, vals ...any) {
		t.Helper()
		seq += 2
		write(t, table, 0, mark(event.KindDDL, s, prev, event.Mark{Seq: seq}))
		prev, seq = seq, seq+2
		write(t, table, 0, rows(s, prev, fmt.Sprint("tx", seq), create(seq, 0, image(t, s, vals...))))
		prev = seq
		flush(t, table)
	}
	put(schema(col(2, "a", event.TypeInt)), 1, 10)
	put(schema(col(2, "b", event.TypeInt)), 2, 20)                                 // renamed
	put(schema(col(2, "b", event.TypeText)), 3, "thirty")                          // another type
	put(schema(), 4)                                                               // dropped
	put(schema(col(3, "A", event.TypeInt)), 5, 50)                                 // another column of that name
	put(schema(col(3, "b", event.TypeInt), col(4, "a", event.TypeInt)), 6, 60, 61) // and again
	got := map[string]string{}
	for _, r := range readTable(t, mem, table.Dir+"/changes") {
		got[r["id"]] = fmt.Sprint(r["a"], "|", r["b"], "|", r["b__2"], "|", r["A__2"], "|", r["b__3"], "|", r["a__3"])
	}
	for id, want := range map[string]string{"1": "10|||||", "2": "|20||||", "3": "||thirty|||", "4": "|||||", "5": "|||50||", "6": "||||60|61"} {
		if got[id] != want {
			t.Errorf("row %s: %s, not %s", id, got[id], want)
		}
	}
	must[int](t)(0, table.current.MergeNow())
	current := map[string]string{}
	for _, r := range readTable(t, mem, table.Dir+"/current") {
		current[r["id"]] = r["b__3"] + "|" + r["a__3"]
	}
	for id, want := range map[string]string{"1": "|", "5": "50|", "6": "60|61"} {
		if current[id] != want {
			t.Errorf("current row %s: %s, not %s", id, current[id], want)
		}
	}
}
