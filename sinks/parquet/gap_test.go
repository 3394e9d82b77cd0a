package parquet

import (
	"slices"
	"testing"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline/event"
)

// TestChangesSayFromWhereToWhereTheyAreNotToldOneByOne has an attempt become due and end:
// one row says from where, whichever queue brings it first, and one to where.
func TestChangesSayFromWhereToWhereTheyAreNotToldOneByOne(t *testing.T) {
	mem, m := vfs.NewMem(), schemas{}
	s := m.add(t, event.Schema{Name: tableName, PrimaryKey: []int{0}, Columns: []event.Column{{ID: 1, Name: "id", Type: event.TypeInt, Precision: 4}}})
	table := open(t, testSink(t, mem, testConfig("gap")), claim(m, 1))
	both := func(k event.Kind, prev event.Seq, x event.Mark) {
		x.Queues = 2
		for q := range 2 {
			write(t, table, 1-q, mark(k, s, prev, x))
		}
	}
	both(event.KindBegin, 0, event.Mark{Seq: 10, Attempt: 10})
	both(event.KindEnd, 10, event.Mark{Seq: 20, Attempt: 10})
	both(event.KindDDL, 20, event.Mark{Seq: 30})
	both(event.KindDDL, 30, event.Mark{Seq: 40, Due: "the definition differs"})
	both(event.KindBegin, 40, event.Mark{Seq: 50, Attempt: 50})
	both(event.KindEnd, 50, event.Mark{Seq: 60, Attempt: 50})
	if f := flush(t, table); f.Rows != 0 {
		t.Errorf("%d rows of the table's", f.Rows)
	}
	var got []string
	for _, r := range readTable(t, mem, table.Dir+"/changes") {
		if r["_op"] == "x" {
			got = append(got, r["_seq"]+"<"+r["_below"])
		}
	}
	if slices.Sort(got); !slices.Equal(got, []string{"20<10", "40<0", "60<50"}) {
		t.Errorf("rows of marks: %q", got)
	}
}
