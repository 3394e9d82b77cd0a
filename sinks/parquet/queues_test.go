package parquet

import (
	"fmt"
	"slices"
	"testing"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline/event"
)

// TestEachQueueIsWaitedFor lets one of two queues lag behind a merge and an END. Rows that
// it brings later, under lower numbers, are shown; what the attempt replaces goes when the
// slower queue has passed END, and not before: its rows are not replaced until then.
func TestEachQueueIsWaitedFor(t *testing.T) {
	mem, m := vfs.NewMem(), schemas{}
	s := m.add(t, event.Schema{Name: tableName, PrimaryKey: []int{0}, Columns: []event.Column{
		{ID: 1, Name: "id", Type: event.TypeInt, Precision: 4}, {ID: 2, Name: "v", Type: event.TypeText},
	}})
	table := open(t, twinSink(t, mem), claim(m, 1))
	row := func(seq event.Seq, id int, v string) event.Row { return create(seq, 0, image(t, s, id, v)) }
	step := func(what string, want ...string) {
		t.Helper()
		flush(t, table)
		must[int](t)(0, table.current.MergeNow())
		var got []string
		for _, r := range readTable(t, mem, table.Dir+"/current") {
			got = append(got, r["id"]+" "+r["v"])
		}
		slices.Sort(got)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: current/ shows %v, not %v", what, got, want)
		}
	}
	const begin, end = 40, 60
	attempt := func(q int, prev event.Seq) {
		write(t, table, q, mark(event.KindBegin, s, prev, event.Mark{Seq: begin, Attempt: begin, Queues: 2}))
	}
	ended := func(q int, prev event.Seq) {
		write(t, table, q, mark(event.KindEnd, s, prev, event.Mark{Seq: end, Attempt: begin, Queues: 2}))
	}

	write(t, table, 0, rows(s, 0, "g20", row(20, 1, "first")))
	step("one queue", "1 first")
	write(t, table, 1, rows(s, 0, "g10", row(10, 2, "lower number, merged later"), row(12, 3, "only here")))
	step("the other one", "1 first", "2 lower number, merged later", "3 only here")

	attempt(0, 20)
	attempt(1, 12)
	write(t, table, 0, rows(s, begin, "snap", row(50, 1, "read")))
	ended(0, 50)
	step("END in one queue", "1 read", "2 lower number, merged later", "3 only here")
	write(t, table, 1, rows(s, begin, "snap", row(52, 2, "read")))
	step("the other one's chunk", "1 read", "2 read", "3 only here")
	ended(1, 52)
	step("END in both", "1 read", "2 read")
}
