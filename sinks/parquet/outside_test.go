package parquet

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/delta"
	"github.com/millrace/millrace/sinks/parquet/current"
)

// rewriteScript puts one file in the place of a table's, as an OPTIMIZE of another program
// does; its second argument says in which form.
const rewriteScript = `
import json, os, sys, time
import pyarrow as pa, pyarrow.parquet as pq
from deltalake import DeltaTable
path, form = sys.argv[1:]
t = DeltaTable(path)
rows = t.to_pyarrow_table()
options = {}
if form == 'int96':
    options = {'use_deprecated_int96_timestamps': True}
elif form == 'millis':
    options = {'coerce_timestamps': 'ms', 'allow_truncated_timestamps': True}
elif form == 'text':
    rows = rows.set_column(rows.schema.get_field_index('n'), 'n', rows['n'].cast(pa.string()))
elif form == 'deleted':
    rows = rows.slice(1)
name = 'part %s.parquet' % form
pq.write_table(rows, os.path.join(path, name), **options)
now = int(time.time() * 1000)
changed = form == 'deleted'
lines = [{'commitInfo': {'timestamp': now, 'operation': 'OPTIMIZE', 'operationParameters': {}}}]
for f in t.file_uris():
    f = f.replace('file://', '')
    lines.append({'remove': {'path': os.path.relpath(f, path), 'deletionTimestamp': now, 'dataChange': changed, 'extendedFileMetadata': True, 'partitionValues': {}, 'size': os.path.getsize(f)}})
lines.append({'add': {'path': name.replace(' ', '%20'), 'partitionValues': {}, 'size': os.path.getsize(os.path.join(path, name)), 'modificationTime': now, 'dataChange': changed}})
with open('%s/_delta_log/%020d.json' % (path, t.version() + 1), 'x') as f:
    f.write('\n'.join(json.dumps(l) for l in lines) + '\n')
`

// TestAnOutsideRewriteLeavesTheDataExact lets another program write current/ anew in other
// physical types, or change its rows; what it wrote is read as what it is, made anew, or
// refused by name.
func TestAnOutsideRewriteLeavesTheDataExact(t *testing.T) {
	d := testenv.NewDeltalake(t)
	for form, refused := range map[string]string{"int96": "", "millis": "", "deleted": "", "text": "part text.parquet: column n: the column lies in the file in a form that is not read: STRING as long"} {
		t.Run(form, func(t *testing.T) {
			m := schemas{}
			s := m.add(t, event.Schema{Name: tableName, PrimaryKey: []int{0}, Columns: []event.Column{
				{ID: 1, Name: "id", Type: event.TypeInt, Precision: 4}, {ID: 2, Name: "ts", Type: event.TypeTimestamp, Nullable: true},
				{ID: 3, Name: "b", Type: event.TypeUint, Precision: 8, Nullable: true}, {ID: 4, Name: "d", Type: event.TypeDecimal, Precision: 12, Scale: 2, Nullable: true},
				{ID: 5, Name: "n", Type: event.TypeInt, Precision: 4, Nullable: true}}})
			cfg := testConfig(t.TempDir())
			cfg.Current.Interval = current.Interval(time.Nanosecond)
			table := open(t, testSink(t, vfs.OS(), cfg), claim(m, 1))
			seq, want := event.Seq(0), map[string]string{}
			put := func(id int) {
				at, b := 1714885505000000+int64(id)*1000, uint64(1)<<63+uint64(id)
				vals := []any{id, event.Value(nil), b, fmt.Sprintf("-%d.25", id), id * 10}
				vals[1] = int(at)
				write(t, table, 0, rows(s, seq, fmt.Sprint("tx", seq+2), create(seq+2, 0, image(t, s, vals...))))
				seq += 2
				want[fmt.Sprint(id)] = fmt.Sprintf("%d %d -%d.25 %d", at, b, id, id*10)
			}
			for id := range 5 {
				put(id)
			}
			flush(t, table)
			must[int](t)(0, table.current.MergeNow())
			if _, err := d.Run(t.Context(), rewriteScript, table.Dir+"/current", form); err != nil {
				t.Fatal(err)
			}
			put(100)
			put(3)
			flush(t, table)
			var err error
			for range 3 { // the first one meets the other program's commit
				err = table.current.MergeNow()
			}
			if refused != "" {
				if err == nil || !strings.Contains(table.Trouble(), refused) {
					t.Fatalf("%v; trouble %q", err, table.Trouble())
				}
				put(101)
				flush(t, table) // changes/ goes on
				return
			}
			if err != nil || table.Trouble() != "" {
				t.Fatalf("%v; trouble %q", err, table.Trouble())
			}
			got := map[string]string{}
			for _, r := range readTable(t, vfs.OS(), table.Dir+"/current") {
				at, err := time.Parse("2006-01-02 15:04:05.999999Z07:00", strings.Replace(r["ts"], "T", " ", 1))
				if err != nil {
					t.Fatal(err)
				}
				got[r["id"]] = fmt.Sprintf("%d %s %s %s", at.UnixMicro(), r["b"], r["d"], r["n"])
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("current/ shows\n%v, not\n%v", got, want)
			}
		})
	}
}

// TestAPanicEndsOneTable lets a merge and a packing panic: the table says so, changes/ goes on,
// and when the cause has gone current/ follows.
func TestAPanicEndsOneTable(t *testing.T) {
	w, mem := oneQueue(t, 12), vfs.NewMem()
	sink := twinSink(t, mem)
	d := delivererTo(t, w, sink, 1)
	must[int](t)(0, d.write(0, 4))
	must[int](t)(0, d.flush())
	d.table.current.Note([]*delta.Add{nil}, true, time.Time{}) // no file at all
	if err := d.table.current.MergeNow(); err == nil {
		t.Fatal("it does not panic")
	}
	if why := d.table.Trouble(); !strings.Contains(why, "current panicked: ") || strings.Contains(why, "\n") {
		t.Errorf("trouble %q", why)
	}
	must[int](t)(0, d.write(0, 4))
	must[int](t)(0, d.flush())
	must[int](t)(0, d.table.current.MakeAnew(context.Background()))
	must[int](t)(0, d.table.current.MergeNow())
	if got, want := shown(t, mem, d.table.Dir, w.schema), w.view(d.flushed); !slices.Equal(got, want) || d.table.Trouble() != "" {
		t.Errorf("current/ shows %v, not %v; trouble %q", got, want, d.table.Trouble())
	}
}
