package parquet

import (
	"context"
	"encoding/json"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/parquet/current"
)

// filterScript asks for every value of every column by =, < and >, once over files pruned
// by the commit log's statistics through pyarrow and once through the reader's own SQL
// engine, and compares with a filter over all rows in Python.
const filterScript = `
import sys, json, datetime, decimal
import pyarrow as pa, pyarrow.compute as pc
from deltalake import DeltaTable, QueryBuilder
dt = DeltaTable(sys.argv[1])
ds = dt.to_pyarrow_dataset()
table = ds.to_table()
rows = table.to_pylist()
bad, asked = [], 0
qb = QueryBuilder().register("t", dt)
def lit(v, typ):
    if isinstance(v, decimal.Decimal): return "arrow_cast('%s', 'Decimal128(%d, %d)')" % (format(v, "f"), typ.precision, typ.scale)
    if isinstance(v, bytes): return "X'%s'" % v.hex()
    if isinstance(v, datetime.datetime): return "arrow_cast('%s', 'Timestamp(Microsecond, %s)')" % (v.isoformat(), 'Some("UTC")' if v.tzinfo else "None")
    if isinstance(v, datetime.date): return "DATE '%s'" % v.isoformat()
    if isinstance(v, str): return "'%s'" % v.replace("'", "''")
    if isinstance(v, float): return "arrow_cast(%s, '%s')" % (repr(v), 'Float32' if typ == pa.float32() else 'Float64')
    return str(v) if v > -2**63 else "(-9223372036854775807 - 1)"
for f in table.schema:
    values = {r[f.name] for r in rows if r[f.name] is not None}
    for v in values:
        s = pa.scalar(v, f.type)
        for name, test in (("=", lambda a: a == v), ("<", lambda a: a < v), (">", lambda a: a > v)):
            want = sum(1 for r in rows if r[f.name] is not None and test(r[f.name]))
            e = {"=": pc.field(f.name) == s, "<": pc.field(f.name) < s, ">": pc.field(f.name) > s}[name]
            got = ds.to_table(filter=e).num_rows
            asked += 1
            if got != want: bad.append("pyarrow: %s %s %r: %d rows, not %d" % (f.name, name, v, got, want))
            try:
                q = 'SELECT count(*) AS n FROM t WHERE "%s" %s %s' % (f.name.replace('"', '""'), name, lit(v, f.type))
                got = pa.table(qb.execute(q).read_all())["n"][0].as_py()
                if got != want: bad.append("sql: %s %s %r: %d rows, not %d" % (f.name, name, v, got, want))
            except Exception as x:
                bad.append("sql: %s: %s" % (q, x))
    for e, want in ((pc.field(f.name).is_null(), sum(1 for r in rows if r[f.name] is None)),):
        got = ds.to_table(filter=e).num_rows
        if got != want: bad.append("pyarrow: %s is null: %d rows, not %d" % (f.name, got, want))
print(json.dumps({"asked": asked, "bad": bad}))
`

func TestFiltersFindEveryRow(t *testing.T) {
	d := testenv.NewDeltalake(t)
	for name, cases := range map[string][]typeCase{"with bounds": typeCases(), "with bytes": append(typeCases(), binaryCases()...)} {
		t.Run(name, func(t *testing.T) { filters(t, d, writeCases(t, cases), 100) })
	}
}

func filters(t *testing.T, d *testenv.Deltalake, dir string, least int) {
	t.Helper()
	out, err := d.Run(context.Background(), filterScript, dir)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Asked int
		Bad   []string
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if got.Asked < least {
		t.Errorf("only %d filters were asked", got.Asked)
	}
	if len(got.Bad) > 0 {
		t.Error(strings.Join(got.Bad, "\n"))
	}
}

// A table that lives: many commits, merges, log checkpoints with the entries before them
// gone, and a name that no file system likes.
func TestDeltalakeReadsBehindCheckpoints(t *testing.T) {
	d := testenv.NewDeltalake(t)
	dir := t.TempDir()
	cfg := testConfig(dir)
	cfg.Current.Interval = current.Interval(time.Nanosecond)
	cfg.Keep.Log = 0
	sink := testSink(t, vfs.OS(), cfg)
	w := newWorld(t, 7, 2, false)
	for range 80 {
		w.step()
	}
	w.settle()
	c := claim(w.schemas, 1)
	c.Table = event.TableName{DB: "zażółć", Table: "a b%c"}
	del := &deliverer{w: w, table: open(t, sink, c)}
	del.seek()
	for del.at[0] < len(w.queues[0]) || del.at[1] < len(w.queues[1]) {
		for q := range w.queues {
			must[int](t)(0, del.write(q, 5))
		}
		must[int](t)(0, del.flush())
		must[int](t)(0, del.table.current.MergeNow())
	}
	must[int](t)(0, del.table.changes.Checkpoint(context.Background(), keepOf(del.table)))
	must[int](t)(0, del.table.current.Log().Checkpoint(context.Background(), time.Now()))
	must[int](t)(del.table.current.Log().CleanLog(context.Background(), time.Now().Add(time.Hour), 1<<40))
	del.table.Close()
	for _, part := range []string{"changes", "current"} {
		table := path.Join(del.table.Dir, part)
		names, err := vfs.OS().ReadDir(path.Join(table, "_delta_log"))
		if err != nil || strings.Contains(strings.Join(names, " "), "00000000000000000000.json") {
			t.Fatalf("%s: the oldest entry is still there: %v", part, err)
		}
		if got, want := len(dump(t, d, table)), len(readTable(t, vfs.OS(), table)); got != want || got == 0 {
			t.Errorf("%s: deltalake reads %d rows, arrow-go %d", part, got, want)
		}
		filters(t, d, table, 5)
	}
	if got, want := len(readTable(t, vfs.OS(), path.Join(del.table.Dir, "current"))), len(w.view(del.flushed)); got != want {
		t.Errorf("current/ has %d rows, not %d", got, want)
	}
}
