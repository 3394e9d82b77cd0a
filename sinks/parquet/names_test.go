package parquet

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/delta"
	"github.com/millrace/millrace/sinks/objects"
	"github.com/millrace/millrace/sinks/parquet/file"
)

// TestOneNameIsOneColumn changes a table whose columns' names meet in every way, and looks
// after each step at both Delta tables: a name is the same column in both, and for ever.
func TestOneNameIsOneColumn(t *testing.T) {
	mem, m := vfs.NewMem(), schemas{}
	col := func(id uint32, name string, typ event.Type) event.Column {
		return event.Column{ID: id, Name: name, Type: typ, Precision: 4, Nullable: true}
	}
	table := open(t, twinSink(t, mem), claim(m, 1))
	seq, prev, owner := event.Seq(0), event.Seq(0), map[string]string{}
	step := func(what string, want string, cols []event.Column, vals ...any) {
		t.Helper()
		s := m.add(t, event.Schema{Name: tableName, PrimaryKey: []int{0}, Columns: append([]event.Column{col(1, "id", event.TypeInt)}, cols...)})
		seq += 2
		write(t, table, 0, mark(event.KindDDL, s, prev, event.Mark{Seq: seq}))
		prev, seq = seq, seq+2
		write(t, table, 0, rows(s, prev, fmt.Sprint("tx", seq), create(seq, 0, image(t, s, append([]any{int(seq)}, vals...)...))))
		prev = seq
		flush(t, table)
		must[int](t)(0, table.current.MergeNow())
		shown := ""
		for _, log := range []*delta.Log{table.changes.Log(), table.current.Log()} {
			var schema delta.Schema
			must[int](t)(0, json.Unmarshal([]byte(log.Snapshot().Metadata.SchemaString), &schema))
			shown = ""
			for _, f := range schema.Fields {
				is := f.Metadata["millrace.id"]
				if f.Metadata["millrace.rawOf"] != "" {
					is += " text"
				}
				name := strings.ToLower(f.Name)
				if was, ok := owner[name]; ok && was != is {
					t.Errorf("%s: %s of %s is column %q and was %q", what, f.Name, log.Table(), is, was)
				}
				owner[name] = is
				shown += f.Name + " "
			}
		}
		if shown != want {
			t.Errorf("%s: current/ shows %q, not %q", what, shown, want)
		}
	}
	zero, date := [3]int{}, [3]int{2024, 1, 1}
	both := []event.Column{col(2, "d", event.TypeDate), col(3, "d__raw", event.TypeText)}
	step("a column called as a text column would be", "id d d__raw _seq ", both, date, "mine")
	step("a zero date", "id d d__raw__2 d__raw _seq ", both, zero, "mine too")
	step("dropped", "id _seq ", nil)
	step("a name that differs in case only", "id D__2 D__raw__3 _seq ", []event.Column{col(4, "D", event.TypeDate)}, zero)
	step("a column called as one that was moved", "id D__2 D__raw__3 d__2__2 _seq ",
		[]event.Column{col(4, "D", event.TypeDate), col(5, "d__2", event.TypeInt)}, date, 5)
	step("names swapped", "id x y _seq ", []event.Column{col(6, "x", event.TypeInt), col(7, "y", event.TypeInt)}, 1, 2)
	step("names swapped back", "id y__2 x__2 _seq ", []event.Column{col(6, "y", event.TypeInt), col(7, "x", event.TypeInt)}, 1, 2)
	step("another type", "id y__3 x__2 _seq ", []event.Column{col(6, "y", event.TypeText), col(7, "x", event.TypeInt)}, "1", 2)
}

// sourceNames are the source's names of a table's columns, by those that they have there.
func sourceNames(t testing.TB, fsys vfs.FS, dir string) map[string]string {
	t.Helper()
	var schema delta.Schema
	log := must[*delta.Log](t)(delta.Open(context.Background(), objects.NewLocal(fsys, path.Dir(dir)), path.Base(dir)))
	must[int](t)(0, json.Unmarshal([]byte(log.Snapshot().Metadata.SchemaString), &schema))
	names := map[string]string{}
	for _, f := range schema.Fields {
		names[f.Name] = f.Name
		if of := f.Metadata["millrace.rawOf"]; of != "" {
			names[f.Name] = of + file.RawSuffix
		} else if of := f.Metadata["millrace.name"]; of != "" {
			names[f.Name] = of
		}
	}
	return names
}
